// The row: one style under every label.

const PER_PAGE = 20; // labels of the row that are seen at once
const cells = []; // {label, canvas, button}

function lay_out_row() {
  const first = state.page * PER_PAGE;
  const count = Math.min(PER_PAGE, num_labels - first);
  at("row").style.setProperty("--columns", Math.min(10, num_labels));
  at("row").style.setProperty("--columns-narrow", Math.min(5, num_labels));
  at("hand").classList.toggle("many", num_labels > 10);
  cells.length = 0;
  for (let label = first; label < first + count; label++) {
    const canvas = picture_canvas({ "aria-hidden": "true" });
    const attributes = { class: "cell", title: names[label] };
    const button = make_button(attributes, () => choose_label(label), canvas, make("span", {}, names[label]));
    cells.push({ label, canvas, button });
  }
  at("row").replaceChildren(...cells.map((cell) => cell.button));
  at("pager").hidden = num_labels <= PER_PAGE;
  at("pages").textContent = `Labels ${first + 1}–${first + count} of ${num_labels}`;
  mark_label();
}

function mark_label() {
  for (const { label, button } of cells) button.setAttribute("aria-pressed", label === state.label);
  at("samples-title").textContent = `Samples of ${names[state.label]}`;
  at("jump").value = String(state.label);
}

function* row_job() {
  for (const { label, canvas } of cells) {
    paint(canvas, model.generate(z_of(label), label));
    yield;
  }
}

// Make a label the one that samples, sliders and walk show.
function show_label(label) {
  const page = Math.floor(label / PER_PAGE);
  const other = label !== state.label;
  [state.label, state.page] = [label, page];
  if (cells[0].label === page * PER_PAGE) mark_label();
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
