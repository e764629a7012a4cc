// Pictures as the model sees them: data/photo.py's `prepare` for digits over again, with Pillow's resampling to the last
// bit, and for all other runs the scaling that their training pictures had. Plain arrays, row by row.
"use strict";

const MAX_PIXELS = 50_000_000;
const WORK = 800; // longer side, in pixels, that the search for the digit works on
const FIT = 130; // the same for the paper's surface
const GRID = 130; // the same for the ink's connected parts
const TRACE = 160; // the same for a digit's strokes, of which the longer side of their box counts
const PEN = 1.0; // width of MNIST's thinnest strokes in its own pixels
const FAINT = 0.06; // of the full ink: below, a pixel does not stretch the digit's box
const FLAT = 25.0; // contrast below which a picture is blank
const BROAD = 10; // of the longer side a tenth to each side of a pixel: broader than any stroke
const SMALL = 0.1; // of the longer side: nothing smaller is taken for the digit in place of what the border cuts
const DEPTH = 0.25; // of a side: what reaches farther in from the border is no mark
const DARKER = 2.0; // times the mean of what else stands out: the digit, and not a shade, a crease or ruling
const PART = 0.04; // of the largest part's ink: smaller parts are specks

class NoDigit extends Error {}

// ---- small things that NumPy has ----------------------------------------------------------------------------------

function round_half_even(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 ? floor + 1 : floor;
}

function largest(values) {
  let most = -Infinity;
  for (const value of values) if (value > most) most = value;
  return most;
}

function percentile(values, share) {
  const sorted = Float64Array.from(values).sort();
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

function median(values) {
  return percentile(values, 0.5);
}

// The middle of the shortest range that holds half of the values: of two levels one, where a median lies between them.
function densest(values) {
  const sorted = Float64Array.from(values).sort();
  const half = Math.floor(sorted.length / 2);
  let start = 0;
  for (let i = 1; i + half < sorted.length; i++) {
    if (sorted[i + half] - sorted[i] < sorted[start + half] - sorted[start]) start = i;
  }
  return sorted[start + Math.floor(half / 2)];
}

function count_true(mask) {
  let count = 0;
  for (const value of mask) count += value ? 1 : 0;
  return count;
}

function above(values, limit) {
  const mask = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) mask[i] = values[i] > limit ? 1 : 0;
  return mask;
}

function not_below_0(values) {
  const out = values.slice();
  for (let i = 0; i < out.length; i++) if (out[i] < 0) out[i] = 0;
  return out;
}

// The rows and columns that hold all of a mask: [top, bottom, left, right], ends exclusive.
function box_of(mask, width) {
  let [top, bottom, left, right] = [Infinity, 0, Infinity, 0];
  for (let i = 0; i < mask.length; i++) {
    if (!mask[i]) continue;
    const x = i % width;
    const y = (i - x) / width;
    if (y < top) top = y;
    if (y >= bottom) bottom = y + 1;
    if (x < left) left = x;
    if (x >= right) right = x + 1;
  }
  return [top, bottom, left, right];
}

function longer_side([top, bottom, left, right]) {
  return Math.max(bottom - top, right - left);
}

// The threshold that parts `values` into two groups with the least variance within them (Otsu, 1979): with NumPy's
// histogram of 256 bins, in float32 if that is what the values are.
function otsu(values) {
  const rounded = values instanceof Float32Array ? Math.fround : (value) => value;
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (high - low < 1e-3) return high;
  const step = rounded(rounded(high - low) / 256);
  const edges = Float64Array.from({ length: 257 }, (_, i) => rounded(rounded(i * step) + low));
  edges[256] = high;
  const counts = new Float64Array(256);
  for (const value of values) {
    let bin = Math.min(Math.floor(((value - low) / (high - low)) * 256), 255);
    if (value < edges[bin]) bin--;
    else if (bin < 255 && value >= edges[bin + 1]) bin++;
    counts[bin]++;
  }
  const middle = (i) => rounded(rounded(edges[i] + edges[i + 1]) / 2);
  let [all, weighted] = [0, 0];
  counts.forEach((count, i) => {
    all += count;
    weighted += count * middle(i);
  });
  let [best, most, below, sum] = [0, 0, 0, 0];
  counts.forEach((count, i) => {
    below += count;
    sum += count * middle(i);
    const above = all - below;
    const between = below && above ? below * above * (sum / below - (weighted - sum) / above) ** 2 : 0;
    if (between > most) [best, most] = [i, between];
  });
  return edges[best + 1];
}

