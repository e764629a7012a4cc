// What a picture is read as, and the style that is taken from it.

const BARS = 10; // labels whose probability is shown
const NOISE = []; // of Bayes' rule, drawn when it is needed: the same at every reading

// x: an image in 0–1 (H, W, C). told: its label, if a person chose it, else null: it is read.
function read_picture(x, told, what) {
  const shares = reader && softmax(reader.logits(x)); // of the reader; else Bayes' rule gives them
  state.picture = { x, told, what, shares, label: told, log_p: null, own: null };
  at("picture-status").textContent = "";
  at("reading").hidden = false;
  at("reading-hint").hidden = true;
  paint(at("prepared"), x);
  if (told !== null) take_style();
  start("reading", reading_job(state.picture));
}

function forget_picture() {
  jobs.delete("reading");
  state.picture = null;
  at("picture-status").textContent = "";
  at("reading").hidden = true;
  at("reading-hint").hidden = false;
}

// log_p: ln p(x|y) of every label so far; own: the label that is likeliest by it in the end.
function* reading_job(picture) {
  at("reading").setAttribute("aria-busy", "true");
  at("evidence").textContent = "";
  if (reader) show_bars(picture);
  const noise = (draw, y) => (NOISE[draw * num_labels + y] ??= normal(latent_dim));
  let shown = 0;
  for (const log_p of label_log_likelihoods(model, picture.x, noise, data.draws, state.prior)) {
    if (log_p) picture.log_p = log_p;
    if (log_p && performance.now() - shown > 100) {
      show_bars(picture);
      shown = performance.now();
    }
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
    take_style();
  }
  const about = picture.told === null ? `${percent(shares[read])} sure` : `as you say; read as ${names[read]}`;
  at("verdict").replaceChildren(make("strong", {}, names[picture.label]), make("br"), about);
  if (picture.own !== null && picture.own !== picture.label) {
    const press = picture.told === null ? "; press the right one" : "";
    const doubt = `the model itself takes it for ${names[picture.own]}${press}`;
    at("verdict").append(make("br"), make("span", { class: "quiet" }, doubt));
  }
  const labels = Array.from(shares.keys());
  const likeliest = labels.slice().sort((a, b) => shares[b] - shares[a]).slice(0, BARS);
  const bars = (num_labels <= BARS ? labels : likeliest).map((label) => [label, shares[label]]);
  const list = at("bars");
  while (list.children.length < bars.length) list.append(make_bar());
  bars.forEach(([label, share], i) => {
    const button = list.children[i].firstChild;
    const [name, track, number] = button.children;
    button.dataset.label = label;
    button.setAttribute("aria-pressed", label === picture.label);
    name.textContent = names[label];
    track.firstChild.style.width = `${100 * share}%`;
    number.textContent = percent(share);
  });
  if (!picture.log_p) return;
  const bound = fixed(-picture.log_p[picture.label], 1);
  at("evidence").textContent =
    `−ln p(x|y = ${names[picture.label]}) is at most about ${bound} nats, from ${data.draws} draws of z.`;
}

function make_bar() {
  const track = make("span", { class: "track" }, make("span", { class: "fill" }));
  const [name, share] = [make("span", { class: "name" }), make("span", { class: "share" })];
  const button = make_button({}, () => tell_label(Number(button.dataset.label)), name, track, share);
  return make("li", {}, button);
}

function tell_label(label) {
  state.picture.told = state.picture.label = label;
  take_style();
  show_bars(state.picture);
}

// The style of the picture under its label becomes the style of the row; q(z|x, y) goes into the table.
function take_style() {
  const { x, label, what } = state.picture;
  const { mean, a } = model.encode(x, label);
  show_label(label);
  const style = data.run.digits ? "hand" : "style";
  const said = `${what}, taken as ${names[label]}, and its ${style} under every label`;
  set_style(style_of(mean, label, state.prior), said, { z: mean, label });
  const kl = gaussian_kl(mean, a);
  const total = kl.reduce((sum, value) => sum + value, 0);
  at("posterior-caption").textContent = `q(z|x, y = ${names[label]}): ${fixed(total, 1)} nats in all, most of them in`;
  const largest = Array.from(kl.keys()).sort((i, j) => kl[j] - kl[i]);
  const rows = largest.slice(0, ROWS).map((i) => {
    const numbers = [fixed(mean[i]), fixed(Math.exp(a[i])), fixed(kl[i])].map((text) => make("td", {}, text));
    return make("tr", {}, make("td", {}, String(i + 1)), ...numbers);
  });
  at("posterior").tBodies[0].replaceChildren(...rows);
}
