// Links that store the current style, label and prior.

const FARTHEST = 7; // limit on a link's values, in standard deviations: MNIST's test digits reach 6.4

function hash_of_state() {
  const style = Array.from(state.style, (value) => Number(value.toFixed(3)));
  return new URLSearchParams({ label: state.label, prior: state.prior ? "label" : "standard", style }).toString();
}

// Restore the style from the address's hash, if it comes from copy_link and is not an anchor on the page.
function follow_hash() {
  const hash = location.hash.slice(1);
  if (!hash.includes("=") || hash === hash_of_state()) return;
  const said = new URLSearchParams(hash);
  const style = (said.get("style") ?? "").split(",").map(parseFloat);
  const label = Number(said.get("label") ?? 0);
  if (style.length !== latent_dim || !style.every(Number.isFinite) || names[label] === undefined) {
    at("status").textContent = "This link is damaged or belongs to another model: it was not followed.";
    return;
  }
  const within = style.map((value) => Math.min(Math.max(value, -FARTHEST), FARTHEST));
  const far = within.some((value, i) => value !== style[i]);
  show_label(label);
  set_style(within, `the style of the link${far ? `, its values cut to ±${FARTHEST}` : ""}`);
  set_prior(said.get("prior") === "standard" ? null : label_prior);
}

async function copy_link() {
  location.hash = hash_of_state();
  const local = location.protocol === "file:"; // a file's path would reveal the names of the user's folders
  const link = local ? location.pathname.split("/").pop() + location.hash : location.href;
  let said = `Link copied${local ? ", without the names of your folders" : ""}.`;
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    said = "The browser did not let the page copy: the link stands in the address bar.";
  }
  at("status").textContent = said;
}