// ---- Pillow's resampling ------------------------------------------------------------------------------------------

function sinc(x) {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

const BOX = { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };
const BILINEAR = { support: 1, weight: (x) => Math.max(1 - Math.abs(x), 0) };
const LANCZOS = { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) };

// For each of `size` output pixels its first input pixel and the weights from there on; from low … high of `length`.
function taps(length, low, high, size, filter) {
  const scale = (high - low) / size;
  const stretch = Math.max(scale, 1);
  const reach = filter.support * stretch;
  return Array.from({ length: size }, (_, i) => {
    const centre = low + (i + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const last = Math.min(Math.trunc(centre + reach + 0.5), length);
    const weights = new Float64Array(last - first).map((_, j) => filter.weight((j + first - centre + 0.5) / stretch));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

// {data, width, height, channels} → the same of another size. Uint8 data are rounded after either pass with weights of
// 22 bits, Float32 ones are kept as such: both as Pillow does.
function resize(image, width, height, filter, box = [0, 0, image.width, image.height]) {
  const across = image.width !== width || box[0] !== 0 || box[2] !== width;
  const down = image.height !== height || box[1] !== 0 || box[3] !== height;
  let out = image;
  if (across) out = pass(out, taps(image.width, box[0], box[2], width, filter), true);
  if (down) out = pass(out, taps(image.height, box[1], box[3], height, filter), false);
  return out;
}

function pass({ data, width, height, channels }, every, across) {
  const size = across ? { width: every.length, height } : { width, height: every.length };
  const deep = data instanceof Float32Array;
  const out = deep
    ? new Float32Array(size.width * size.height * channels)
    : new Uint8ClampedArray(size.width * size.height * channels);
  const whole = (weight) => Math.trunc(weight * (1 << 22) + (weight < 0 ? -0.5 : 0.5));
  const weights = every.map((tap) => (deep ? tap.weights : tap.weights.map(whole)));
  const step = across ? channels : width * channels;
  for (let y = 0, to = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const at = across ? x : y;
      const from = across ? (y * width + every[at].first) * channels : (every[at].first * width + x) * channels;
      for (let channel = 0; channel < channels; channel++, to++) {
        let sum = deep ? 0 : 1 << 21;
        for (let j = 0, i = from + channel; j < weights[at].length; j++, i += step) sum += data[i] * weights[at][j];
        out[to] = deep ? sum : Math.floor(sum / (1 << 22));
      }
    }
  }
  return { data: out, ...size, channels };
}

// Means of blocks of `fx` × `fy` pixels.
function reduce({ data, width, height, channels }, fx, fy) {
  const size = { width: Math.ceil(width / fx), height: Math.ceil(height / fy) };
  const out = new Uint8ClampedArray(size.width * size.height * channels);
  for (let y = 0, to = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const [bottom, right] = [Math.min((y + 1) * fy, height), Math.min((x + 1) * fx, width)];
      const count = (bottom - y * fy) * (right - x * fx);
      for (let channel = 0; channel < channels; channel++, to++) {
        let sum = Math.floor(count / 2);
        for (let row = y * fy; row < bottom; row++) {
          for (let column = x * fx; column < right; column++) sum += data[(row * width + column) * channels + channel];
        }
        out[to] = Math.floor(sum / count);
      }
    }
  }
  return { data: out, ...size, channels };
}

// At most `longest` pixels long, aspect kept, by averaging: Pillow's thumbnail, which halves very large pictures first.
function thumbnail(image, longest) {
  const aspect = image.width / image.height;
  if (longest >= image.width && longest >= image.height) return image;
  const nearest = (side, away) => {
    const [low, high] = [Math.floor(side), Math.ceil(side)];
    return Math.max(away(low) <= away(high) ? low : high, 1);
  };
  let [width, height] = [longest, longest];
  if (aspect <= 1) width = nearest(longest * aspect, (n) => Math.abs(aspect - n / longest));
  else height = nearest(longest / aspect, (n) => (n ? Math.abs(aspect - longest / n) : 0));
  if (image.channels === 4) return unmultiplied(resize(premultiplied(image), width, height, BOX));
  const fx = Math.trunc(image.width / width / 2) || 1;
  const fy = Math.trunc(image.height / height / 2) || 1;
  if (fx === 1 && fy === 1) return resize(image, width, height, BOX);
  return resize(reduce(image, fx, fy), width, height, BOX, [0, 0, image.width / fx, image.height / fy]);
}

function premultiplied(image) {
  const data = image.data.slice();
  for (let i = 0; i < data.length; i += 4) {
    for (let j = i; j < i + 3; j++) data[j] = Math.round((data[j] * data[i + 3]) / 255);
  }
  return { ...image, data };
}

function unmultiplied(image) {
  const data = image.data.slice();
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3]) for (let j = i; j < i + 3; j++) data[j] = Math.floor((255 * data[j]) / data[i + 3]);
  }
  return { ...image, data };
}

