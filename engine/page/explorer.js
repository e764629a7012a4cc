// The page: one style under every label, and the ways to change it. Everything that people or files named is set as
// text, never as HTML. Pictures are made by network.js in slices of a frame, so that nothing ever stops.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const model = new CVAE(data.model);
const reader = data.reader && new Reader(data.reader, data.model.image_shape);
const label_prior = data.prior && new Prior(data.prior, data.model.latent_dim);
const { image_shape, num_labels, latent_dim } = model;
const [HEIGHT, WIDTH, CHANNELS] = image_shape;
const names = data.run.names;

const PER_PAGE = 20; // labels of the row that are seen at once
const REACH = 3; // of sliders and pad, in standard deviations of the prior
const STEPS = [-3, -2, -1, 0, 1, 2, 3]; // of a traversal
const PAD = Math.max(HEIGHT, WIDTH) > 64 ? 5 : 7; // pictures along a side of the pad's map
const SLICE = 10; // milliseconds of a frame that go into pictures
const BARS = 10; // labels whose probability is shown
const ROWS = 8; // dimensions shown at first, and of the table
const BATCH = 30; // samples at a time
const SECONDS = 4; // of a walk
const still = matchMedia("(prefers-reduced-motion: reduce)");
const light = matchMedia("(prefers-color-scheme: light)");

const state = {
  style: new Float64Array(latent_dim), // N(0, I) under the prior in use
  origin: null, // {z, label} that the style was taken from: under its own label it stays what it is
  label: 0,
  prior: label_prior,
  locked: new Set(),
  page: 0,
  dimensions: Math.min(ROWS, latent_dim),
  ends: null, // of the walk: two styles
  picture: null, // {x, label, told, shares: the reader's, log_p: Bayes' so far, own: the label by it at its end}
};
const timings = { row: [] }; // milliseconds of the decoder for a row

const at = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function picture_canvas(attributes = {}) {
  return make("canvas", { class: "picture", width: WIDTH, height: HEIGHT, ...attributes });
}

function fixed(value, digits = 2) {
  return value.toFixed(digits).replace("-", "−");
}

function percent(share) {
  return share > 0.9995 && share < 1
    ? "> 99.9 %"
    : share < 0.0005 && share > 0
      ? "< 0.1 %"
      : `${(100 * share).toFixed(1)} %`;
}

function say(text) {
  at("status").textContent = text;
}

// ---- randomness, and work in slices -------------------------------------------------------------------------------

function normal(count, random = Math.random) {
  return Float64Array.from({ length: count }, () => {
    return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  });
}

