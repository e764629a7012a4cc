// The row of images: the current style under every label.

const PER_PAGE = 20; // labels shown at once; a select element leads to the others
let cells = []; // {label, canvas, button}

function lay_out_row() {
  const first = state.label - (state.label % PER_PAGE);
  cells = Array.from({ length: Math.min(PER_PAGE, num_labels - first) }, (_, i) => {
    const [label, canvas] = [first + i, picture_canvas()];
    const caption = make("span", {}, names[label]);
    const button = make_button({ class: "cell", title: names[label] }, () => choose_label(label), canvas, caption);
    return { label, canvas, button };
  });
  at("row").replaceChildren(...cells.map((cell) => cell.button));
}

function* row_job() {
  for (const { label, canvas } of cells) {
    paint(canvas, model.generate(z_of(label), label));
    yield;
  }
}

// Make a label the current one, which the samples, sliders and walk show.
function show_label(label) {
  const other = label !== state.label;
  state.label = label;
  if (!cells.some((cell) => cell.label === label)) lay_out_row();
  for (const cell of cells) cell.button.setAttribute("aria-pressed", cell.label === label);
  at("samples-title").textContent = `Samples of ${names[label]}`;
  at("jump").value = label;
  if (!other) return;
  draw_samples();
  start("walk", walk_ends_job());
}

function choose_label(label) {
  if (label === state.label) draw_samples(); // a second click on a label draws new samples
  show_label(label);
  refresh();
}