function without_alpha({ data, width, height }) {
  const out = new Uint8ClampedArray(width * height * 3);
  for (let i = 0, j = 0; i < data.length; i += 4) {
    out[j++] = data[i];
    out[j++] = data[i + 1];
    out[j++] = data[i + 2];
  }
  return { data: out, width, height, channels: 3 };
}

// ---- a digit in MNIST's form --------------------------------------------------------------------------------------

// RGBA pixels of a picture → Uint8 (size · size): ink 255 at its brightest on 0. Raises NoDigit.
function prepare_digit(rgba, size) {
  const pixels = opaque_pixels(rgba);
  const { ink, noise } = find_ink(pixels);
  const part = largest_parts(ink, noise);
  if (part === null) throw new NoDigit("shows no digit: write one with a clear contrast to the paper");
  const kept = { ...ink, data: ink.data.map((value, i) => (part[i] ? value : 0)) };
  return place_digit(thickened(kept), size);
}

// Float (H, W, 3), 0 to 255, at most WORK pixels long; transparency becomes white, or is itself the ink's shape.
function opaque_pixels(rgba) {
  const see_through = rgba.data.some((value, i) => i % 4 === 3 && value < 255);
  const image = thumbnail(see_through ? rgba : without_alpha(rgba), WORK);
  const { data, width, height, channels } = image;
  if (channels === 3) return { data: Float64Array.from(data), width, height, channels };
  const alpha = Float64Array.from({ length: width * height }, (_, i) => data[4 * i + 3]);
  const opaque = alpha.map((value) => (value >= 128 ? 1 : 0));
  const share = count_true(opaque) / opaque.length;
  const bare = median(border({ data: alpha, width, height, channels: 1 })[0]) < 128 && share > 0;
  const strokes = bare && (share < 0.5 || colour_spread(data, opaque) < 24); // on nothing, of whatever colour
  const out = new Float64Array(width * height * 3);
  for (let i = 0; i < out.length; i++) {
    const a = alpha[Math.floor(i / 3)];
    const colour = data[4 * Math.floor(i / 3) + (i % 3)];
    out[i] = strokes ? 255 - a : (colour * a + 255 * (255 - a)) / 255;
  }
  return { data: out, width, height, channels: 3 };
}

// The largest standard deviation of a colour among the opaque pixels of RGBA data.
function colour_spread(data, opaque) {
  const spreads = [0, 1, 2].map((channel) => {
    let [count, sum, square] = [0, 0, 0];
    opaque.forEach((some, i) => {
      if (!some) return;
      const value = data[4 * i + channel];
      [count, sum, square] = [count + 1, sum + value, square + value ** 2];
    });
    return Math.sqrt(Math.max(square / count - (sum / count) ** 2, 0));
  });
  return Math.max(...spreads);
}

// The outermost pixels, an array for every channel.
function border({ data, width, height, channels }) {
  const at = [];
  for (let x = 0; x < width; x++) at.push(x, (height - 1) * width + x);
  for (let y = 0; y < height; y++) at.push(y * width, y * width + width - 1);
  return Array.from({ length: channels }, (_, channel) => at.map((i) => data[i * channels + channel]));
}

// The minimum-norm least squares of rows (M, 6) to targets (M, 3), through the eigenvectors of rowsᵀ·rows → (6, 3).
function least_squares(rows, targets) {
  const n = 6;
  const gram = Array.from({ length: n }, () => new Float64Array(n));
  const right = Array.from({ length: n }, () => new Float64Array(3));
  rows.forEach((row, m) => {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) gram[i][j] += row[i] * row[j];
      for (let c = 0; c < 3; c++) right[i][c] += row[i] * targets[m][c];
    }
  });
  const vectors = gram.map((_, i) => Float64Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 30; sweep++)
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(gram, vectors, p, q);
  const most = Math.max(...gram.map((row, i) => row[i]));
  const found = Array.from({ length: n }, () => new Float64Array(3));
  for (let k = 0; k < n; k++) {
    if (gram[k][k] <= 1e-13 * most) continue;
    for (let c = 0; c < 3; c++) {
      let along = 0;
      for (let i = 0; i < n; i++) along += vectors[i][k] * right[i][c];
      for (let i = 0; i < n; i++) found[i][c] += (vectors[i][k] * along) / gram[k][k];
    }
  }
  return found;
}

