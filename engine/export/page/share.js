// Links that bring a style back, and the row as PNG.

const FARTHEST = 100; // that a link may set a dimension to, in standard deviations

function hash_of_state() {
  const style = Array.from(state.style, (value) => Number(value.toFixed(3)));
  return new URLSearchParams({ label: state.label, prior: state.prior ? "label" : "standard", style }).toString();
}

// Show what the address says behind its #, if it is a link of copy_link.
function follow_hash() {
  const said = new URLSearchParams(location.hash.slice(1));
  if (!said.has("style") || location.hash.slice(1) === hash_of_state()) return;
  const style = said.get("style").split(",").map(Number);
  const label = Number(said.get("label"));
  if (style.length !== latent_dim || !style.every(Number.isFinite) || names[label] === undefined) {
    at("status").textContent = "This link is damaged or belongs to another model: it was not followed.";
    return;
  }
  const within = style.map((value) => clamp(value, FARTHEST));
  const far = within.some((value, i) => value !== style[i]);
  show_label(label);
  set_style(within, `the style of the link${far ? `, its values cut to ±${FARTHEST}` : ""}`);
  set_prior(said.get("prior") === "standard" ? null : label_prior);
}

async function copy_link() {
  location.hash = hash_of_state();
  const local = location.protocol === "file:"; // the path of a file names its owner's folders
  const link = local ? location.pathname.split("/").pop() + location.hash : location.href;
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    at("status").textContent = "The browser did not let the page copy: the link stands in the address bar.";
    return;
  }
  at("status").textContent = `Link copied${local ? ", without the names of your folders" : ""}.`;
}

// Save the row as PNG as it looks on the screen, and before it the picture that was read.
function save_row() {
  const shown = cells.map(({ label }) => [model.generate(z_of(label), label), names[label]]);
  if (state.picture) shown.unshift([state.picture.x, "you"]);
  const columns = Math.min(state.picture ? 11 : 10, shown.length);
  const scale = Math.max(1, Math.round(112 / WIDTH));
  const [width, height, gap] = [WIDTH * scale, HEIGHT * scale, 8];
  const [across, down] = [width + gap, height + gap + 28]; // from picture to picture, a title below each
  const rows = Math.ceil(shown.length / columns);
  const sheet = make("canvas", { width: columns * across + gap, height: rows * down + gap });
  const [brush, small] = [sheet.getContext("2d"), picture_canvas()];
  const colours = getComputedStyle(document.documentElement);
  const inverted = grey && matchMedia("(prefers-color-scheme: light)").matches;
  brush.fillStyle = colours.getPropertyValue("--paper");
  brush.fillRect(0, 0, sheet.width, sheet.height);
  brush.fillStyle = colours.getPropertyValue("--ink");
  brush.imageSmoothingEnabled = false;
  brush.textAlign = "center";
  brush.font = "16px system-ui, sans-serif";
  shown.forEach(([image, title], i) => {
    const [x, y] = [gap + (i % columns) * across, gap + Math.floor(i / columns) * down];
    paint(small, inverted ? image.map((value) => 1 - value) : image);
    brush.drawImage(small, x, y, width, height);
    brush.fillText(title, x + width / 2, y + height + 20, width);
  });
  sheet.toBlob((blob) => {
    const link = make("a", { download: "style.png", href: URL.createObjectURL(blob) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
}