// Where TensorFlow's noise is too large for this page: mulberry32, the same at every reading.
function seeded(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const ORDER = ["row", "walk", "traversals", "pad", "samples", "reading"]; // who goes first
const jobs = new Map(); // generators that yield after every picture, by name
let awake = false;

function start(name, job) {
  jobs.set(name, job);
  if (!awake) requestAnimationFrame(work);
  awake = true;
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
  awake = false;
}

// ---- pictures -----------------------------------------------------------------------------------------------------

function paint(canvas, image, left = 0, top = 0) {
  const pixels = new ImageData(WIDTH, HEIGHT);
  for (let i = 0; i < WIDTH * HEIGHT; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = 255 * image[i * CHANNELS + Math.min(c, CHANNELS - 1)];
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, left, top);
}

function z_of(style, label) {
  if (style === state.style && state.origin && state.origin.label === label) return state.origin.z;
  return latent_of(style, label, state.prior);
}

function changed(dimension, value) {
  const style = state.style.slice();
  style[dimension] = value;
  return style;
}

// ---- the row: one style under every label -------------------------------------------------------------------------

const cells = [];

function lay_out_row() {
  const first = state.page * PER_PAGE;
  const count = Math.min(PER_PAGE, num_labels - first);
  const columns = Math.min(10, num_labels);
  at("row").style.setProperty("--columns", columns);
  at("row").style.setProperty("--columns-narrow", Math.min(5, num_labels));
  at("hand").classList.toggle("many", num_labels > 10);
  cells.length = 0;
  for (let label = first; label < first + count; label++) {
    const canvas = picture_canvas({ "aria-hidden": "true" });
    const name = make("span");
    name.textContent = names[label];
    const button = make(
      "button",
      { type: "button", class: "cell", title: names[label], "data-label": label },
      canvas,
      name,
    );
    button.addEventListener("click", () => choose_label(label));
    cells.push({ label, canvas, button });
  }
  at("row").replaceChildren(...cells.map((cell) => cell.button));
  at("pager").hidden = num_labels <= PER_PAGE;
  at("pages").textContent = `${first + 1}–${first + count} of ${num_labels}`;
  at("previous").disabled = first === 0;
  at("next").disabled = first + count === num_labels;
  mark_label();
}

function mark_label() {
  for (const { label, button } of cells) button.setAttribute("aria-pressed", label === state.label);
  at("samples-title").textContent = `Samples of ${names[state.label]}`;
  at("jump").value = String(state.label);
}

function* row_job() {
  let spent = 0;
  for (const { label, canvas } of cells) {
    const began = performance.now();
    const image = model.generate(z_of(state.style, label), label);
    spent += performance.now() - began;
    paint(canvas, image);
    yield;
  }
  timings.row.push(spent);
  if (timings.row.length > 500) timings.row.shift();
}

function show_label(label) {
  const page = Math.floor(label / PER_PAGE);
  const other = label !== state.label;
  [state.label, state.page] = [label, page];
  if (cells.length && cells[0].label === page * PER_PAGE) mark_label();
  else lay_out_row();
  if (!other) return;
  draw_samples();
  if (state.ends) start("walk", walk_ends_job());
}

function choose_label(label) {
  if (label === state.label) draw_samples(); // others of it
  show_label(label);
  refresh();
}

// ---- changing the style -------------------------------------------------------------------------------------------

function refresh() {
  for (const { dimension, input, output } of sliders) {
    input.value = state.style[dimension];
    output.textContent = `${fixed(state.style[dimension])} sd`;
  }
  const [first, second] = data.order;
  const [x, y] = [first, second ?? first].map((dimension) => Math.min(Math.max(state.style[dimension], -REACH), REACH));
  at("pad-dot").style.left = `${(50 * (x + REACH)) / REACH}%`;
  at("pad-dot").style.top = `${(50 * (REACH - y)) / REACH}%`;
  at("pad").setAttribute("aria-valuenow", x.toFixed(2));
  at("pad").setAttribute("aria-valuetext", `${fixed(x)} and ${fixed(y)} standard deviations`);
  start("row", row_job());
  start("traversals", traversals_job());
  start("pad", pad_job());
}

function set_style(style, what, origin = null) {
  state.style = Float64Array.from(style);
  state.origin = origin;
  say(what);
  refresh();
}

function random_style() {
  const style = normal(latent_dim);
  for (const dimension of state.locked) style[dimension] = state.style[dimension];
  return style;
}

function set_dimensions(values, what) {
  const style = state.style.slice();
  for (const [dimension, value] of values) style[dimension] = Math.min(Math.max(value, -REACH), REACH);
  pause();
  set_style(style, what);
}

function set_prior(which) {
  state.prior = which === "label" ? label_prior : null;
  at("prior-label").checked = state.prior !== null;
  at("prior-standard").checked = state.prior === null;
  if (state.origin) state.style = Float64Array.from(style_of(state.origin.z, state.origin.label, state.prior));
  refresh();
  draw_samples();
  if (state.picture) read_picture(state.picture.x, state.picture.told);
  if (state.ends) start("walk", walk_ends_job());
}

// ---- sliders, traversals and the pad ------------------------------------------------------------------------------

const sliders = [];

function lay_out_sliders() {
  sliders.length = 0;
  const nodes = data.order.slice(0, state.dimensions).map((dimension, rank) => {
    const id = `dimension-${dimension}`;
    const input = make("input", { type: "range", id, min: -REACH, max: REACH, step: 0.01 });
    const output = make("output", { for: id });
    const title = make("label", { for: id }, `Dimension ${dimension + 1}`);
    const carried = make("span", { class: "quiet" }, `${fixed(data.kl[rank], 1)} nats`);
    const lock = make(
      "button",
      { type: "button", class: "lock", "aria-label": `Lock dimension ${dimension + 1}` },
      "lock",
    );
    lock.setAttribute("aria-pressed", state.locked.has(dimension));
    lock.addEventListener("click", () => {
      if (!state.locked.delete(dimension)) state.locked.add(dimension);
      lock.setAttribute("aria-pressed", state.locked.has(dimension));
    });
    const thumbs = STEPS.map((value) => {
      const canvas = picture_canvas({ "aria-hidden": "true" });
      const sd = `Dimension ${dimension + 1} at ${fixed(value, 0)} standard deviations`;
      const button = make("button", { type: "button", "aria-label": sd, tabindex: -1 }, canvas);
      button.addEventListener("click", () => set_dimensions([[dimension, value]], sd));
      return { value, canvas, button };
    });
    input.addEventListener("input", () => set_dimensions([[dimension, input.valueAsNumber]], "your own mix"));
    sliders.push({ dimension, input, output, thumbs });
    const head = make("div", { class: "head" }, title, carried, lock, output);
    const strip = make("div", { class: "thumbs" }, ...thumbs.map((thumb) => thumb.button));
    return make("div", { class: "slider" }, head, strip, input);
  });
  at("sliders").replaceChildren(...nodes);
  at("more-dimensions").hidden = state.dimensions >= latent_dim;
}

function* traversals_job() {
  for (const { dimension, thumbs } of sliders) {
    for (const { value, canvas } of thumbs) {
      paint(canvas, model.generate(latent_of(changed(dimension, value), state.label, state.prior), state.label));
      yield;
    }
  }
}

function* pad_job() {
  const [first, second] = data.order;
  const value = (i) => -REACH + (2 * REACH * (i + 0.5)) / PAD;
  for (let row = 0; row < PAD; row++) {
    for (let column = 0; column < PAD; column++) {
      const style = changed(first, value(column));
      style[second ?? first] = second === undefined ? style[first] : value(PAD - 1 - row);
      paint(
        at("pad-map"),
        model.generate(latent_of(style, state.label, state.prior), state.label),
        column * WIDTH,
        row * HEIGHT,
      );
      yield;
    }
  }
}

function move_on_pad(event) {
  const box = at("pad").getBoundingClientRect();
  const x = -REACH + (2 * REACH * (event.clientX - box.left)) / box.width;
  const y = REACH - (2 * REACH * (event.clientY - box.top)) / box.height;
  const [first, second] = data.order;
  set_dimensions(
    second === undefined
      ? [[first, x]]
      : [
          [first, x],
          [second, y],
        ],
    "your own mix",
  );
}

function step_on_pad(event) {
  const step = event.shiftKey ? 0.5 : 0.1;
  const moves = { ArrowLeft: [0, -step], ArrowRight: [0, step], ArrowDown: [1, -step], ArrowUp: [1, step] };
  if (!(event.key in moves)) return;
  const [rank, by] = moves[event.key];
  const dimension = data.order[rank] ?? data.order[0];
  event.preventDefault();
  set_dimensions([[dimension, state.style[dimension] + by]], "your own mix");
}

// ---- samples ------------------------------------------------------------------------------------------------------

let samples = []; // {z, label, canvas, image}

function draw_samples() {
  samples = [];
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
      : eps.map((e) => temperature * e);
    const [image, canvas] = [model.generate(z, label), picture_canvas({ "aria-hidden": "true" })];
    const title = `Sample ${samples.length + 1} of ${names[label]}: take its style`;
    const button = make("button", { type: "button", class: "cell", "aria-label": title }, canvas);
    button.addEventListener("click", () => take_sample(z, label));
    paint(canvas, image);
    samples.push({ z, label, image });
    at("samples").append(button);
    yield;
  }
}