// One of Jacobi's rotations: makes matrix[p][q] zero, and turns the vectors with it.
function rotate(matrix, vectors, p, q) {
  if (matrix[p][q] === 0) return;
  const theta = (matrix[q][q] - matrix[p][p]) / (2 * matrix[p][q]);
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta ** 2 + 1));
  const cos = 1 / Math.sqrt(t ** 2 + 1);
  const sin = t * cos;
  for (const row of matrix) [row[p], row[q]] = [cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]];
  for (let i = 0; i < matrix.length; i++) {
    const [a, b] = [matrix[p][i], matrix[q][i]];
    [matrix[p][i], matrix[q][i]] = [cos * a - sin * b, sin * a + cos * b];
  }
  for (const row of vectors) [row[p], row[q]] = [cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]];
}

// How far each pixel is from the paper, towards the ink's colour; and the paper's noise. Where a hard-edged shadow lies
// on the paper, its level is what an opening leaves, and the ink there is brought to its contrast in full light.
function find_ink(pixels) {
  const { data, width, height } = pixels;
  const { sheet, rest } = fit_paper(pixels);
  const every = data.map((value, i) => value - sheet[i]);
  const away = new Float64Array(width * height);
  every.forEach((value, i) => {
    const at = Math.floor(i / 3);
    away[at] = Math.max(away[at], Math.abs(value));
  });
  const beside = broad_beside({ data: away, width, height });
  const clear = away.map((value, i) => (beside[i] ? 0 : value));
  const far = 0.5 * largest(clear);
  const towards = [0, 0, 0];
  clear.forEach((value, i) => {
    if (value >= far) for (let c = 0; c < 3; c++) towards[c] += every[3 * i + c];
  });
  const length = Math.hypot(...towards) || 1;
  for (let c = 0; c < 3; c++) towards[c] /= length;
  const along = (colours, i) =>
    colours[3 * i] * towards[0] + colours[3 * i + 1] * towards[1] + colours[3 * i + 2] * towards[2];
  const ink = away.map((_, i) => along(every, i));
  const noise = 1.5 * median(rest.map((colour) => Math.abs(along(colour, 0))));
  if (count_true(beside)) {
    const level = opened({ data: ink, width, height }, Math.floor(Math.max(width, height) / BROAD)).data;
    const shift = median(ink.map((value, i) => value - level[i]).filter((_, i) => beside[i]));
    for (let i = 0; i < ink.length; i++) {
      if (!beside[i]) continue;
      const light = Math.min(Math.max(1 + (level[i] + shift) / along(sheet, i), 0.4), 2.5) || 1; // not NaN
      ink[i] = (ink[i] - (level[i] + shift)) / light;
    }
  }
  return { ink: { data: ink, width, height }, noise };
}

