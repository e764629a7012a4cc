// What all parts of the page share: the data, the state, work in slices of a frame, and small helpers. Everything that
// people or files named is set as text, never as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const model = new CVAE(data.model);
const reader = data.reader && new Reader(data.reader, data.model.image_shape);
const label_prior = data.prior && new (data.prior.sigmas ? LocalPrior : Prior)(data.prior);
const { image_shape, num_labels, latent_dim } = model;
const [HEIGHT, WIDTH, CHANNELS] = image_shape;
const names = data.run.names;
const grey = data.run.digits && CHANNELS === 1; // shown as dark ink on light paper where the page is light

const REACH = 3; // of sliders and map, in standard deviations of the prior
const ROWS = 8; // dimensions shown at first, and of the table

const state = {
  style: new Float64Array(latent_dim), // N(0, I) under the prior in use
  origin: null, // {z, label} that the style was taken from: under that label z stays exactly what it was
  label: 0,
  prior: label_prior, // null: N(0, I)
  page: 0, // of the row
  dimensions: Math.min(ROWS, latent_dim), // that have a slider
  ends: null, // of the walk: two styles
  picture: null, // that was read: see read_picture
};

const at = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function make_button(attributes, react, ...children) {
  const button = make("button", { type: "button", ...attributes }, ...children);
  button.addEventListener("click", react);
  return button;
}

function picture_canvas(attributes = {}) {
  return make("canvas", { class: "picture", width: WIDTH, height: HEIGHT, ...attributes });
}

function paint(canvas, image, left = 0, top = 0) {
  const pixels = new ImageData(WIDTH, HEIGHT);
  for (let i = 0; i < WIDTH * HEIGHT; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = 255 * image[i * CHANNELS + Math.min(c, CHANNELS - 1)];
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, left, top);
}

function clamp(value, reach) {
  return Math.min(Math.max(value, -reach), reach);
}

// A number as text, with a real minus sign, and never "−0.00".
function fixed(value, digits = 2) {
  const rounded = Number(value.toFixed(digits)) + 0; // −0 + 0 is 0
  return rounded.toFixed(digits).replace("-", "−");
}

function percent(share) {
  if (share > 0.9995 && share < 1) return "> 99.9 %";
  if (share < 0.0005 && share > 0) return "< 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

// Standard normal numbers (count,), by Box and Muller.
function normal(count) {
  return Float64Array.from({ length: count }, () => {
    return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  });
}

const SLICE = 10; // milliseconds of a frame that go into pictures, so that the page always answers
const ORDER = ["row", "walk", "traversals", "map", "samples", "reading"]; // who goes first
const jobs = new Map(); // generators that yield after every picture, by name
let scheduled = false;

// Run a job from the next frame on, in place of an unfinished one of the same name.
function start(name, job) {
  jobs.set(name, job);
  if (!scheduled) requestAnimationFrame(work);
  scheduled = true;
}

function work() {
  const until = performance.now() + SLICE;
  for (const name of ORDER) {
    while (jobs.has(name)) {
      const job = jobs.get(name);
      if (job.next().done && jobs.get(name) === job) jobs.delete(name);
      if (performance.now() > until && jobs.size) return requestAnimationFrame(work);
    }
  }
  scheduled = false;
}
