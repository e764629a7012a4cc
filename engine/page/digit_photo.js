// Pictures as the model sees them: data/digit_photo.py over again, with the same names and numbers (data.photo), and for
// runs that are not on digits the scaling that their training pictures had. A canvas does the resizing, so pixels differ
// a little from Pillow's. A picture is whatever a canvas can draw: a bitmap, another canvas.
"use strict";

class NoDigit extends Error {}

// ---- images: {data, width, height}, data row by row ---------------------------------------------------------------

// The picture, or its part [left, top, width, height], on a canvas of that size: the canvas's context.
function resized(picture, width, height, part = [0, 0, picture.width, picture.height]) {
  let [left, top, w, h] = part;
  while (true) {
    // by halves, as a single step would skip pixels
    const next = [Math.max(width, Math.ceil(w / 2)), Math.max(height, Math.ceil(h / 2))];
    const size = [w > 2 * width || h > 2 * height ? next : [width, height]].flat();
    const pen = new OffscreenCanvas(...size).getContext("2d", { willReadFrequently: true });
    pen.drawImage(picture, left, top, w, h, 0, 0, ...size);
    if (size[0] === width && size[1] === height) return pen;
    [picture, left, top, w, h] = [pen.canvas, 0, 0, ...size];
  }
}

// The same of an image in 0–1, so that its longer side is `longest`.
function scaled({ data, width, height }, longest) {
  const pixels = new ImageData(width, height);
  data.forEach((value, i) => pixels.data.fill(255 * value, 4 * i, 4 * i + 3));
  for (let i = 3; i < pixels.data.length; i += 4) pixels.data[i] = 255;
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  const scale = longest / Math.max(width, height);
  const [w, h] = [width, height].map((side) => Math.max(1, Math.round(scale * side)));
  const rgba = resized(canvas, w, h).getImageData(0, 0, w, h).data;
  return { data: Float32Array.from({ length: w * h }, (_, i) => rgba[4 * i] / 255), width: w, height: h };
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

// Of the values where the mask is 1.
function mean_in(values, mask) {
  return values.reduce((total, value, i) => total + value * mask[i], 0) / sum(mask);
}

function largest(values) {
  return values.reduce((most, value) => Math.max(most, value), -Infinity);
}

function quantile(values, share) {
  const sorted = Float32Array.from(values).sort();
  return sorted[Math.floor(share * (sorted.length - 1))];
}

function where(values, test) {
  const mask = new Uint8Array(values.length);
  for (let i = 0; i < mask.length; i++) mask[i] = test(values[i], i) ? 1 : 0;
  return mask;
}

// The threshold that parts `values` into two groups with the least variance within them (Otsu, 1979).
function otsu(values) {
  const low = values.reduce((least, value) => Math.min(least, value), Infinity);
  const width = (largest(values) - low) / 256;
  const counts = new Float64Array(256);
  for (const value of values) counts[Math.min(Math.floor((value - low) / width) || 0, 255)]++;
  const total = counts.reduce((all, count, i) => all + count * i, 0);
  let [best, most, below, weighted] = [0, -1, 0, 0];
  for (let i = 0; i < 255; i++) {
    below += counts[i];
    weighted += counts[i] * i;
    const above = values.length - below;
    const between = below * above * (weighted / below - (total - weighted) / above) ** 2;
    if (between > most) [best, most] = [i, between];
  }
  return low + (best + 1) * width;
}

// The maximum over the square that goes `reach` pixels to each side of each pixel.
function dilated({ data, width, height }, reach) {
  const spread = (values, length, step) => {
    return values.map((value, i) => {
      const at = Math.floor(i / step) % length;
      for (let by = -Math.min(reach, at); by <= Math.min(reach, length - 1 - at); by++) {
        if (values[i + by * step] > value) value = values[i + by * step];
      }
      return value;
    });
  };
  return { data: spread(spread(data, width, 1), height, width), width, height };
}

// Each connected component of a mask with a number of its own, 0 elsewhere; and each one's box and whether it is cut:
// [{top, bottom, left, right, cut}], ends exclusive.
function components({ data, width, height }) {
  const labels = new Int32Array(data.length);
  const boxes = [null];
  for (let start = 0; start < data.length; start++) {
    if (!data[start] || labels[start]) continue;
    const todo = [start];
    const box = { top: height, bottom: 0, left: width, right: 0 };
    labels[start] = boxes.length;
    while (todo.length) {
      const i = todo.pop();
      const [row, column] = [Math.floor(i / width), i % width];
      box.top = Math.min(box.top, row);
      box.bottom = Math.max(box.bottom, row + 1);
      box.left = Math.min(box.left, column);
      box.right = Math.max(box.right, column + 1);
      for (let y = Math.max(row - 1, 0); y <= Math.min(row + 1, height - 1); y++) {
        for (let x = Math.max(column - 1, 0); x <= Math.min(column + 1, width - 1); x++) {
          const j = y * width + x;
          if (!data[j] || labels[j]) continue;
          labels[j] = boxes.length;
          todo.push(j);
        }
      }
    }
    box.cut = box.top === 0 || box.left === 0 || box.bottom === height || box.right === width;
    boxes.push(box);
  }
  return { labels, boxes };
}

// ---- a digit in MNIST's form --------------------------------------------------------------------------------------

// A picture → Uint8 (side · side): ink 255 at its brightest on 0. Raises NoDigit.
function prepare_digit(picture, side) {
  const digit = find_digit(find_ink(picture));
  if (digit === null) throw new NoDigit("shows no digit: write one with a clear contrast to the paper");
  return place(digit, side);
}

// The picture on white, at most LONGEST pixels long; where most of it is nothing, its shape is the ink: a context.
function flat(picture) {
  const scale = Math.min(1, data.photo.LONGEST / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(scale * side)));
  const pen = resized(picture, width, height);
  const pixels = pen.getImageData(0, 0, width, height);
  const alphas = pixels.data.filter((_, i) => i % 4 === 3);
  const strokes = sum(Array.from(alphas)) < 128 * alphas.length;
  for (let i = 0; i < pixels.data.length; i++) {
    const alpha = alphas[i >> 2];
    if (i % 4 === 3) pixels.data[i] = 255;
    else pixels.data[i] = strokes ? 255 - alpha : (pixels.data[i] * alpha) / 255 + 255 - alpha;
  }
  pen.putImageData(pixels, 0, 0);
  return pen;
}