// The paper's colour at every pixel, and how far some pixels that show it are from it. It is a quadratic surface,
// fitted to what looks like paper: first what resembles the border, then whatever lies within the noise.
function fit_paper(pixels) {
  const { data, width, height } = pixels;
  const line = (n) => Float64Array.from({ length: n }, (_, i) => (n > 1 ? -1 + (2 * i) / (n - 1) : -1));
  const [xs, ys] = [line(width), line(height)];
  const step = Math.ceil(Math.max(width, height) / FIT);
  const [some, terms] = [[], []];
  for (let row = 0; row < height; row += step) {
    for (let column = 0; column < width; column += step) {
      const i = 3 * (row * width + column);
      some.push([data[i], data[i + 1], data[i + 2]]);
      const [x, y] = [xs[column], ys[row]];
      terms.push([1, x, y, x * x, x * y, y * y]);
    }
  }
  const edge = border(pixels).map(densest);
  let away = Float64Array.from(some, (pixel) => Math.max(...pixel.map((value, c) => Math.abs(value - edge[c]))));
  let limit = otsu(away);
  let paper = Array.from(away.keys()).filter((i) => away[i] <= limit);
  let [fitted, rest] = [null, null];
  for (let round = 0; round < 5; round++) {
    fitted = least_squares(
      paper.map((i) => terms[i]),
      paper.map((i) => some[i]),
    );
    rest = some.map((pixel, m) =>
      pixel.map((value, c) => value - terms[m].reduce((sum, term, i) => sum + term * fitted[i][c], 0)),
    );
    away = Float64Array.from(rest, (pixel) => Math.max(...pixel.map(Math.abs)));
    limit = Math.max(4.5 * median(paper.map((i) => away[i])), 1.0);
    const near = Array.from(away.keys()).filter((i) => away[i] <= limit);
    if (near.length < 6) break;
    paper = near;
  }
  const sheet = new Float64Array(data.length);
  for (let c = 0; c < 3; c++) {
    const [one, by_x, by_y, by_xx, by_xy, by_yy] = fitted.map((row) => row[c]);
    for (let row = 0, i = c; row < height; row++) {
      const y = ys[row];
      const [start, slope] = [one + by_y * y + by_yy * y * y, by_x + by_xy * y];
      for (let column = 0; column < width; column++, i += 3) {
        const x = xs[column];
        sheet[i] = start + slope * x + by_xx * x * x;
      }
    }
  }
  return { sheet, rest: paper.map((i) => rest[i]) };
}

// Where something broader than any stroke comes in from the picture's border, a shadow or a table.
function broad_beside(away) {
  const { data, width, height } = shrink(away, GRID);
  const reach = Math.floor(Math.max(width, height) / BROAD);
  const parts = labelled(opened({ data: above(data, FLAT / 2), width, height }, reach));
  const cut = new Set(border({ ...parts, channels: 1 })[0]);
  const mask = Uint8Array.from(parts.data, (label) => (label && cut.has(label) ? 1 : 0));
  return enlarged(around({ data: mask, width, height }, 2, Math.max), away);
}

// Averaged down to `longest` pixels, never up: Float32.
function shrink({ data, width, height }, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const size = [width, height].map((side) => Math.max(1, round_half_even(scale * side)));
  return resize({ data: Float32Array.from(data), width, height, channels: 1 }, ...size, BOX);
}

// A mask, nearest neighbour, at the size of another image.
function enlarged({ data, width, height }, to) {
  const nearest = (from, size) => {
    const found = [];
    for (let i = 0, at = (from / size) * 0.5; i < size; i++, at += from / size)
      found.push(Math.min(Math.trunc(at), from - 1));
    return found;
  };
  const [rows, columns] = [nearest(height, to.height), nearest(width, to.width)];
  const out = new Uint8Array(to.width * to.height);
  for (let row = 0, i = 0; row < to.height; row++) {
    for (let column = 0; column < to.width; column++, i++) out[i] = data[rows[row] * width + columns[column]];
  }
  return out;
}

// Math.max or Math.min over the square that goes `reach` pixels to each side.
function around({ data, width, height }, reach, extreme) {
  const spread = (values, count, length, step, stride) => {
    const out = values.slice();
    const padded = new Float64Array(length + 2 * reach);
    for (let line = 0; line < count; line++) {
      for (let i = 0; i < padded.length; i++) {
        padded[i] = values[line * stride + Math.min(Math.max(i - reach, 0), length - 1) * step];
      }
      for (let size = 1; size <= 2 * reach; ) {
        const further = Math.min(size, 2 * reach + 1 - size);
        for (let i = 0; i + further < padded.length; i++) padded[i] = extreme(padded[i], padded[i + further]);
        size += further;
      }
      for (let i = 0; i < length; i++) out[line * stride + i * step] = padded[i];
    }
    return out;
  };
  const rows = spread(data, height, width, 1, width);
  return { data: spread(rows, width, height, width, 1), width, height };
}

// Without what no square that goes `reach` pixels to each side finds room in.
function opened(image, reach) {
  return around(around(image, reach, Math.min), reach, Math.max);
}

// Each connected part of a mask with a number of its own, 0 elsewhere.
function labelled({ data, width, height }) {
  const labels = new Int32Array(data.length);
  let count = 0;
  for (let start = 0; start < data.length; start++) {
    if (!data[start] || labels[start]) continue;
    const todo = [start];
    labels[start] = ++count;
    while (todo.length) {
      const i = todo.pop();
      const [row, column] = [Math.floor(i / width), i % width];
      for (let y = Math.max(row - 1, 0); y <= Math.min(row + 1, height - 1); y++) {
        for (let x = Math.max(column - 1, 0); x <= Math.min(column + 1, width - 1); x++) {
          const j = y * width + x;
          if (!data[j] || labels[j]) continue;
          labels[j] = count;
          todo.push(j);
        }
      }
    }
  }
  return { data: labels, width, height, count };
}

