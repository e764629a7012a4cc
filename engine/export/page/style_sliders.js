// A slider with thumbnails for each of the most active dimensions.

const STEPS = [-3, -2, -1, 0, 1, 2, 3]; // values of the thumbnails, in standard deviations of the prior
const ROWS = 8; // sliders added at first, and at every press of "More dimensions"
const sliders = []; // {dimension, input, output, thumbs}

function make_slider(dimension) {
  const id = `dimension-${dimension}`;
  const input = make("input", { type: "range", id, min: STEPS[0], max: STEPS.at(-1), step: 0.01 });
  const output = make("output", { for: id });
  const thumbs = STEPS.map((value) => {
    const canvas = picture_canvas();
    const what = `Dimension ${dimension + 1} at ${fixed(value, 0)} standard deviations`;
    const react = () => set_style(state.style.with(dimension, value), what);
    return { value, canvas, button: make_button({ "aria-label": what }, react, canvas) };
  });
  input.addEventListener("input", () => set_style(state.style.with(dimension, input.valueAsNumber), "your own mix"));
  const title = make("label", { for: id }, `Dimension ${dimension + 1}`);
  const kl = make("span", { class: "quiet" }, `${fixed(data.kl[sliders.length], 1)} nats`);
  sliders.push({ dimension, input, output, thumbs });
  const head = make("div", { class: "head" }, title, kl, output);
  const strip = make("div", { class: "thumbs" }, ...thumbs.map((thumb) => thumb.button));
  return make("div", { class: "slider" }, head, strip, input);
}

function add_sliders() {
  const next = data.order.slice(sliders.length, sliders.length + ROWS);
  at("sliders").append(...next.map(make_slider));
  at("more-dimensions").hidden = sliders.length === latent_dim;
  refresh();
}

function show_sliders() {
  for (const { dimension, input, output } of sliders) {
    input.value = state.style[dimension];
    output.textContent = `${fixed(state.style[dimension])} sd`;
  }
}

function* traversals_job() {
  for (const { dimension, thumbs } of sliders) {
    for (const { value, canvas } of thumbs) {
      paint(canvas, preview(state.style.with(dimension, value)));
      yield;
    }
  }
}
