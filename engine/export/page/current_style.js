// The style that the row shows, and its prior: every way to change it comes through here.

// z of the style in use under a label.
function z_of(label) {
  if (state.origin && state.origin.label === label) return state.origin.z;
  return latent_of(state.style, label, state.prior);
}

// The picture of another style under the label in use.
function preview(style) {
  return model.generate(latent_of(style, state.label, state.prior), state.label);
}

// Show the style in use everywhere.
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

// Show another style; `what` says where it comes from. A walk that plays stops, and starts from here.
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
