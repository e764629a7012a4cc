// The current style and its prior. All changes of the style go through this file.

// z of the current style under a label.
function z_of(label) {
  if (state.origin && state.origin.label === label) return state.origin.z;
  return latent_of(state.style, label, state.prior);
}

// The image of another style under the current label.
function preview(style) {
  return model.generate(latent_of(style, state.label, state.prior), state.label);
}

// Redraw everything that shows the current style.
function refresh() {
  show_sliders();
  start("row", row_job());
  start("traversals", traversals_job());
}

function show_style(style, what, origin = null) {
  state.style = Float64Array.from(style);
  state.origin = origin;
  at("status").textContent = what;
  refresh();
}

// Show another style; `what` says where it comes from. A walk stops, and its start becomes this style.
function set_style(style, what, origin = null) {
  show_style(style, what, origin);
  begin_walk();
}

function set_prior(prior) {
  state.prior = prior;
  at("prior").value = prior ? "label" : "standard";
  const { style, origin } = state;
  set_style(origin ? style_of(origin.z, origin.label, prior) : style, at("status").textContent, origin);
  draw_samples();
  if (state.picture) start("reading", reading_job(state.picture));
}