function take_sample(z, label) {
  pause();
  set_style(style_of(z, label, state.prior), `the style of a sample of ${names[label]}`, { z, label });
}

// ---- the picture that is read -------------------------------------------------------------------------------------

const easel = at("canvas");
const pen = easel.getContext("2d", { willReadFrequently: true });
const grey = data.run.digits && CHANNELS === 1;
const paper = data.run.digits ? "#ffffff" : `rgb(${data.run.background.join(",")})`;
let stroke = null; // the last point of the line that is being drawn
let reads = 0; // counts the pictures: an older one that is decoded late must not win

function lay_out_easel() {
  const scale = Math.max(1, Math.round(336 / Math.max(WIDTH, HEIGHT)));
  [easel.width, easel.height] = [WIDTH * scale, HEIGHT * scale];
  const dark = luma(...data.run.background) < 128 && !data.run.digits;
  at("ink").value = dark ? "#f4f4f4" : "#1a1a1a";
  at("ink-label").hidden = data.run.digits || CHANNELS === 1;
  clear_easel();
}

function clear_easel() {
  reads++;
  jobs.delete("reading");
  pen.fillStyle = paper;
  pen.fillRect(0, 0, easel.width, easel.height);
  state.picture = null;
  at("invitation").hidden = false;
  at("reading").hidden = true;
  at("reading-hint").hidden = false;
  at("file").value = "";
}

