// Work in slices of a frame, so that the page always answers.

const SLICE = 10; // milliseconds of a frame that go into pictures
const ORDER = ["row", "walk", "traversals", "samples", "reading"]; // who goes first
const jobs = new Map(); // generators that yield after every picture, by name
let scheduled = false;

// Run a job from the next frame on, in place of an unfinished one of the same name.
function start(name, job) {
  jobs.set(name, job);
  if (!scheduled) requestAnimationFrame(work);
  scheduled = true;
}

function work() {
  const until = performance.now() + SLICE;
  for (const name of ORDER) {
    while (jobs.has(name)) {
      const job = jobs.get(name);
      if (job.next().done && jobs.get(name) === job) jobs.delete(name);
      if (performance.now() > until && jobs.size) return requestAnimationFrame(work);
    }
  }
  scheduled = false;
}
