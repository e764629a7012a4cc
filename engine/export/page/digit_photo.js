// Convert a photo or drawing of one handwritten digit to MNIST's form: a port of data/digit_photo.py, with the same
// constants (data.photo). Resizing is done by a canvas, so pixels differ a little from Pillow's.

class NoDigit extends Error {}

// A picture → Uint8 (side · side): ink of at most 255 on 0. Throws NoDigit.
function prepare_digit(picture, side) {
  const digit = find_digit(find_ink(flat(picture)));
  if (digit === null) throw new NoDigit("shows no digit: write one with a clear contrast to the paper");
  return placed(thickened(digit), side);
}

// Draw the picture on white, its longer side at most LONGEST pixels: a canvas's context.
function flat(picture) {
  const pen = thumbnail(picture, data.photo.LONGEST);
  const { width, height } = pen.canvas;
  let alpha = 0;
  pixels_of(pen).forEach((value, i) => (alpha += i % 4 === 3 ? value : 0));
  if (alpha < 128 * width * height) {
    pen.globalCompositeOperation = "source-in"; // strokes on a transparent page: the alpha channel is the ink
    pen.fillRect(0, 0, width, height);
  }
  pen.globalCompositeOperation = "destination-over";
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  return pen;
}

// The ink: each pixel's difference from the colour of the paper, projected on the direction of the ink's colour.
function find_ink(pen) {
  const copy = thumbnail(pen.canvas, data.photo.SHEET);
  const paper = medians(copy, new Uint8Array(copy.canvas.width * copy.canvas.height));
  const { data: rough } = away(copy, paper, paper);
  const [threshold] = thresholds_of(rough);
  const written = rough.map((value) => (value > threshold ? 1 : 0));
  const again = medians(copy, written); // without the ink, so that broad strokes are not taken for paper
  // Any colour between two medians near a pixel counts as paper, so that the edge of a shadow does, too.
  return away(pen, nearby(again, "darken"), nearby(again, "lighten"));
}

// Local medians of the pixels not `written`, or of all if a window has no others: a canvas, STEP times smaller.
function medians(copy, written) {
  const { WINDOW, STEP } = data.photo;
  const { width, height } = copy.canvas;
  const pixels = pixels_of(copy);
  const out = new ImageData(Math.ceil(width / STEP), Math.ceil(height / STEP));
  const median = (top, left, channel, most) => {
    const counts = new Int32Array(256);
    for (let y = Math.max(top, 0); y < Math.min(top + WINDOW, height); y++) {
      for (let i = y * width + Math.max(left, 0); i < y * width + Math.min(left + WINDOW, width); i++) {
        if (written[i] <= most) counts[pixels[4 * i + channel]]++;
      }
    }
    const half = sum(counts) / 2;
    let [level, below] = [0, counts[0]];
    while (below < half) below += counts[++level];
    return half || most ? level : median(top, left, channel, 1);
  };
  out.data.forEach((_, i) => {
    const [row, column] = [Math.floor(i / 4 / out.width), Math.floor(i / 4) % out.width];
    const [top, left] = [row, column].map((at) => STEP * at + Math.floor(STEP / 2) - Math.floor(WINDOW / 2));
    out.data[i] = i % 4 === 3 ? 255 : median(top, left, i % 4, 0);
  });
  const pen = context(out.width, out.height);
  pen.putImageData(out, 0, 0);
  return pen.canvas;
}

// The minimum ("darken") or maximum ("lighten") over 3 × 3 pixels of a canvas: a canvas.
function nearby(canvas, how) {
  const pen = context(canvas.width, canvas.height);
  pen.drawImage(canvas, 0, 0);
  pen.globalCompositeOperation = how;
  for (const y of [-1, 0, 1]) for (const x of [-1, 0, 1]) pen.drawImage(canvas, x, y);
  return pen.canvas;
}