function point(event) {
  const box = easel.getBoundingClientRect();
  return [
    ((event.clientX - box.left) * easel.width) / box.width,
    ((event.clientY - box.top) * easel.height) / box.height,
  ];
}

function draw_line(event) {
  if (!stroke) return;
  pen.strokeStyle = data.run.digits ? "#000000" : at("ink").value;
  pen.lineWidth = (at("pen").valueAsNumber / 100) * easel.width;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...stroke);
  const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  for (const some of events.length ? events : [event]) pen.lineTo(...(stroke = point(some)));
  pen.stroke();
  at("invitation").hidden = true;
}

function begin_line(event) {
  if (event.button !== 0) return;
  event.preventDefault();
  easel.setPointerCapture(event.pointerId);
  stroke = point(event);
  draw_line(event);
}

function end_line(event) {
  if (!stroke) return;
  stroke = null;
  reads++;
  show_picture(easel, "your drawing");
}

function show_picture(picture, what) {
  try {
    const x = prepare(picture, data.run);
    pause();
    read_picture(x, null, what);
  } catch (error) {
    if (!(error instanceof NoDigit)) throw error;
    say(`This ${error.message}.`);
  }
}

async function take_file(file) {
  const mine = ++reads;
  let picture;
  try {
    picture = await decoded(file);
  } catch {
    return say("This file cannot be read as a picture: save it as PNG or JPEG.");
  }
  if (mine !== reads) return;
  pen.fillStyle = paper;
  pen.fillRect(0, 0, easel.width, easel.height);
  const scale = Math.min(easel.width / picture.width, easel.height / picture.height);
  const [w, h] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * scale)));
  pen.drawImage(resized(picture, w, h).canvas, (easel.width - w) / 2, (easel.height - h) / 2);
  at("invitation").hidden = true;
  show_picture(picture, "your picture");
}

function noise_source() {
  if (!data.noise) {
    const random = seeded(1);
    return () => normal(latent_dim, random);
  }
  const all = unpack(data.noise);
  return (draw, y) => all.subarray((draw * num_labels + y) * latent_dim, (draw * num_labels + y + 1) * latent_dim);
}

// `told`: the label, if a person said it; else it is read.
function read_picture(x, told, what = "your picture") {
  const shares = reader && softmax(reader.logits(x));
  state.picture = { x, told, label: told, shares, log_p: null, own: null, what };
  at("reading").hidden = false;
  at("reading-hint").hidden = true;
  at("prepared").width = WIDTH;
  at("prepared").height = HEIGHT;
  paint(at("prepared"), x);
  if (told !== null) take_hand();
  at("evidence").textContent = "";
  if (reader) show_bars(state.picture); // at once; Bayes' rule takes its time
  start("reading", reading_job(state.picture));
}

function* reading_job(picture) {
  at("reading").setAttribute("aria-busy", "true");
  let shown = 0;
  for (const log_p of label_log_likelihoods(model, picture.x, noise_source(), data.draws, state.prior)) {
    if (log_p && performance.now() - shown > 100) {
      picture.log_p = log_p;
      show_bars(picture);
      shown = performance.now();
    } else if (log_p) picture.log_p = log_p;
    yield;
  }
  picture.own = picture.log_p.indexOf(Math.max(...picture.log_p));
  show_bars(picture);
  at("reading").setAttribute("aria-busy", "false");
}

