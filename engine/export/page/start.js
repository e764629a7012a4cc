// Fill in the page's texts, connect its buttons, and begin.

function describe() {
  const { digits, name, step, dataset } = data.run;
  const count = num_labels === 10 ? "ten" : num_labels.toLocaleString("en");
  at("title").textContent = digits ? `One hand, ${count} digits` : `One style, ${count} labels`;
  document.title = `${at("title").textContent} – conditional VAE`;
  if (digits) {
    const reads = reader ? "A small network reads it, and the model" : "The model in this page reads it, and";
    at("lede").textContent = `Draw a digit. ${reads} writes all the others in your hand.`;
    at("random").textContent = "New hand";
    at("style-title").textContent = "Bend the hand";
  }
  if (reader) {
    at("reads").textContent =
      "The label is read by a small convolutional network; the model’s own reading is Bayes’ rule, from bounds";
  }
  at("map-note").textContent = `Across: dimension ${FIRST + 1}. Up: dimension ${SECOND + 1}.`;
  at("map-side").hidden = latent_dim === 1;
  const sizes = Object.values(model.weights).map((values) => values.length);
  const weights = sizes.reduce((sum, size) => sum + size, 0);
  const source = dataset === "folder" ? "a folder of pictures" : dataset;
  at("about").textContent =
    `The run “${name}”, trained on ${source} for ${step.toLocaleString("en")} steps: ` +
    `${weights.toLocaleString("en")} weights, pictures of ${HEIGHT} × ${WIDTH} × ${CHANNELS}, ` +
    `${latent_dim} latents, ${num_labels} labels.`;
  at("priors").hidden = label_prior === null;
  const longest = Math.min(Math.max(...names.map((text) => text.length)), 16);
  at("bars").style.setProperty("--name", `${0.6 * longest}rem`);
  if (num_labels > PER_PAGE) at("jump").append(...names.map((text, label) => make("option", { value: label }, text)));
}

function listen() {
  const on = (id, type, react) => at(id).addEventListener(type, react);
  on("random", "click", () => set_style(normal(latent_dim), "a random style"));
  on("reset", "click", () => set_style(new Float64Array(latent_dim), "the middle of the prior"));
  on("copy-link", "click", copy_link);
  on("save-row", "click", save_row);
  on("prior-label", "change", () => set_prior(label_prior));
  on("prior-standard", "change", () => set_prior(null));
  on("jump", "change", () => choose_label(Number(at("jump").value)));
  on("more-dimensions", "click", () => {
    state.dimensions = Math.min(state.dimensions + ROWS, latent_dim);
    lay_out_sliders();
    refresh();
  });
  on("more", "click", () => start("samples", samples_job()));
  on("temperature", "input", change_temperature);
  on("walk", "input", () => {
    pause();
    walk_to(at("walk").valueAsNumber);
  });
  on("play", "click", play_or_pause);
  on("ends", "click", new_ends);
  listen_to_map();
  listen_for_pictures();
  addEventListener("hashchange", follow_hash);
}

document.documentElement.classList.toggle("grey", grey);
for (const id of ["walk-a", "walk-b", "prepared"]) [at(id).width, at(id).height] = [WIDTH, HEIGHT];
describe();
lay_out_row();
lay_out_sliders();
lay_out_easel();
listen();
show_self_test();
set_style(normal(latent_dim), "a random style");
set_prior(label_prior);
follow_hash();
new_ends();