// The ink of `find_ink`, where the paper may have any colour from `low` to `high`, two canvases.
function away(pen, low, high) {
  const { width, height } = pen.canvas;
  const sheet = context(width, height);
  sheet.drawImage(pen.canvas, 0, 0);
  sheet.globalCompositeOperation = "lighten";
  sheet.drawImage(low, 0, 0, width, height);
  sheet.globalCompositeOperation = "darken";
  sheet.drawImage(high, 0, 0, width, height);
  const [pixels, paper, { TONE }] = [pixels_of(pen), pixels_of(sheet), data.photo];
  const tones = Float32Array.from({ length: 256 }, (_, v) => (255 * Math.log1p(v / TONE)) / Math.log1p(255 / TONE));
  const apart = new Float32Array(pixels.length); // RGBA; alpha stays 0
  for (let i = 0; i < apart.length; i++) apart[i] = tones[pixels[i]] - tones[paper[i]];
  const square = (i) => apart[i] ** 2 + apart[i + 1] ** 2 + apart[i + 2] ** 2;
  let farthest = 0;
  for (let i = 0; i < apart.length; i += 4) farthest = Math.max(farthest, square(i));
  const towards = [0, 0, 0];
  for (let i = 0; i < apart.length; i += 4) {
    if (square(i) >= farthest / 4) for (let c = 0; c < 3; c++) towards[c] += apart[i + c];
  }
  const [red, green, blue] = towards;
  const scale = Math.sqrt(3) * (Math.hypot(red, green, blue) || 1);
  const along = (i) => (apart[i] * red + apart[i + 1] * green + apart[i + 2] * blue) / scale;
  const ink = new Uint8ClampedArray(width * height).map((_, i) => along(4 * i)); // rounds
  return { data: ink, width, height };
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

// The level that splits a histogram into two groups of least within-group variance (Otsu, 1979).
function otsu(counts) {
  const [all, total] = [sum(counts), sum(counts.map((count, level) => count * level))];
  let [best, most, below, moment] = [0, -1, 0, 0];
  counts.forEach((count, level) => {
    below += count;
    moment += count * level;
    const above = all - below;
    const between = below * above * (moment / Math.max(below, 1) - (total - moment) / Math.max(above, 1)) ** 2;
    if (between > most) [best, most] = [level, between];
  });
  return best;
}

// Thresholds for the ink: Otsu's, preceded by a higher one if the ink above that is DARKER than the rest.
function thresholds_of(ink) {
  const counts = new Float64Array(256);
  for (const value of ink) counts[value]++;
  const level = otsu(counts);
  counts.fill(0, 0, level + 1);
  const higher = otsu(counts);
  if (higher <= level) return [level]; // nothing to split
  const mean = (part, first) => sum(part.map((count, i) => count * (first + i))) / sum(part);
  const [faint, strong] = [mean(counts.slice(0, higher + 1), 0), mean(counts.slice(higher + 1), higher + 1)];
  return strong >= data.photo.DARKER * faint ? [higher, level] : [level];
}

// The digit alone, cropped, 255 where its ink is full; null if there is no clear ink. It is the heaviest component that
// the border does not cut, with the parts near it. While there is none, the components that the border cuts are erased:
// beside a dark table, a pencil's strokes do not stand out. If nothing is left, the digit is the first component that
// was the heaviest of all and either is not cut or reaches the middle of the picture.
function find_digit({ data: ink, width, height }) {
  const { CONTRAST, SMALL } = data.photo;
  let cut_digit = null;
  while (true) {
    let [image, inner] = [null, null];
    for (const threshold of thresholds_of(ink)) {
      const written = ink.map((value) => (value > threshold ? value : 0));
      const inked = written.filter((value) => value);
      if (!inked.length || sum(inked) < CONTRAST * inked.length) return cut_digit;
      image = { ink, written, width, ...components(dilated({ data: written, width, height }, 1), written) };
      inner = image.parts.filter((part) => !part.cut);
      const main = heaviest(inner);
      if (main.weight && main.size >= SMALL * Math.max(width, height)) return cut_out(image, inner, main);
    }
    const main = heaviest(image.parts);
    if (!main.cut || main.reaches_middle) cut_digit ??= cut_out(image, image.parts, main);
    if (inner.length === image.parts.length) return cut_digit;
    ink = ink.map((value, i) => (image.parts[image.labels[i]].cut ? 0 : value));
  }
}

function heaviest(parts) {
  return parts.reduce((most, part) => (part.weight > most.weight ? part : most));
}

// The main component, and those components of `some` that are NEAR it and not LIGHT, cropped.
function cut_out({ ink, written, width: columns, labels, parts }, some, main) {
  const reach = Math.ceil(data.photo.NEAR * main.size);
  const near = new Set();
  for (let y = Math.max(main.top - reach, 0); y < Math.min(main.bottom + reach, ink.length / columns); y++) {
    const [from, to] = [Math.max(main.left - reach, 0), Math.min(main.right + reach, columns)];
    for (const label of labels.subarray(y * columns + from, y * columns + to)) near.add(parts[label]);
  }
  const kept = new Set(some.filter((part) => near.has(part) && part.weight >= data.photo.LIGHT * main.weight));
  const inked = written.filter((value, i) => value && kept.has(parts[labels[i]])).sort();
  const full = inked[Math.floor(0.75 * (inked.length - 1))]; // a stroke's core, not its edge
  const digit = ink.map((value, i) => (kept.has(parts[labels[i]]) ? (255 * value) / full : 0));
  let [top, bottom, left, right] = [Infinity, 0, Infinity, 0];
  digit.forEach((value, i) => {
    if (!value) return;
    [top, bottom] = [Math.min(top, Math.floor(i / columns)), Math.floor(i / columns) + 1];
    [left, right] = [Math.min(left, i % columns), Math.max(right, (i % columns) + 1)];
  });
  const [width, height] = [right - left, bottom - top];
  const at = (i) => (top + Math.floor(i / width)) * columns + left + (i % width);
  return { data: new Uint8ClampedArray(width * height).map((_, i) => digit[at(i)]), width, height };
}

// Thicken strokes that are thinner than PEN.
function thickened(ink) {
  const room = Math.max(ink.width, ink.height) / 20;
  const fine = scaled(ink, 4 * 22, -room); // four pixels for each of MNIST's, and a margin of four for thicker strokes
  const stroke = { ...fine, data: fine.data.map((value) => (value > 127 ? 1 : 0)) };
  const [area, broader] = [sum(stroke.data), sum(dilated(stroke, 1).data)];
  const width = (2 * area) / Math.max(broader - area, 1); // dilation by a pixel adds 2 · area / width
  const reach = Math.round((4 * data.photo.PEN - width) / 2);
  if (reach <= 0) return ink;
  const thick = dilated(fine, reach);
  return scaled(thick, Math.max(thick.width, thick.height) - 2 * (4 - reach), 4 - reach);
}

// Scale ink to BOX of `side` and move its centre of mass to the centre: Uint8 (side · side).
function placed(ink, side) {
  const { data: digit, width, height } = scaled(ink, Math.round(data.photo.BOX * side));
  let [total, down, across, most] = [0, 0, 0, 0];
  digit.forEach((value, i) => {
    total += value;
    down += value * (Math.floor(i / width) + 0.5);
    across += value * ((i % width) + 0.5);
    most = Math.max(most, value);
  });
  // Rounded up: in all of MNIST's images, 28 pixels wide, the centre of mass lies between 14.0 and 15.0.
  const start = (moment, length) => Math.min(Math.max(Math.ceil(side / 2 - moment / total), 0), side - length);
  const [top, left] = [start(down, height), start(across, width)];
  const page = new Uint8Array(side * side);
  digit.forEach((value, i) => {
    page[(top + Math.floor(i / width)) * side + left + (i % width)] = Math.round((255 * value) / most);
  });
  return page;
}