function show_bars(picture) {
  const shares = picture.shares ?? softmax(picture.log_p);
  const read = shares.indexOf(Math.max(...shares));
  if (picture.told === null && picture.label !== read) {
    picture.label = read;
    take_hand();
  }
  const about = picture.told === null ? `${percent(shares[read])} sure` : `as you say; read as ${names[read]}`;
  at("verdict").replaceChildren(make("strong", {}, names[picture.label]), make("br"), about);
  if (picture.own !== null && picture.own !== read) {
    const press = picture.told === null ? "; press the right one" : "";
    const doubt = `the model itself takes it for ${names[picture.own]}${press}`;
    at("verdict").append(make("br"), make("span", { class: "quiet" }, doubt));
  }
  const ranked = Array.from(shares.keys())
    .sort((a, b) => shares[b] - shares[a])
    .slice(0, BARS);
  const shown = num_labels <= BARS ? Array.from(shares.keys()) : ranked;
  const list = at("bars");
  while (list.children.length < shown.length) list.append(make_bar());
  shown.forEach((label, i) => {
    const button = list.children[i].firstChild;
    const [name, track, share] = button.children;
    button.dataset.label = label;
    button.setAttribute("aria-pressed", label === picture.label);
    name.textContent = names[label];
    track.firstChild.style.width = `${100 * shares[label]}%`;
    share.textContent = percent(shares[label]);
  });
  if (!picture.log_p) return;
  const bound = fixed(-picture.log_p[picture.label], 1);
  at("evidence").textContent =
    `−ln p(x|y = ${names[picture.label]}) is at most about ${bound} nats, from ${data.draws} draws of z.`;
}

function make_bar() {
  const track = make("span", { class: "track" }, make("span", { class: "fill" }));
  const button = make(
    "button",
    { type: "button" },
    make("span", { class: "name" }),
    track,
    make("span", { class: "share" }),
  );
  button.addEventListener("click", () => {
    if (!state.picture) return;
    state.picture.told = state.picture.label = Number(button.dataset.label);
    take_hand();
    show_bars(state.picture);
  });
  return make("li", {}, button);
}

// The style of the picture under its label becomes the style of the row; what q is goes into the table.
function take_hand() {
  const { x, label, what } = state.picture;
  const { mean, a } = model.encode(x, label);
  show_label(label);
  set_style(
    style_of(mean, label, state.prior),
    `${what}, taken as ${names[label]}, and its ${data.run.digits ? "hand" : "style"} under every label`,
    { z: mean, label },
  );
  const kl = gaussian_kl(mean, a);
  const total = kl.reduce((sum, value) => sum + value, 0);
  at("posterior-caption").textContent = `q(z|x, y = ${names[label]}): ${fixed(total, 1)} nats in all, most of them in`;
  const most = Array.from(kl.keys())
    .sort((i, j) => kl[j] - kl[i])
    .slice(0, ROWS);
  const rows = most.map((i) => {
    const numbers = [fixed(mean[i]), fixed(Math.exp(a[i])), fixed(kl[i])].map((text) => make("td", {}, text));
    return make("tr", {}, make("td", {}, String(i + 1)), ...numbers);
  });
  at("posterior").tBodies[0].replaceChildren(...rows);
}

// ---- the walk -----------------------------------------------------------------------------------------------------

let playing = null; // {forth, last} while it plays

function new_ends() {
  const there = random_style();
  state.ends = [state.style.slice(), there];
  at("walk").value = 0;
  start("walk", walk_ends_job());
}

function* walk_ends_job() {
  for (const [i, id] of ["walk-a", "walk-b"].entries()) {
    paint(at(id), model.generate(latent_of(state.ends[i], state.label, state.prior), state.label));
    yield;
  }
}

function walk_to(t) {
  at("walk").value = t;
  const style = slerp(state.ends[0], state.ends[1], t);
  set_style(style, "on the way from one style to another");
}

