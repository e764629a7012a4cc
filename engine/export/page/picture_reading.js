// Read a picture's label and take its style.

const BARS = 10; // number of labels whose probability is shown
const NOISE = []; // noise for Bayes' rule, drawn when first needed and reused for every picture

// Read an image x in 0–1 (H, W, C). The digit reader's answer is shown at once, that of Bayes' rule follows.
function read_picture(x, what) {
  const shares = reader && softmax(reader.logits(x)); // null: Bayes' rule gives them
  state.picture = { x, what, shares, told: null, label: null, log_p: null, own: null };
  show_answer(true);
  paint(at("prepared"), x);
  if (reader) show_reading(state.picture);
  start("reading", reading_job(state.picture));
}

// Remove the reading; `why` is shown in its place.
function forget_picture(why = "") {
  jobs.delete("reading");
  state.picture = null;
  show_answer(false, why);
}

function show_answer(is_there, message = "") {
  at("picture-status").textContent = message;
  at("verdict").textContent = "…";
  at("evidence").textContent = "";
  at("answer").hidden = !is_there;
  at("hint").hidden = is_there;
  at("reading").hidden = true; // until there is something to show
}

// Apply Bayes' rule to a picture. Its fields: told, the label that the user chose, or null; log_p, the bounds on
// ln p(x|y) of every label so far; own, the label that is likeliest by the final log_p.
function* reading_job(picture) {
  picture.log_p = picture.own = null;
  const noise = (draw, y) => (NOISE[draw * num_labels + y] ??= normal(latent_dim));
  let shown = 0;
  for (const log_p of label_log_likelihoods(model, picture.x, noise, data.draws, state.prior)) {
    if (log_p) picture.log_p = log_p;
    if (log_p && performance.now() - shown > 100) {
      show_reading(picture);
      shown = performance.now();
    }
    yield;
  }
  picture.own = picture.log_p.indexOf(Math.max(...picture.log_p));
  show_reading(picture);
}

function show_reading(picture) {
  const shares = picture.shares ?? softmax(picture.log_p);
  const read = shares.indexOf(Math.max(...shares));
  const label = picture.told ?? read;
  if (label !== picture.label) take_style(picture, label);
  const about = picture.told === null ? `${percent(shares[read])} sure` : `as you say; read as ${names[read]}`;
  at("verdict").replaceChildren(make("strong", {}, names[label]), make("br"), about);
  if (picture.own !== null && picture.own !== label) {
    const press = picture.told === null ? "; press the right one below" : "";
    const doubt = `the model itself takes it for ${names[picture.own]}${press}`;
    at("verdict").append(make("br"), make("span", { class: "quiet" }, doubt));
  }
  at("reading").hidden = false;
  show_bars(shares, label);
  if (!picture.log_p) return;
  const bound = `at most about ${fixed(-picture.log_p[label], 1)} nats, from ${data.draws} draws of z`;
  at("evidence").textContent = `−ln p(x|y = ${names[label]}) is ${bound}.`;
}

function show_bars(shares, pressed) {
  const likeliest = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a]).slice(0, BARS);
  const shown = likeliest.sort((a, b) => a - b);
  const list = at("bars");
  while (list.children.length < shown.length) list.append(make_bar());
  shown.forEach((label, i) => {
    const button = list.children[i];
    const [name, track, number] = button.children;
    button.dataset.label = label;
    button.setAttribute("aria-pressed", label === pressed);
    name.textContent = names[label];
    track.firstChild.style.width = `${100 * shares[label]}%`;
    number.textContent = percent(shares[label]);
  });
}

function make_bar() {
  const track = make("span", { class: "track" }, make("span", { class: "fill" }));
  const tell_label = () => {
    state.picture.told = Number(bar.dataset.label);
    show_reading(state.picture);
  };
  const bar = make_button({}, tell_label, make("span", { class: "name" }), track, make("span", { class: "share" }));
  return bar;
}

// Encode a picture under a label and make its style the current one.
function take_style(picture, label) {
  picture.label = label;
  const { mean } = model.encode(picture.x, label);
  show_label(label);
  const said = `${picture.what}, taken as ${names[label]}, and its ${style_word} under every label`;
  set_style(style_of(mean, label, state.prior), said, { z: mean, label });
}
