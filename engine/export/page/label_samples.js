// Samples of the current label.

const BATCH = 30; // samples drawn at first, and at every press of "more"

function draw_samples() {
  at("samples").replaceChildren();
  start("samples", samples_job());
}

function* samples_job() {
  const label = state.label;
  const temperature = at("temperature").valueAsNumber;
  for (let i = 0; i < BATCH; i++) {
    const eps = normal(latent_dim);
    const z = state.prior
      ? state.prior.sample(label, eps, Math.random(), temperature)
      : eps.map((value) => temperature * value);
    const canvas = picture_canvas();
    const title = `Sample ${at("samples").children.length + 1} of ${names[label]}: take its style`;
    paint(canvas, model.generate(z, label));
    at("samples").append(make_button({ class: "cell", "aria-label": title }, () => take_sample(z, label), canvas));
    yield;
  }
}

function take_sample(z, label) {
  set_style(style_of(z, label, state.prior), `the style of a sample of ${names[label]}`, { z, label });
}

function change_temperature() {
  at("temperature-value").textContent = at("temperature").valueAsNumber.toFixed(2);
  draw_samples();
}
