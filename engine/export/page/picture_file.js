// Decode a picture's file and prepare it for the model: by digit_photo.js for a run on digits, else scaled as in
// training. A picture is a bitmap or a canvas. An image is {data, width, height}, one value of 0 to 255 per pixel.

function context(width, height) {
  return new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
}

// Resize the picture, or its part [left, top, width, height]: a canvas's context.
function resized(picture, width, height, part = [0, 0, picture.width, picture.height]) {
  let [left, top, w, h] = part;
  while (true) {
    const [next_w, next_h] = [Math.max(width, Math.ceil(w / 2)), Math.max(height, Math.ceil(h / 2))]; // skips no pixel
    const pen = context(next_w, next_h);
    pen.drawImage(picture, left, top, w, h, 0, 0, next_w, next_h);
    if (next_w === width && next_h === height) return pen;
    [picture, left, top, w, h] = [pen.canvas, 0, 0, next_w, next_h];
  }
}

// Halve a large picture until it has less than 2,000 pixels a side: steps that all its smaller copies would repeat.
function halved(picture) {
  if (Math.max(picture.width, picture.height) < 2000) return picture;
  return halved(resized(picture, Math.ceil(picture.width / 2), Math.ceil(picture.height / 2)).canvas);
}

// Resize the picture to fit into width × height, aspect kept: a canvas's context.
function fitted(picture, width, height) {
  const scale = Math.min(width / picture.width, height / picture.height);
  return resized(picture, ...[picture.width, picture.height].map((side) => Math.max(1, Math.round(scale * side))));
}

// Shrink the picture so that its longer side is at most `longest`: a canvas's context.
function thumbnail(picture, longest) {
  const side = Math.min(longest, Math.max(picture.width, picture.height));
  return fitted(picture, side, side);
}

function pixels_of(pen) {
  return pen.getImageData(0, 0, pen.canvas.width, pen.canvas.height).data;
}

// Crop `margin` pixels from each side of an image (a negative margin adds zeros), then scale its longer side.
function scaled({ data, width, height }, longest, margin = 0) {
  const pixels = new ImageData(width, height);
  data.forEach((value, i) => pixels.data.set([value, value, value, 255], 4 * i));
  const pen = context(width, height);
  pen.putImageData(pixels, 0, 0);
  const inner = [width - 2 * margin, height - 2 * margin];
  const [w, h] = inner.map((side) => Math.max(1, Math.round((longest * side) / Math.max(...inner))));
  const rgba = pixels_of(resized(pen.canvas, w, h, [margin, margin, ...inner]));
  return { data: new Uint8ClampedArray(w * h).map((_, i) => rgba[4 * i]), width: w, height: h };
}

// A picture for a run that is not on digits → (H, W, C), 0 to 255. fit: "crop" to the centre, "pad" or "stretch".
function prepare_picture(picture, [h, w, c], fit, background) {
  const scales = [picture.width / w, picture.height / h];
  const [across, down] = fit === "stretch" ? scales : Array(2).fill(Math[fit === "crop" ? "min" : "max"](...scales));
  const [part_w, part_h] = [Math.min(picture.width, w * across), Math.min(picture.height, h * down)];
  const part = [(picture.width - part_w) / 2, (picture.height - part_h) / 2, part_w, part_h];
  const [inner_w, inner_h] = [part_w / across, part_h / down].map((side) => Math.max(1, Math.round(side)));
  const pen = context(w, h);
  pen.fillStyle = `rgb(${background.join(",")})`;
  pen.fillRect(0, 0, w, h);
  const inner = resized(picture, inner_w, inner_h, part).canvas;
  pen.drawImage(inner, Math.floor((w - inner_w) / 2), Math.floor((h - inner_h) / 2));
  const rgba = pen.getImageData(0, 0, w, h).data;
  if (c === 3) return rgba.filter((_, i) => i % 4 < 3);
  return Uint8Array.from({ length: h * w }, (_, i) => luma(...rgba.subarray(4 * i, 4 * i + 3)));
}

// Luma of ITU-R 601 in Pillow's integer arithmetic.
function luma(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16;
}

// A picture → the model's input in 0–1 (H, W, C), as in `generate.py --style-from`.
function prepare(picture, { image_shape, digits, fit, background }) {
  const [h, w, c] = image_shape;
  if (!digits) return Float32Array.from(prepare_picture(picture, image_shape, fit, background), (value) => value / 255);
  const side = Math.min(h, w);
  const [top, left] = [Math.floor((h - side) / 2), Math.floor((w - side) / 2)];
  const out = new Float32Array(h * w * c);
  prepare_digit(picture, side).forEach((value, i) => {
    const at = ((top + Math.floor(i / side)) * w + left + (i % side)) * c;
    out.fill(value / 255, at, at + c);
  });
  return out;
}

// Whether a picture's file is truncated. Firefox and WebKit decode such a file without an error.
function breaks_off(bytes) {
  const view = new DataView(bytes.buffer);
  const is = (text, at) => [...text].every((letter, i) => bytes[at + i] === letter.charCodeAt(0));
  if (is("RIFF", 0)) return bytes.length < 8 + view.getUint32(4, true); // WebP
  if (is("BM", 0)) return bytes.length < view.getUint32(2, true);
  if (is("GIF8", 0)) return bytes.findLast((byte) => byte !== 0) !== 0x3b;
  let at = 8;
  if (is("\x89PNG", 0)) {
    while (at + 12 <= bytes.length && !is("IEND", at + 4)) at += 12 + view.getUint32(at);
    return at + 12 > bytes.length;
  }
  if (!is("\xff\xd8", 0)) return false;
  at = 2; // a JPEG's segments are skipped by their lengths, as one may contain a thumbnail JPEG
  while (at + 4 <= bytes.length && !is("\xff\xda", at)) at += 2 + view.getUint16(at + 2);
  do at = bytes.indexOf(0xd9, at + 1);
  while (at >= 0 && bytes[at - 1] !== 0xff);
  return at < 0;
}

// Decode a picture's file to an upright bitmap or canvas. Throws an Error whose message is for the user.
async function decoded(file) {
  if (file.type && !file.type.startsWith("image/")) throw new Error("This file is no picture.");
  if (breaks_off(new Uint8Array(await file.arrayBuffer()))) {
    throw new Error("This file breaks off before its picture ends: save or send it again.");
  }
  try {
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
    return data.run.digits ? halved(bitmap) : bitmap;
  } catch {
    throw new Error("This browser cannot read the file as a picture: try a PNG or JPEG, or a smaller picture.");
  }
}