function play(now) {
  if (!playing) return;
  const pace = still.matches ? 500 : 0; // milliseconds between two pictures
  const passed = now - playing.last;
  if (passed >= pace) {
    playing.last = now;
    const t = at("walk").valueAsNumber + ((playing.forth ? 1 : -1) * Math.min(passed, 500)) / (1000 * SECONDS);
    if (t >= 1 || t <= 0) playing.forth = t <= 0;
    walk_to(Math.min(Math.max(t, 0), 1));
  }
  requestAnimationFrame(play);
}

function pause() {
  playing = null;
  at("play").textContent = "Play";
  at("play").setAttribute("aria-pressed", "false");
}

function play_or_pause() {
  if (playing) return pause();
  playing = { forth: at("walk").valueAsNumber < 1, last: performance.now() };
  at("play").textContent = "Pause";
  at("play").setAttribute("aria-pressed", "true");
  requestAnimationFrame(play);
}

// ---- links, JSON, PNG ---------------------------------------------------------------------------------------------

function hash_of_state() {
  const style = Array.from(state.style, (value) => Number(value.toFixed(3)));
  return new URLSearchParams({ label: state.label, prior: state.prior ? "label" : "standard", style }).toString();
}

// What a link says, as far as it can be believed; whether it said a style.
function follow_hash() {
  const said = new URLSearchParams(location.hash.slice(1));
  const style = (said.get("style") ?? "").split(",").map(Number);
  if (style.length !== latent_dim || !style.every((value) => Math.abs(value) <= 100)) return false;
  const label = Number(said.get("label"));
  show_label(Number.isInteger(label) && label >= 0 && label < num_labels ? label : 0);
  state.prior = said.get("prior") === "standard" ? null : label_prior;
  set_style(style, "the style of the link");
  set_prior(state.prior ? "label" : "standard");
  return true;
}