function box_of_part(parts, label) {
  return box_of(
    parts.data.map((other) => (other === label ? 1 : 0)),
    parts.width,
  );
}

// The ink in each part: index 0 is the rest.
function weights_of(parts, grid) {
  const weights = new Float64Array(parts.count + 1);
  parts.data.forEach((label, i) => {
    if (label) weights[label] += grid.data[i];
  });
  return weights;
}

// Where the digit is, its soft edges included. Specks are left out. null if there is no digit.
function largest_parts(ink, noise) {
  const grid = shrink({ ...ink, data: ink.data.map((value) => Math.max(value, 0) ** 2) }, GRID);
  const { width, height } = grid;
  grid.data = grid.data.map(Math.sqrt);
  const least = Math.max(FLAT, 5 * noise);
  if (largest(grid.data) < least || largest(grid.data) <= otsu(grid.data)) return null;
  const mask = inked(grid, clear_of_marks(grid, least));
  const keep = heaviest(mask, grid);
  const specks = mask.map((value, i) => (value && !keep[i] ? 1 : 0));
  const beside = around({ data: specks, width, height }, 1, Math.max).data;
  const reach = Math.ceil(longer_side(box_of(keep, width)) / 16); // more than a pixel of the 20 that will be
  const part = around({ data: keep, width, height }, reach, Math.max).data;
  return enlarged({ data: part.map((value, i) => (beside[i] ? keep[i] : value)), width, height }, ink);
}

// What stands out where it is clear; as long as something in it, no speck, is DARKER, only that.
function inked(grid, clear) {
  const { data, width, height } = grid;
  const split = (mask) => {
    const threshold = otsu(data.filter((_, i) => mask[i]));
    return mask.map((value, i) => (value && data[i] > threshold ? 1 : 0));
  };
  const mean = (mask) => data.reduce((sum, value, i) => sum + value * mask[i], 0) / count_true(mask);
  let mask = split(clear);
  while (count_true(mask)) {
    const dark = split(mask);
    if (!count_true(dark)) break;
    const parts = labelled({ ...grid, data: dark });
    const weights = weights_of(parts, grid);
    const most = weights.indexOf(largest(weights));
    if (longer_side(box_of_part(parts, most)) <= SMALL * Math.max(width, height)) break;
    if (mean(dark) < DARKER * mean(mask.map((value, i) => value - dark[i]))) break;
    mask = dark;
  }
  return mask;
}

// Where no mark is at the picture's border. Everywhere, if without the marks there is no digit.
function clear_of_marks(grid, least) {
  const { width, height } = grid;
  const clear = new Uint8Array(width * height).fill(1);
  const all = clear.slice();
  while (count_true(clear) && largest(grid.data.filter((_, i) => clear[i])) >= least) {
    const mask = inked(grid, clear);
    if (!count_true(mask)) return all;
    const marks = border_marks(mask, grid);
    if (!count_true(marks)) {
      const size = longer_side(box_of(heaviest(mask, grid), width));
      return size > SMALL * Math.max(width, height) ? clear : all;
    }
    around({ data: marks, width, height }, 1, Math.max).data.forEach((mark, i) => {
      if (mark) clear[i] = 0;
    });
  }
  return all;
}

// A mask's connected parts, but for those that have much less of the grid's ink than the largest.
function heaviest(mask, grid) {
  const parts = labelled({ ...grid, data: mask });
  const weights = weights_of(parts, grid);
  const least = PART * Math.max(...weights);
  return mask.map((value, i) => (value && weights[parts.data[i]] >= least ? 1 : 0));
}

