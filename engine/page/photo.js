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

// How far each pixel is from the paper, towards the ink's colour; and the paper's noise. The paper is a quadratic
// surface, fitted to what looks like paper: first what resembles the border, then whatever lies within the noise.
function find_ink(pixels) {
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
  const edge = border(pixels).map(median);
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
  const every = new Float64Array(data.length);
  const distance = new Float64Array(width * height);
  for (let c = 0; c < 3; c++) {
    const [one, by_x, by_y, by_xx, by_xy, by_yy] = fitted.map((row) => row[c]);
    for (let row = 0, i = 0; row < height; row++) {
      const y = ys[row];
      const [start, slope] = [one + by_y * y + by_yy * y * y, by_x + by_xy * y];
      for (let column = 0; column < width; column++, i++) {
        const x = xs[column];
        const value = data[3 * i + c] - (start + slope * x + by_xx * x * x);
        every[3 * i + c] = value;
        distance[i] = Math.max(distance[i], Math.abs(value));
      }
    }
  }
  const far = 0.5 * largest(distance);
  const towards = [0, 0, 0];
  distance.forEach((value, i) => {
    if (value >= far) for (let c = 0; c < 3; c++) towards[c] += every[3 * i + c];
  });
  const length = Math.hypot(...towards) || 1;
  for (let c = 0; c < 3; c++) towards[c] /= length;
  const along = (pixel) => pixel[0] * towards[0] + pixel[1] * towards[1] + pixel[2] * towards[2];
  const ink = new Float64Array(width * height);
  for (let i = 0; i < ink.length; i++) {
    ink[i] = every[3 * i] * towards[0] + every[3 * i + 1] * towards[1] + every[3 * i + 2] * towards[2];
  }
  return { ink: { data: ink, width, height }, noise: 1.5 * median(paper.map((i) => Math.abs(along(rest[i])))) };
}

// Averaged down to `longest` pixels, never up: Float32.
function shrink({ data, width, height }, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const size = [width, height].map((side) => Math.max(1, round_half_even(scale * side)));
  return resize({ data: Float32Array.from(data), width, height, channels: 1 }, ...size, BOX);
}

// The maximum over the square that goes `reach` pixels to each side.
function highest_around({ data, width, height }, reach) {
  const spread = (values, count, length, step, stride) => {
    const out = values.slice();
    for (let line = 0; line < count; line++) {
      for (let i = 0; i < length; i++) {
        const at = line * stride + i * step;
        for (let j = Math.max(i - reach, 0); j <= Math.min(i + reach, length - 1); j++) {
          out[at] = Math.max(out[at], values[line * stride + j * step]);
        }
      }
    }
    return out;
  };
  const rows = spread(data, height, width, 1, width);
  return { data: spread(rows, width, height, width, 1), width, height };
}

// Where the digit is, its soft edges included. Specks are left out. null if there is no digit.
function largest_parts(ink, noise) {
  const grid = shrink({ ...ink, data: ink.data.map((value) => Math.max(value, 0) ** 2) }, GRID);
  const { width, height } = grid;
  grid.data = grid.data.map(Math.sqrt);
  const limit = otsu(grid.data);
  const mask = above(grid.data, limit);
  if (largest(grid.data) < Math.max(FLAT, 5 * noise) || !count_true(mask)) return null;
  const part_of = new Int32Array(mask.length).fill(-1);
  const weights = [];
  for (let start = 0; start < mask.length; start++) {
    if (!mask[start] || part_of[start] >= 0) continue;
    const todo = [start];
    part_of[start] = weights.length;
    let weight = 0;
    while (todo.length) {
      const i = todo.pop();
      weight += grid.data[i];
      const [row, column] = [Math.floor(i / width), i % width];
      for (let y = Math.max(row - 1, 0); y <= Math.min(row + 1, height - 1); y++) {
        for (let x = Math.max(column - 1, 0); x <= Math.min(column + 1, width - 1); x++) {
          const j = y * width + x;
          if (!mask[j] || part_of[j] >= 0) continue;
          part_of[j] = weights.length;
          todo.push(j);
        }
      }
    }
    weights.push(weight);
  }
  const least = PART * Math.max(...weights);
  const keep = mask.map((value, i) => (value && weights[part_of[i]] >= least ? 1 : 0));
  const specks = highest_around({ data: mask.map((value, i) => (value && !keep[i] ? 1 : 0)), width, height }, 1).data;
  const reach = Math.ceil(longer_side(box_of(keep, width)) / 16); // more than a pixel of the 20 that will be
  const around = highest_around({ data: keep, width, height }, reach).data.map((value, i) =>
    specks[i] ? keep[i] : value,
  );
  const nearest = (from, to) => {
    const found = [];
    for (let i = 0, at = (from / to) * 0.5; i < to; i++, at += from / to)
      found.push(Math.min(Math.trunc(at), from - 1));
    return found;
  };
  const [rows, columns] = [nearest(height, ink.height), nearest(width, ink.width)];
  const part = new Uint8Array(ink.data.length);
  for (let row = 0, i = 0; row < ink.height; row++) {
    for (let column = 0; column < ink.width; column++, i++) part[i] = around[rows[row] * width + columns[column]];
  }
  return part;
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
  const width = (2 * area) / (count_true(highest_around(stroke, 1).data) - area);
  const reach = round_half_even(((PEN * longer_side(box_of(stroke.data, stroke.width))) / 20 - width) / 2);
  if (reach > 0) {
    const broad = highest_around(stroke, reach);
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