// How far each pixel of a picture is from the paper, towards the ink's colour.
function find_ink(picture) {
  const pen = flat(picture);
  const { width, height } = pen.canvas;
  const pixels = pen.getImageData(0, 0, width, height).data;
  const paper = paper_of(pen.canvas);
  const { TONE } = data.photo;
  const tones = Float32Array.from({ length: 256 }, (_, v) => (255 * Math.log1p(v / TONE)) / Math.log1p(255 / TONE));
  const [red, green, blue] = [0, 1, 2].map((c) => {
    return new Float32Array(width * height).map((_, i) => tones[pixels[4 * i + c]] - tones[paper[4 * i + c]]);
  });
  const size = red.map((value, i) => Math.sqrt(value ** 2 + green[i] ** 2 + blue[i] ** 2));
  const least = 0.5 * largest(size);
  const strongest = where(size, (value) => value >= least);
  const towards = [red, green, blue].map((away) => mean_in(away, strongest));
  const [r, g, b] = towards.map((value) => value / (Math.hypot(...towards) || 1));
  return { data: red.map((value, i) => r * value + g * green[i] + b * blue[i]), width, height };
}

// The paper's colour at every pixel of a canvas: the median of what is around it, which strokes do not change. RGBA.
function paper_of(canvas) {
  const { SHEET, WINDOW, STEP } = data.photo;
  const scale = Math.min(1, SHEET / Math.max(canvas.width, canvas.height));
  const [width, height] = [canvas.width, canvas.height].map((side) => Math.max(1, Math.round(scale * side)));
  const copy = resized(canvas, width, height).getImageData(0, 0, width, height).data;
  const [columns, rows] = [width, height].map((side) => Math.max(1, Math.ceil((side - STEP / 2) / STEP)));
  const medians = new ImageData(columns, rows);
  medians.data.forEach((_, i) => {
    const begin = (at, side) => Math.max(Math.min(STEP * at + STEP / 2 - (WINDOW - 1) / 2, side - WINDOW), 0);
    const [top, left] = [begin(Math.floor(i / 4 / columns), height), begin(Math.floor(i / 4) % columns, width)];
    const [bottom, right] = [Math.min(top + WINDOW, height), Math.min(left + WINDOW, width)];
    const counts = new Int32Array(256);
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) counts[copy[4 * (y * width + x) + (i % 4)]]++;
    let [median, left_over] = [0, ((bottom - top) * (right - left)) / 2 - counts[0]];
    while (left_over > 0) left_over -= counts[++median];
    medians.data[i] = median;
  });
  const small = new OffscreenCanvas(columns, rows);
  small.getContext("2d").putImageData(medians, 0, 0);
  return resized(small, canvas.width, canvas.height).getImageData(0, 0, canvas.width, canvas.height).data;
}