// A mask's parts that the picture's border cuts, that keep to it, and that are away from the main part.
function border_marks(mask, grid) {
  const { width, height } = grid;
  const parts = labelled({ ...grid, data: mask });
  const weights = weights_of(parts, grid);
  const cut = new Set(border({ ...parts, channels: 1 })[0].filter((label) => label));
  for (const label of cut) weights[label] = 0;
  let near = [0, 0, 0, 0];
  if (largest(weights) > 0) {
    const main = box_of_part(parts, weights.indexOf(largest(weights)));
    const gap = Math.floor(longer_side(main) / 16);
    near = main.map((side, i) => side + (i % 2 ? gap : -gap));
  }
  const marks = new Uint8Array(mask.length);
  for (const label of cut) {
    const [top, bottom, left, right] = box_of_part(parts, label);
    const depths = [];
    if (top === 0) depths.push((bottom - 1) / height);
    if (bottom === height) depths.push((height - 1 - top) / height);
    if (left === 0) depths.push((right - 1) / width);
    if (right === width) depths.push((width - 1 - left) / width);
    if (Math.min(...depths) >= DEPTH) continue;
    const at = Array.from(parts.data.keys()).filter((i) => parts.data[i] === label);
    const inside = (i) => {
      const [y, x] = [Math.floor(i / width), i % width];
      return y >= near[0] && y < near[1] && x >= near[2] && x < near[3];
    };
    if (!at.some(inside)) for (const i of at) marks[i] = 1;
  }
  return marks;
}

function padded({ data, width, height }, by) {
  const out = new Float64Array((width + 2 * by) * (height + 2 * by));
  for (let row = 0; row < height; row++) {
    out.set(data.subarray(row * width, (row + 1) * width), (row + by) * (width + 2 * by) + by);
  }
  return { data: out, width: width + 2 * by, height: height + 2 * by };
}

// Ink on a scale where full ink is 1; strokes thinner than PEN are traced anew, with a pen of that width.
function thickened(bare) {
  const ink = padded(bare, Math.floor(Math.max(bare.width, bare.height) / 40) + 1);
  const core = above(ink.data, otsu(not_below_0(ink.data)));
  const inked = longer_side(box_of(core, ink.width));
  const trace = shrink(ink, round_half_even((TRACE * Math.max(ink.width, ink.height)) / inked));
  const stroke = { ...trace, data: above(trace.data, otsu(not_below_0(trace.data))) };
  const area = count_true(stroke.data);
  const width = (2 * area) / (count_true(around(stroke, 1, Math.max).data) - area);
  const reach = round_half_even(((PEN * longer_side(box_of(stroke.data, stroke.width))) / 20 - width) / 2);
  if (reach > 0) {
    const broad = around(stroke, reach, Math.max);
    return { ...broad, data: Float64Array.from(broad.data) };
  }
  const full = percentile(
    ink.data.filter((_, i) => core[i]),
    0.75,
  ); // a stroke's core, not its edge
  return { ...ink, data: ink.data.map((value) => Math.min(value / full, 1)) };
}

// The median over the square of `size` pixels, edges repeated, by a histogram that slides along each row.
function median_filter({ data, width, height }, size) {
  if (size === 1) return data;
  const reach = (size - 1) / 2;
  const inside = (at, length) => Math.min(Math.max(at, 0), length - 1);
  const out = new Uint8Array(data.length);
  const counts = new Int32Array(256);
  for (let row = 0; row < height; row++) {
    const lines = [];
    for (let y = row - reach; y <= row + reach; y++) lines.push(inside(y, height) * width);
    counts.fill(0);
    const add = (column, by) => {
      const x = inside(column, width);
      for (const line of lines) counts[data[line + x]] += by;
    };
    for (let column = -reach; column < reach; column++) add(column, 1);
    for (let column = 0; column < width; column++) {
      add(column + reach, 1);
      let [value, below] = [0, counts[0]];
      while (below <= (size * size - 1) / 2) below += counts[++value];
      out[row * width + column] = value;
      add(column - reach, -1);
    }
  }
  return out;
}

// Without what is much smaller than a pixel of the picture to come: noise, not strokes.
function despeckled(grey) {
  const strong = (data) => count_true(above(data, 127));
  const pixel = longer_side(box_of(grey.data, grey.width)) / 20;
  let clean = grey.data;
  for (let size = Math.min(2 * Math.trunc(pixel / 4) + 1, 7); size > 0; size -= 2) {
    clean = median_filter(grey, size);
    if (strong(clean) > 0.8 * strong(grey.data)) break;
  }
  return clean;
}

