// The walk: spherical interpolation from the current style to another.

const SECONDS = 4; // duration of a walk from end to end
const still = matchMedia("(prefers-reduced-motion: reduce)");
const ends = [null, normal(latent_dim)]; // styles: where the walk starts, and where it ends
let playing = null; // while the walk plays {forth, last}: whether it goes forwards, and the time of the last picture

// Interpolate spherically from a to b, at t in 0–1.
function slerp(a, b, t) {
  const cosine = dot(a, b) / Math.max(Math.sqrt(dot(a, a) * dot(b, b)), 1e-12);
  const angle = Math.max(Math.acos(Math.min(Math.max(cosine, -1), 1)), 1e-6);
  return a.map((value, i) => (Math.sin((1 - t) * angle) * value + Math.sin(t * angle) * b[i]) / Math.sin(angle));
}

// Set the slider to the start of a walk from the current style to `end`.
function begin_walk(end = ends[1]) {
  set_playing(null);
  [ends[0], ends[1]] = [state.style, end];
  at("walk").value = 0;
  start("walk", walk_ends_job());
}

function* walk_ends_job() {
  for (const [i, id] of ["walk-a", "walk-b"].entries()) {
    paint(at(id), preview(ends[i]));
    yield;
  }
}

function walk_to(t) {
  at("walk").value = t;
  show_style(slerp(...ends, t), "on the way from one style to another");
}

function play(now) {
  if (!playing) return;
  const passed = now - playing.last; // milliseconds since the last picture
  if (passed >= 500 || !still.matches) {
    playing.last = now;
    const t = at("walk").valueAsNumber + ((playing.forth ? 1 : -1) * Math.min(passed, 500)) / (1000 * SECONDS);
    if (t >= 1 || t <= 0) playing.forth = t <= 0;
    walk_to(Math.min(Math.max(t, 0), 1));
  }
  requestAnimationFrame(play);
}

function set_playing(how) {
  playing = how;
  at("play").textContent = how ? "Pause" : "Play";
}

function play_or_pause() {
  set_playing(playing ? null : { forth: at("walk").valueAsNumber < 1, last: performance.now() });
  requestAnimationFrame(play);
}
