// Run long jobs in short slices, one per frame, so that the page stays responsive.

const SLICE = 10; // milliseconds of work per frame
const ORDER = ["row", "walk", "traversals", "samples", "reading"]; // jobs by priority
const jobs = new Map(); // by name: generators that yield after every picture
let scheduled = false;

// Start a job in the next frame. It replaces an unfinished job of the same name.
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
  scheduled = jobs.size > 0; // a job may have started others, which come before it in ORDER
  if (scheduled) requestAnimationFrame(work);
}
