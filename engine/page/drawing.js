// The drawing area, and pictures that are chosen, dropped or pasted.

const easel = at("canvas");
const pen = easel.getContext("2d", { willReadFrequently: true });
const paper = data.run.digits ? "#ffffff" : `rgb(${data.run.background.join(",")})`;
let stroke = null; // {pointer, last}: whose line is being drawn, and its last point
let resting = 0; // the timer that reads what was drawn once the hand rests
let reads = 0; // counts the pictures: an older one that is decoded late must not win

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
}

function clear_easel() {
  reads++;
  clearTimeout(resting);
  blank();
  forget_picture();
  at("invitation").hidden = false;
  at("file").value = "";
}

function point(event) {
  const box = easel.getBoundingClientRect();
  const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  return [x * easel.width, y * easel.height];
}

function begin_line(event) {
  if (event.button !== 0 || stroke) return; // a second finger does not draw
  event.preventDefault();
  easel.setPointerCapture(event.pointerId);
  clearTimeout(resting);
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
  resting = setTimeout(() => show_picture(pen.getImageData(0, 0, easel.width, easel.height), "your drawing"), 150);
}

// Read RGBA pixels; where they show no digit, say so.
function show_picture(rgba, what) {
  try {
    const x = prepare({ data: rgba.data, width: rgba.width, height: rgba.height, channels: 4 }, data.run);
    read_picture(x, null, what);
  } catch (error) {
    if (!(error instanceof NoDigit)) throw error;
    forget_picture();
    at("picture-status").textContent = `This ${error.message}.`;
  }
}

async function take_file(file) {
  const number = ++reads;
  let rgba;
  try {
    rgba = await pixels_of(file);
  } catch {
    if (number === reads) at("picture-status").textContent = "This file cannot be read as a picture: try PNG or JPEG.";
    return;
  }
  if (number !== reads) return;
  blank();
  const scale = Math.min(easel.width / rgba.width, easel.height / rgba.height);
  const [w, h] = [rgba.width * scale, rgba.height * scale];
  const copy = new OffscreenCanvas(rgba.width, rgba.height);
  copy.getContext("2d").putImageData(new ImageData(rgba.data, rgba.width, rgba.height), 0, 0);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(copy, (easel.width - w) / 2, (easel.height - h) / 2, w, h);
  at("invitation").hidden = true;
  show_picture(rgba, "your picture");
}

function listen_for_pictures() {
  easel.addEventListener("pointerdown", begin_line);
  easel.addEventListener("pointermove", draw_line);
  easel.addEventListener("pointerup", end_line);
  easel.addEventListener("pointercancel", end_line);
  at("clear").addEventListener("click", clear_easel);
  at("file").addEventListener("change", () => at("file").files.length && take_file(at("file").files[0]));
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) take_file(event.clipboardData.files[0]);
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) take_file(event.dataTransfer.files[0]);
  });
}