// The digit alone, cropped, full ink at 1. null if nothing stands out from the paper. It is the heaviest component that
// the border does not cut, and what belongs to it. Where there is none, what the border cuts is wiped out, as a pencil's
// strokes are not seen beside a dark table. Without any, the digit is cut.
function find_digit({ data: whole, width, height }) {
  const { CONTRAST, NOISE, SMALL } = data.photo;
  const least = Math.max(CONTRAST, NOISE * quantile(whole.map(Math.abs), 0.5));
  let [ink, cut_digit] = [whole.slice(), null];
  while (true) {
    const positive = ink.map((value) => Math.max(value, 0));
    const threshold = otsu(positive);
    const mask = strong(ink, where(ink, (value) => value > threshold));
    if (!mask.includes(1) || mean_in(ink, mask) < least) return cut_digit;
    const { labels, boxes } = components(dilated({ data: mask, width, height }, 1));
    const weights = new Float64Array(boxes.length);
    labels.forEach((label, i) => (weights[label] += ink[i] * mask[i]));
    const inner = weights.map((weight, label) => (label && !boxes[label].cut ? weight : 0));
    const main = inner.indexOf(Math.max(...inner));
    if (main && longer_side(boxes[main]) >= SMALL * Math.max(width, height)) {
      return cut_out(ink, mask, labels, boxes, inner, width);
    }
    cut_digit ??= cut_out(ink, mask, labels, boxes, weights, width);
    if (!boxes.some((box) => box?.cut)) return cut_digit;
    ink = ink.map((value, i) => (labels[i] && boxes[labels[i]].cut ? 0 : value));
  }
}

function longer_side({ top, bottom, left, right }) {
  return Math.max(bottom - top, right - left);
}

// The part of a mask whose ink is DARKER times as strong as the rest's, if there is one: no shade, no crease.
function strong(ink, mask) {
  const threshold = otsu(ink.filter((_, i) => mask[i]));
  const dark = where(ink, (value, i) => mask[i] && value > threshold);
  const rest = where(mask, (value, i) => value && !dark[i]);
  return mean_in(ink, dark) >= data.photo.DARKER * mean_in(ink, rest) ? dark : mask;
}

// The heaviest component, and what lies near it and is not much lighter, cropped: ink in 0–1.
function cut_out(ink, mask, labels, boxes, weights, columns) {
  const heaviest = weights.indexOf(Math.max(...weights));
  const main = boxes[heaviest];
  const reach = Math.ceil(data.photo.NEAR * longer_side(main));
  const near = new Set();
  for (let y = Math.max(main.top - reach, 0); y < Math.min(main.bottom + reach, ink.length / columns); y++) {
    for (let x = Math.max(main.left - reach, 0); x < Math.min(main.right + reach, columns); x++) {
      near.add(labels[y * columns + x]);
    }
  }
  const kept = boxes.map((_, label) => near.has(label) && weights[label] >= data.photo.LIGHT * weights[heaviest]);
  const parts = boxes.filter((_, i) => kept[i]);
  const [top, left] = ["top", "left"].map((side) => Math.min(...parts.map((box) => box[side])));
  const [bottom, right] = ["bottom", "right"].map((side) => Math.max(...parts.map((box) => box[side])));
  const full = quantile(ink.filter((_, i) => mask[i] && kept[labels[i]]), 0.75); // a stroke's core, not its edge
  const [width, height] = [right - left, bottom - top];
  const at = (i) => (top + Math.floor(i / width)) * columns + left + (i % width);
  const value = (_, i) => (kept[labels[at(i)]] ? Math.min(Math.max(ink[at(i)] / full, 0), 1) : 0);
  return { data: Float32Array.from({ length: width * height }, value), width, height };
}

