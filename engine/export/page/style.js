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
  show_map_dot();
  start("row", row_job());
  start("traversals", traversals_job());
  start("map", map_job());
}

// Show another style; `what` says where it comes from. A walk that plays stops.
function set_style(style, what, origin = null) {
  pause();
  show_style(style, what, origin);
}

function show_style(style, what, origin = null) {
  state.style = Float64Array.from(style);
  state.origin = origin;
  at("status").textContent = what;
  refresh();
}

function set_prior(prior) {
  state.prior = prior;
  at("prior-label").checked = prior !== null;
  at("prior-standard").checked = prior === null;
  if (state.origin) state.style = Float64Array.from(style_of(state.origin.z, state.origin.label, prior));
  refresh();
  draw_samples();
  if (state.picture) read_picture(state.picture.x, state.picture.told, state.picture.what);
  if (state.ends) start("walk", walk_ends_job());
}

// A copy of the style in use with these dimensions set: [[dimension, value], …].
function changed(values) {
  const style = state.style.slice();
  for (const [dimension, value] of values) style[dimension] = clamp(value, REACH);
  return style;
}
