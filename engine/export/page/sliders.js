// A slider with thumbnails for each of the most active dimensions, and the map of the first two.

const STEPS = [-3, -2, -1, 0, 1, 2, 3]; // of the thumbnails
const MAP = Math.max(HEIGHT, WIDTH) > 64 ? 5 : 7; // pictures along a side of the map
const MIX = "your own mix";
const [FIRST, SECOND = FIRST] = data.order; // dimensions of the map, which is hidden where there is but one
const sliders = []; // {dimension, input, output, thumbs}

function make_slider(dimension, rank) {
  const id = `dimension-${dimension}`;
  const input = make("input", { type: "range", id, min: -REACH, max: REACH, step: 0.01 });
  const output = make("output", { for: id });
  const thumbs = STEPS.map((value) => {
    const canvas = picture_canvas({ "aria-hidden": "true" });
    const what = `Dimension ${dimension + 1} at ${fixed(value, 0)} standard deviations`;
    const react = () => set_style(changed([[dimension, value]]), what);
    return { value, canvas, button: make_button({ "aria-label": what, tabindex: -1 }, react, canvas) };
  });
  input.addEventListener("input", () => set_style(changed([[dimension, input.valueAsNumber]]), MIX));
  sliders.push({ dimension, input, output, thumbs });
  const title = make("label", { for: id }, `Dimension ${dimension + 1}`);
  const kl = make("span", { class: "quiet" }, `${fixed(data.kl[rank], 1)} nats`);
  const head = make("div", { class: "head" }, title, kl, output);
  const strip = make("div", { class: "thumbs" }, ...thumbs.map((thumb) => thumb.button));
  return make("div", { class: "slider" }, head, strip, input);
}

function lay_out_sliders() {
  sliders.length = 0;
  at("sliders").replaceChildren(...data.order.slice(0, state.dimensions).map(make_slider));
  at("more-dimensions").hidden = state.dimensions >= latent_dim;
  [at("map-pictures").width, at("map-pictures").height] = [MAP * WIDTH, MAP * HEIGHT];
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
      paint(canvas, preview(changed([[dimension, value]])));
      yield;
    }
  }
}

function show_map_dot() {
  const x = clamp(state.style[FIRST], REACH);
  const y = clamp(state.style[SECOND], REACH);
  at("map-dot").style.left = `${(50 * (x + REACH)) / REACH}%`;
  at("map-dot").style.top = `${(50 * (REACH - y)) / REACH}%`;
  at("map").setAttribute("aria-valuenow", x.toFixed(2));
  at("map").setAttribute("aria-valuetext", `${fixed(x)} and ${fixed(y)} standard deviations`);
}

function* map_job() {
  const value = (i) => -REACH + (2 * REACH * (i + 0.5)) / MAP;
  for (let row = 0; row < MAP; row++) {
    for (let column = 0; column < MAP; column++) {
      const places = [[FIRST, value(column)], [SECOND, value(MAP - 1 - row)]];
      paint(at("map-pictures"), preview(changed(places)), column * WIDTH, row * HEIGHT);
      yield;
    }
  }
}

function move_on_map(event) {
  const box = at("map").getBoundingClientRect();
  const x = -REACH + (2 * REACH * (event.clientX - box.left)) / box.width;
  const y = REACH - (2 * REACH * (event.clientY - box.top)) / box.height;
  set_style(changed([[FIRST, x], [SECOND, y]]), MIX);
}

function step_on_map(event) {
  const step = event.shiftKey ? 0.5 : 0.1;
  const across = { ArrowLeft: -step, ArrowRight: step }[event.key];
  const up = { ArrowDown: -step, ArrowUp: step }[event.key];
  if (!across && !up) return;
  const [dimension, by] = across ? [FIRST, across] : [SECOND, up];
  event.preventDefault();
  set_style(changed([[dimension, state.style[dimension] + by]]), MIX);
}

function listen_to_map() {
  const map = at("map");
  map.addEventListener("keydown", step_on_map);
  map.addEventListener("pointerdown", (event) => {
    map.setPointerCapture(event.pointerId);
    move_on_map(event);
  });
  map.addEventListener("pointermove", (event) => {
    if (map.hasPointerCapture(event.pointerId)) move_on_map(event);
  });
}