// The inked box, full at 1, scaled to fit 20/28 of `size`, and its centre of mass brought to the centre.
function place_digit(ink, size) {
  const grey = new Uint8Array(ink.data.length);
  for (let i = 0; i < grey.length; i++) grey[i] = 255 * Math.min(Math.max(ink.data[i], 0), 1);
  const clear = above(despeckled({ ...ink, data: grey }), 255 * FAINT);
  const [top, bottom, left, right] = box_of(clear, ink.width);
  const box = { width: right - left, height: bottom - top, channels: 1 };
  box.data = new Float32Array(box.width * box.height);
  for (let i = 0; i < box.data.length; i++) {
    box.data[i] = ink.data[(top + Math.floor(i / box.width)) * ink.width + left + (i % box.width)];
  }
  const scale = round_half_even((size * 20) / 28) / Math.max(box.width, box.height);
  const [width, height] = [box.width, box.height].map((side) => Math.max(1, round_half_even(scale * side)));
  const small = resize(box, width, height, scale < 1 ? BOX : BILINEAR).data;
  const most = largest(small);
  const digit = small.map((value) => (value > 0.01 ? value / most : 0));
  let [total, across, down] = [0, 0, 0];
  digit.forEach((value, i) => {
    total += value;
    across += value * ((i % width) + 0.5);
    down += value * (Math.floor(i / width) + 0.5);
  });
  // Rounded up: in every MNIST digit the centre of mass lies from 14.0 to 15.0, the frame being 28 wide.
  const at = (moment, side) => Math.min(Math.max(Math.ceil(size / 2 - moment / total), 0), size - side);
  const [y, x] = [at(down, height), at(across, width)];
  const page = new Uint8Array(size * size);
  digit.forEach((value, i) => {
    page[(y + Math.floor(i / width)) * size + x + (i % width)] = round_half_even(255 * value);
  });
  return page;
}

// ---- any other picture --------------------------------------------------------------------------------------------

// RGBA pixels → Uint8 (H, W, C): scaled once, "crop" keeping the centre, "pad" filling up, or "stretch".
function prepare_picture(rgba, [h, w, c], fit, background) {
  const image = without_alpha(rgba);
  for (let i = 0; i < image.data.length; i++) {
    const alpha = rgba.data[4 * Math.floor(i / 3) + 3];
    if (alpha < 255) image.data[i] = Math.round((image.data[i] * alpha + background[i % 3] * (255 - alpha)) / 255);
  }
  let [out_w, out_h, box] = [w, h, [0, 0, image.width, image.height]];
  if (fit === "crop") {
    const scale = Math.min(image.width / w, image.height / h);
    const [left, top] = [(image.width - w * scale) / 2, (image.height - h * scale) / 2];
    box = [left, top, left + w * scale, top + h * scale];
  } else if (fit === "pad") {
    const wide = image.width * h >= image.height * w;
    out_w = wide ? w : Math.max(1, round_half_even((h * image.width) / image.height));
    out_h = wide ? Math.max(1, round_half_even((w * image.height) / image.width)) : h;
  }
  const scaled = resize(image, out_w, out_h, LANCZOS, box);
  const page = new Uint8ClampedArray(h * w * 3);
  for (let i = 0; i < page.length; i++) page[i] = background[i % 3];
  const [top, left] = [Math.floor((h - out_h) / 2), Math.floor((w - out_w) / 2)];
  for (let row = 0; row < out_h; row++) {
    page.set(scaled.data.subarray(row * out_w * 3, (row + 1) * out_w * 3), ((top + row) * w + left) * 3);
  }
  if (c === 3) return page;
  return Uint8Array.from({ length: h * w }, (_, i) => luma(page[3 * i], page[3 * i + 1], page[3 * i + 2]));
}

// ITU-R 601, by Pillow's whole numbers.
function luma(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16;
}

// RGBA pixels → the image that the model gets, in 0–1 (H, W, C), as `generate.py --style-from` has it.
function prepare(rgba, { image_shape, digits, fit, background }) {
  const [h, w, c] = image_shape;
  if (!digits) return Float32Array.from(prepare_picture(rgba, image_shape, fit, background), (value) => value / 255);
  const size = Math.min(h, w);
  const digit = prepare_digit(rgba, size);
  const [top, left] = [Math.floor((h - size) / 2), Math.floor((w - size) / 2)];
  const out = new Float32Array(h * w * c);
  digit.forEach((value, i) => {
    const at = ((top + Math.floor(i / size)) * w + left + (i % size)) * c;
    out.fill(value / 255, at, at + c);
  });
  return out;
}

// A picture's file → its RGBA pixels, upright.
async function pixels_of(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) throw new Error(`more than ${MAX_PIXELS / 1e6} million pixels: save it smaller`);
  const canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { data: pen.getImageData(0, 0, width, height).data, width, height, channels: 4 };
}
