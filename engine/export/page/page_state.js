// Shared by all parts of the page: the data, the state and small helpers. Names that come from users or files are
// inserted as text, never as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const model = new CVAE(data.model);
const reader = data.reader && new Reader(data.reader, data.model.image_shape);
const label_prior = data.prior && new (data.prior.sigmas ? LocalPrior : Prior)(data.prior);
const { image_shape, num_labels, latent_dim } = model;
const [HEIGHT, WIDTH, CHANNELS] = image_shape;
const names = data.run.names;
const grey = data.run.digits && CHANNELS === 1; // shown as dark ink on light paper in the light colour scheme

const state = {
  style: new Float64Array(latent_dim), // whitened: N(0, I) under the current prior
  origin: null, // {z, label} that the style was taken from; under that label this z is used unchanged
  label: 0,
  prior: label_prior, // null: N(0, I)
  picture: null, // the picture that was read last: see read_picture
};

const at = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// A button that is no Tab stop of its own: see keyboard_groups.js.
function make_button(attributes, react, ...children) {
  const button = make("button", { type: "button", tabindex: -1, ...attributes }, ...children);
  button.addEventListener("click", react);
  return button;
}

function picture_canvas() {
  return make("canvas", { class: "picture", width: WIDTH, height: HEIGHT, "aria-hidden": "true" });
}

function paint(canvas, image, left = 0, top = 0) {
  const pixels = new ImageData(WIDTH, HEIGHT);
  for (let i = 0; i < WIDTH * HEIGHT; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = 255 * image[i * CHANNELS + Math.min(c, CHANNELS - 1)];
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, left, top);
}

// Format a number with the Unicode minus sign, and never as "−0.00".
function fixed(value, digits = 2) {
  const rounded = Number(value.toFixed(digits)) + 0; // −0 + 0 is 0
  return rounded.toFixed(digits).replace("-", "−");
}

function percent(share) {
  if (share > 0.9995 && share < 1) return "> 99.9 %";
  if (share < 0.0005 && share > 0) return "< 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

// Standard normal numbers (count,), by the Box–Muller transform.
function normal(count) {
  return Float64Array.from({ length: count }, () => {
    return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  });
}