function as_json() {
  const { style, label, prior } = state;
  const z = Array.from(z_of(style, label));
  return JSON.stringify({
    run: data.run.name,
    step: data.run.step,
    label,
    name: names[label],
    prior: prior ? "label" : "standard",
    style: Array.from(style),
    z,
  });
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { "aria-hidden": "true", class: "hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(`${what} copied`);
}

// Pictures on a sheet, as they are on the screen, with a name under each if there are any.
function save(images, titles, columns, file) {
  const scale = Math.max(1, Math.round(112 / WIDTH));
  const [cell_w, cell_h, gap, text] = [WIDTH * scale, HEIGHT * scale, 8, titles ? 28 : 0];
  const rows = Math.ceil(images.length / columns);
  const sheet = make("canvas", { width: columns * (cell_w + gap) + gap, height: rows * (cell_h + gap + text) + gap });
  const brush = sheet.getContext("2d");
  const colours = getComputedStyle(document.documentElement);
  const small = picture_canvas();
  brush.fillStyle = colours.getPropertyValue("--paper");
  brush.fillRect(0, 0, sheet.width, sheet.height);
  brush.imageSmoothingEnabled = false;
  brush.textAlign = "center";
  brush.font = "16px system-ui, sans-serif";
  images.forEach((image, i) => {
    const [x, y] = [gap + (i % columns) * (cell_w + gap), gap + Math.floor(i / columns) * (cell_h + gap + text)];
    paint(small, grey && light.matches ? image.map((value) => 1 - value) : image);
    brush.drawImage(small, x, y, cell_w, cell_h);
    brush.fillStyle = colours.getPropertyValue("--ink");
    if (titles) brush.fillText(titles[i], x + cell_w / 2, y + cell_h + 20, cell_w);
  });
  sheet.toBlob((blob) => {
    const link = make("a", { download: file, href: URL.createObjectURL(blob) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
}

function save_row() {
  const labels = cells.map((cell) => cell.label);
  const images = labels.map((label) => model.generate(z_of(state.style, label), label));
  const mine = state.picture ? [[state.picture.x], ["you"]] : [[], []];
  const titles = [...mine[1], ...labels.map((label) => names[label])];
  save([...mine[0], ...images], titles, Math.min(10 + mine[0].length, titles.length), "style.png");
}

function save_samples() {
  save(
    samples.map((sample) => sample.image),
    null,
    Math.min(10, samples.length),
    "samples.png",
  );
}

// ---- the self-test ------------------------------------------------------------------------------------------------

// The largest differences from what TensorFlow made of the same z and the same images.
function self_test() {
  const worst = { z: 0, pixel: 0, mean: 0, a: 0, logit: 0 };
  const compare = (what, mine, theirs) => {
    for (let i = 0; i < theirs.length; i++) worst[what] = Math.max(worst[what], Math.abs(mine[i] - theirs[i]) || 0);
    if (!mine.every(Number.isFinite)) worst[what] = Infinity;
  };
  for (const golden of data.golden) {
    const [style, z, pixels] = [unpack(golden.style), unpack(golden.z), unpack(golden.pixels)];
    compare("z", latent_of(style, golden.label, label_prior), z);
    const image = model.generate(z, golden.label);
    compare(
      "pixel",
      pixels.map((_, i) => image[i * golden.stride]),
      pixels,
    );
    const { mean, a } = model.encode(image, golden.label);
    compare("mean", mean, unpack(golden.mean));
    compare("a", a, unpack(golden.a));
    if (reader) compare("logit", reader.logits(pixels), unpack(golden.logits));
  }
  return worst;
}

function show_self_test() {
  const worst = self_test();
  const good = worst.pixel <= 2 / 255 && worst.mean < 0.05 && worst.a < 0.05 && worst.z < 0.05 && worst.logit < 0.001;
  const pixels = `pixels by ${(255 * worst.pixel).toFixed(2)}/255`;
  const encoder = `the encoder’s mean by ${worst.mean.toFixed(4)}, ln σ by ${worst.a.toFixed(4)}`;
  const differences = `${pixels}, ${encoder}${reader ? `, the reader’s logits by ${worst.logit.toFixed(6)}` : ""}`;
  at("self-test").classList.add(good ? "good" : "bad");
  at("self-test").textContent = good
    ? `Self-test passed: on ${data.golden.length} pictures this page differs from TensorFlow at most in ${differences}.`
    : `Self-test FAILED: this page differs from TensorFlow in ${differences}. Do not trust its pictures.`;
  at("test-link").textContent = good
    ? `✓ agrees with TensorFlow to ${(255 * worst.pixel).toFixed(1)}/255`
    : "✗ self-test failed";
  return worst;
}

// ---- begin --------------------------------------------------------------------------------------------------------

function describe() {
  const { digits, name, step, dataset, simplified } = data.run;
  const ten = num_labels === 10 ? "ten" : num_labels.toLocaleString("en");
  at("title").textContent = digits ? `One hand, ${ten} digits` : `One style, ${ten} labels`;
  document.title = `${at("title").textContent} – conditional VAE`;
  const reads = reader ? "A small network reads it, and the model" : "The model in this page reads it, and";
  at("lede").textContent = digits
    ? `Draw a digit. ${reads} writes all the others in your hand.`
    : "Draw, drop or paste a picture. The model in this page reads it, and draws every label in its style.";
  at("random").textContent = digits ? "New hand" : "New style";
  at("style-title").textContent = digits ? "Bend the hand" : "Bend the style";
  at("order").textContent =
    `Sliders count standard deviations of the prior in use. The most active dimensions come first: ordered by the mean ` +
    `KL divergence of q(z|x, y) from N(0, I) over ${data.order_pictures} pictures that the model itself drew. ` +
    `Thumbnails show the label chosen above.`;
  at("pad-note").textContent =
    latent_dim > 1
      ? `Across: dimension ${data.order[0] + 1}. Up: dimension ${data.order[1] + 1}.`
      : "The one dimension.";
  const weights = Object.values(data.model.weights).reduce(
    (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
    0,
  );
  const pixels = `${HEIGHT} × ${WIDTH} × ${CHANNELS}`;
  at("about").textContent =
    `Run ${name}, data ${dataset}, step ${step.toLocaleString("en")}: ${weights.toLocaleString("en")} weights, ` +
    `pictures of ${pixels}, ${latent_dim} latents, ${num_labels} labels.` +
    (simplified ? " The label prior is one diagonal Gaussian for each label here, for the page’s size." : "");
  if (reader) {
    at("reading-hint").textContent =
      "Draw, drop, paste or choose a picture: a small network, trained on the same digits in many hands, reads it, " +
      "and says so where the model itself, by Bayes’ rule, would read another.";
    at("reads").textContent =
      "The label is read by a small convolutional network; the model’s own reading is Bayes’ rule, from bounds";
  }
  at("priors").hidden = label_prior === null;
  const longest = Math.min(Math.max(...names.map((name) => name.length)), 16);
  at("bars").style.setProperty("--name", `${0.6 * longest}rem`);
  if (num_labels > PER_PAGE) {
    at("jump").append(...names.map((name, label) => make("option", { value: label }, name)));
  }
}

function listen() {
  const on = (id, type, react) => at(id).addEventListener(type, react);
  on("random", "click", () => {
    pause();
    set_style(random_style(), "a random style");
  });
  on("reset", "click", () => {
    pause();
    const locked = state.style.map((value, dimension) => (state.locked.has(dimension) ? value : 0));
    set_style(locked, "the middle of the prior");
  });
  on("copy-link", "click", () => {
    location.hash = hash_of_state();
    copy(location.href, "Link");
  });
  on("copy-json", "click", () => copy(as_json(), "JSON"));
  on("save-row", "click", save_row);
  on("save-samples", "click", save_samples);
  on("prior-label", "change", () => set_prior("label"));
  on("prior-standard", "change", () => set_prior("standard"));
  on("previous", "click", () => turn_page(-1));
  on("next", "click", () => turn_page(1));
  on("jump", "change", () => choose_label(Number(at("jump").value)));
  on("more-dimensions", "click", () => {
    state.dimensions = Math.min(state.dimensions + ROWS, latent_dim);
    lay_out_sliders();
    refresh();
  });
  on("pad", "keydown", step_on_pad);
  on("pad", "pointerdown", (event) => {
    at("pad").setPointerCapture(event.pointerId);
    move_on_pad(event);
  });
  on("pad", "pointermove", (event) => {
    if (at("pad").hasPointerCapture(event.pointerId)) move_on_pad(event);
  });
  on("more", "click", () => start("samples", samples_job()));
  on("temperature", "input", () => {
    at("temperature-value").textContent = at("temperature").valueAsNumber.toFixed(2);
    draw_samples();
  });
  on("walk", "input", () => {
    pause();
    walk_to(at("walk").valueAsNumber);
  });
  on("play", "click", play_or_pause);
  on("ends", "click", () => {
    pause();
    new_ends();
  });
  on("clear", "click", clear_easel);
  on("file", "change", () => at("file").files.length && take_file(at("file").files[0]));
  on("canvas", "pointerdown", begin_line);
  on("canvas", "pointermove", draw_line);
  on("canvas", "pointerup", end_line);
  on("canvas", "pointercancel", end_line);
  listen_for_files();
  addEventListener("hashchange", () => location.hash.slice(1) !== hash_of_state() && follow_hash());
}

function turn_page(by) {
  state.page += by;
  lay_out_row();
  start("row", row_job());
}

function listen_for_files() {
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) take_file(event.clipboardData.files[0]);
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    at("veil").hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) at("veil").hidden = true;
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    at("veil").hidden = true;
    if (event.dataTransfer.files.length) take_file(event.dataTransfer.files[0]);
  });
}

document.documentElement.classList.toggle("grey", grey);
describe();
lay_out_row();
lay_out_sliders();
lay_out_easel();
[at("pad-map").width, at("pad-map").height] = [PAD * WIDTH, PAD * HEIGHT];
for (const id of ["walk-a", "walk-b"]) [at(id).width, at(id).height] = [WIDTH, HEIGHT];
listen();
const test = show_self_test();
if (!follow_hash()) {
  state.style = normal(latent_dim);
  say("a random style");
  set_prior(label_prior ? "label" : "standard");
}
new_ends();
window.explorer = {
  model,
  reader,
  prior: label_prior,
  state,
  timings,
  test,
  jobs,
  prepare: (picture) => prepare(picture, data.run),
};
