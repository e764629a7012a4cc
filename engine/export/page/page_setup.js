// Fill in the page's texts, connect its buttons, and show the first style.

const style_word = data.run.digits ? "hand" : "style";

function describe() {
  const { digits, name, step, dataset } = data.run;
  const count = num_labels === 10 ? "ten" : num_labels.toLocaleString("en");
  at("title").textContent = `One ${style_word}, ${count} ${digits ? "digits" : "labels"}`;
  document.title = `${at("title").textContent} – conditional VAE`;
  if (digits) {
    const reads = reader ? "A small network reads it, and the model" : "The model in this page reads it, and";
    at("lede").textContent = `Draw a digit. ${reads} writes all the others in your hand.`;
  }
  at("random").textContent = `New ${style_word}`;
  at("style-title").textContent = `Bend the ${style_word}`;
  const weights = Object.values(model.weights).reduce((sum, values) => sum + values.length, 0);
  at("about").textContent =
    `The run “${name}”, trained on ${dataset === "folder" ? "a folder of pictures" : dataset} for ` +
    `${step.toLocaleString("en")} steps: ${weights.toLocaleString("en")} weights, pictures of ` +
    `${HEIGHT} × ${WIDTH} × ${CHANNELS}, ${latent_dim} latents, ${num_labels} labels.`;
}

function lay_out() {
  document.documentElement.classList.toggle("grey", grey);
  document.documentElement.classList.toggle("many", num_labels > 10);
  document.documentElement.style.setProperty("--columns", Math.min(10, num_labels));
  const longest = Math.min(Math.max(...names.map((text) => text.length)), 16);
  at("bars").style.setProperty("--name", `${0.6 * longest}rem`);
  at("prior-label").hidden = label_prior === null;
  at("jump-label").hidden = num_labels <= PER_PAGE;
  at("jump").append(...names.map((text, label) => make("option", { value: label }, text)));
  for (const id of ["walk-a", "walk-b", "prepared"]) [at(id).width, at(id).height] = [WIDTH, HEIGHT];
  for (const id of ["row", "bars", "samples"]) make_one_stop(at(id));
  show_label(0);
  add_sliders();
  lay_out_easel();
}

function listen() {
  const on = (id, type, react) => at(id).addEventListener(type, react);
  on("random", "click", () => set_style(normal(latent_dim), `a random ${style_word}`));
  on("reset", "click", () => set_style(new Float64Array(latent_dim), "the middle of the prior"));
  on("copy-link", "click", copy_link);
  on("prior", "change", () => set_prior(at("prior").value === "label" ? label_prior : null));
  on("jump", "change", () => choose_label(Number(at("jump").value)));
  on("more-dimensions", "click", add_sliders);
  on("more", "click", () => start("samples", samples_job()));
  on("temperature", "input", change_temperature);
  on("walk", "input", () => {
    set_playing(null);
    walk_to(at("walk").valueAsNumber);
  });
  on("play", "click", play_or_pause);
  on("ends", "click", () => begin_walk(normal(latent_dim)));
  listen_for_pictures();
  addEventListener("hashchange", follow_hash);
}

describe();
lay_out();
listen();
show_self_test();
set_style(normal(latent_dim), `a random ${style_word}`);
set_prior(label_prior);
follow_hash();
