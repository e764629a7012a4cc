// The drawing area, and picture files that are chosen, dropped or pasted.

const easel = at("canvas");
const pen = easel.getContext("2d", { willReadFrequently: true });
const paper = data.run.digits ? "#ffffff" : `rgb(${data.run.background.join(",")})`;
let stroke = null; // {pointer, last} of the line that is being drawn: the pointer's id and the line's last point
let reads = 0; // number of the newest picture; an older one that is decoded later is dropped

function lay_out_easel() {
  const scale = Math.max(1, Math.round(336 / Math.max(WIDTH, HEIGHT)));
  [easel.width, easel.height] = [WIDTH * scale, HEIGHT * scale];
  at("ink").value = luma(...data.run.background) < 128 ? "#f4f4f4" : "#1a1a1a";
  at("ink-label").hidden = data.run.digits || CHANNELS === 1;
  clear_easel();
}

function blank() {
  pen.fillStyle = paper;
  pen.fillRect(0, 0, easel.width, easel.height);
  easel.classList.remove("photo");
  at("invitation").hidden = false;
}

function clear_easel() {
  reads++;
  blank();
  forget_picture();
  at("file").value = "";
}

function point(event) {
  const box = easel.getBoundingClientRect();
  const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  return [x * easel.width, y * easel.height];
}

function begin_line(event) {
  if (event.button !== 0 || stroke) return; // ignore a second finger or the palm
  event.preventDefault();
  easel.setPointerCapture(event.pointerId);
  stroke = { pointer: event.pointerId, last: point(event) };
  draw_line(event);
}

function draw_line(event) {
  if (event.pointerId !== stroke?.pointer) return;
  pen.strokeStyle = data.run.digits ? "#000000" : at("ink").value;
  pen.lineWidth = (at("pen").valueAsNumber / 100) * easel.width;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...stroke.last);
  const events = event.getCoalescedEvents?.() ?? [];
  for (const part of events.length ? events : [event]) {
    stroke.last = point(part);
    pen.lineTo(...stroke.last);
  }
  pen.stroke();
  at("invitation").hidden = true;
}

function end_line(event) {
  if (event.pointerId !== stroke?.pointer) return;
  stroke = null;
  reads++;
  show_picture(easel, "your drawing");
}

// Read a picture, or show a message if it shows no digit.
function show_picture(picture, what) {
  try {
    read_picture(prepare(picture, data.run), what);
  } catch (error) {
    if (!(error instanceof NoDigit)) throw error;
    forget_picture(`This ${error.message}.`);
  }
}

async function take_file(file) {
  const number = ++reads;
  at("picture-status").textContent = "Reading the file …";
  let picture;
  try {
    picture = await decoded(file);
  } catch (error) {
    if (number === reads) at("picture-status").textContent = error.message;
    return;
  }
  if (number !== reads) return;
  blank();
  const { canvas } = fitted(picture, easel.width, easel.height);
  pen.drawImage(canvas, (easel.width - canvas.width) / 2, (easel.height - canvas.height) / 2);
  easel.classList.add("photo");
  at("invitation").hidden = true;
  show_picture(picture, "your picture");
}

function listen_for_pictures() {
  easel.addEventListener("pointerdown", begin_line);
  easel.addEventListener("pointermove", draw_line);
  easel.addEventListener("pointerup", end_line);
  easel.addEventListener("pointercancel", end_line);
  at("clear").addEventListener("click", clear_easel);
  at("file").addEventListener("change", () => at("file").files.length && take_file(at("file").files[0]));
  const take_first = (files) => files.length && take_file(files[0]);
  document.addEventListener("paste", (event) => take_first(event.clipboardData.files));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take_first(event.dataTransfer.files);
  });
}