// Ink in 0–1, its strokes as wide as PEN at least.
function thickened(ink) {
  const fine = padded(scaled(ink, 4 * 20), 4); // four pixels for each of MNIST's
  const stroke = { ...fine, data: where(fine.data, (value) => value > 0.5) };
  const area = sum(stroke.data);
  const width = (2 * area) / Math.max(sum(dilated(stroke, 1).data) - area, 1); // what a pixel more on either side adds
  const reach = Math.round((4 * data.photo.PEN - width) / 2);
  return reach > 0 ? padded(dilated(fine, reach), reach - 4) : ink;
}

// With so many pixels of 0 more on each side, or fewer.
function padded({ data, width, height }, by) {
  const [w, h] = [width + 2 * by, height + 2 * by];
  const value = (_, i) => {
    const [y, x] = [Math.floor(i / w) - by, (i % w) - by];
    return y < 0 || x < 0 || y >= height || x >= width ? 0 : data[y * width + x];
  };
  return { data: Float32Array.from({ length: w * h }, value), width: w, height: h };
}

// Ink in 0–1 scaled to BOX of `side`, and its centre of mass brought to the centre: Uint8 (side · side).
function place(ink, side) {
  const { data: digit, width, height } = scaled(thickened(ink), Math.round(data.photo.BOX * side));
  const most = largest(digit);
  // Rounded up: in every MNIST digit the centre of mass lies from 14.0 to 15.0, the frame being 28 wide.
  const start = (length, position) => {
    const centre = digit.reduce((total, value, i) => total + value * (position(i) + 0.5), 0) / sum(digit);
    return Math.min(Math.max(Math.ceil(side / 2 - centre), 0), side - length);
  };
  const [row, column] = [(i) => Math.floor(i / width), (i) => i % width];
  const [top, left] = [start(height, row), start(width, column)];
  const page = new Uint8Array(side * side);
  digit.forEach((value, i) => (page[(top + row(i)) * side + left + column(i)] = Math.round((255 * value) / most)));
  return page;
}

// ---- any picture --------------------------------------------------------------------------------------------------

// Of a run that is not on digits → (H, W, C), 0 to 255: "crop" keeps the centre, "pad" fills up, or "stretch".
function prepare_picture(picture, [h, w, c], fit, background) {
  const scales = [picture.width / w, picture.height / h];
  const [across, down] = fit === "stretch" ? scales : Array(2).fill(Math[fit === "crop" ? "min" : "max"](...scales));
  const [part_w, part_h] = [Math.min(picture.width, w * across), Math.min(picture.height, h * down)];
  const part = [(picture.width - part_w) / 2, (picture.height - part_h) / 2, part_w, part_h];
  const [inner_w, inner_h] = [part_w / across, part_h / down].map((side) => Math.max(1, Math.round(side)));
  const pen = new OffscreenCanvas(w, h).getContext("2d", { willReadFrequently: true });
  pen.fillStyle = `rgb(${background.join(",")})`;
  pen.fillRect(0, 0, w, h);
  const inner = resized(picture, inner_w, inner_h, part).canvas;
  pen.drawImage(inner, Math.floor((w - inner_w) / 2), Math.floor((h - inner_h) / 2));
  const rgba = pen.getImageData(0, 0, w, h).data;
  if (c === 3) return rgba.filter((_, i) => i % 4 < 3);
  return Uint8Array.from({ length: h * w }, (_, i) => luma(...rgba.subarray(4 * i, 4 * i + 3)));
}

// ITU-R 601, by Pillow's whole numbers.
function luma(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16;
}

// A picture → the image that the model gets, in 0–1 (H, W, C), as `generate.py --style-from` has it.
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

// A picture's file → a bitmap, upright.
async function decoded(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const { MAX_PIXELS } = data.photo;
  if (bitmap.width * bitmap.height <= MAX_PIXELS) return bitmap;
  throw new Error(`more than ${MAX_PIXELS / 1e6} million pixels: save it smaller`);
}
