// The conditional VAE, its label prior and its reader in plain JavaScript: model.py, engine/prior.py,
// engine/reader.py and the Bayes' rule of engine/evaluation/likelihood.py over again, with the same names and the layers
// in the same order.
// Images and maps are Float32Arrays in the order (H, W, C); sums are taken in float64, as JavaScript's numbers are.
"use strict";

// ---- what build.py packed -----------------------------------------------------------------------------------------

function bytes_of(base64) {
  const letters = atob(base64);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

// {type, shape, data} → Float32Array; data are little-endian, as every browser's machine is.
function unpack({ type, data }) {
  const bytes = bytes_of(data);
  if (type === "float32") return new Float32Array(bytes.buffer);
  const halves = new Uint16Array(bytes.buffer);
  const values = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) values[i] = from_float16(halves[i]);
  return values;
}

function from_float16(half) {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// ---- model.py -----------------------------------------------------------------------------------------------------

function leaky_relu(x) {
  for (let i = 0; i < x.length; i++) x[i] = Math.max(x[i], 0.1 * x[i]);
  return x;
}

function relu(x) {
  for (let i = 0; i < x.length; i++) x[i] = Math.max(x[i], 0);
  return x;
}

function sigmoid(x) {
  return x.map((logit) => 1 / (1 + Math.exp(-logit)));
}

// −ln p(x|z, y) in nats, summed over H, W and C: softplus(logits) − x·logits.
function bernoulli_nll(x, logits) {
  let nll = 0;
  for (let i = 0; i < x.length; i++) {
    const logit = logits[i];
    nll += Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit))) - x[i] * logit;
  }
  return nll;
}

// −ln N(x; sigmoid(logits), σ²) in nats, one σ² for all H, W and C.
function gaussian_nll(x, logits, variance) {
  let error = 0;
  for (let i = 0; i < x.length; i++) error += (x[i] - 1 / (1 + Math.exp(-logits[i]))) ** 2;
  return 0.5 * (x.length * Math.log(2 * Math.PI * variance) + error / variance);
}

// KL(q(z|x, y) ‖ N(0, I)) in nats of every latent: ½ (μ² + σ² − ln σ² − 1) with ln σ² = 2a. model.py has their sum.
function gaussian_kl(mean, a) {
  return mean.map((mu, i) => 0.5 * (mu ** 2 + Math.exp(2 * a[i]) - 2 * a[i] - 1));
}

// z = μ + σ·ε with σ = exp(a).
function sample(mean, a, noise) {
  return mean.map((mu, i) => mu + Math.exp(a[i]) * noise[i]);
}

// 5×5, strides of 2, SAME: half the map, rounded up. `out` holds the bias already, as a whole map. x (h, w, c) and
// kernel (5, 5, all, filters), of whose `all` input channels the first c are used.
function conv2d(x, [h, w, c], kernel, all, filters, out) {
  const [rows, columns] = [Math.ceil(h / 2), Math.ceil(w / 2)];
  const [top, left] = [h % 2 ? 2 : 1, w % 2 ? 2 : 1]; // TensorFlow's SAME: what is left over goes below and right
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const to = (row * columns + column) * filters;
      for (let ky = 0; ky < 5; ky++) {
        const iy = 2 * row + ky - top;
        if (iy < 0 || iy >= h) continue;
        for (let kx = 0; kx < 5; kx++) {
          const ix = 2 * column + kx - left;
          if (ix < 0 || ix >= w) continue;
          const from = (iy * w + ix) * c;
          let k = (ky * 5 + kx) * all * filters;
          for (let channel = 0; channel < c; channel++) {
            const value = x[from + channel];
            if (value === 0) {
              k += filters; // ink is rare: most of a digit's picture is 0
              continue;
            }
            for (let f = 0; f < filters; f++) out[to + f] += value * kernel[k++];
          }
        }
      }
    }
  }
  return out;
}

// A whole convolution, bias and all: the map, and its shape.
function convolved(x, [h, w, c], kernel, bias) {
  const shape = [Math.ceil(h / 2), Math.ceil(w / 2), bias.length];
  const out = new Float32Array(shape[0] * shape[1] * bias.length);
  for (let i = 0; i < out.length; i++) out[i] = bias[i % bias.length];
  return [conv2d(x, [h, w, c], kernel, c, bias.length, out), shape];
}

// Keras' Conv2DTranspose(filters, 5, strides=2, padding="same"), gathered: output pixel 2i + p reads the inputs i − 1, i
// and i + 1 through the kernel's taps of parity p. x (h, w, c) and kernel (5, 5, filters, c) → (2h, 2w, filters)
function conv2d_transpose(x, [h, w, c], kernel, bias, filters) {
  const out = new Float32Array(4 * h * w * filters);
  for (let row = 0; row < 2 * h; row++) {
    for (let column = 0; column < 2 * w; column++) {
      const to = (row * 2 * w + column) * filters;
      for (let f = 0; f < filters; f++) out[to + f] = bias[f];
      for (let ky = (row + 1) % 2; ky < 5; ky += 2) {
        const iy = (row + 1 - ky) / 2;
        if (iy < 0 || iy >= h) continue;
        for (let kx = (column + 1) % 2; kx < 5; kx += 2) {
          const ix = (column + 1 - kx) / 2;
          if (ix < 0 || ix >= w) continue;
          const from = (iy * w + ix) * c;
          let k = (ky * 5 + kx) * filters * c;
          for (let f = 0; f < filters; f++) {
            let sum = 0;
            for (let channel = 0; channel < c; channel++) sum += x[from + channel] * kernel[k++];
            out[to + f] += sum;
          }
        }
      }
    }
  }
  return out;
}

// x (n,) times kernel (n, units), plus bias.
function dense(x, kernel, bias) {
  const units = bias.length;
  const out = Float64Array.from(bias);
  for (let i = 0; i < x.length; i++) {
    const value = x[i];
    if (value === 0) continue;
    for (let unit = 0, k = i * units; unit < units; unit++) out[unit] += value * kernel[k++];
  }
  return Float32Array.from(out);
}

// By name, as they are packed: conv1/kernel …
function unpack_all(weights) {
  return Object.fromEntries(Object.entries(weights).map(([name, packed]) => [name, unpack(packed)]));
}

class CVAE {
  constructor({ image_shape, num_labels, latent_dim, stages, likelihood, first_map, weights }) {
    Object.assign(this, { image_shape, num_labels, latent_dim, stages, likelihood, first_map });
    this.weights = unpack_all(weights);
    this.variance = likelihood === "gaussian" ? this.weights["likelihood/variance"][0] : null;
    this.planes = new Map(); // of label_planes
  }

  // What the first convolution makes of the planes of label y, all 1 or all 0 (S1), and its bias. (H/2, W/2, filters)
  label_planes(y) {
    if (this.planes.has(y)) return this.planes.get(y);
    const [h, w, c] = this.image_shape;
    const [kernel, bias] = [this.weights["conv1/kernel"], this.weights["conv1/bias"]];
    const [filters, all] = [bias.length, c + this.num_labels];
    const plane = new Float32Array(25 * filters); // the kernel's part that looks at the plane of y
    for (let tap = 0; tap < 25; tap++) {
      const from = (tap * all + c + y) * filters;
      plane.set(kernel.subarray(from, from + filters), tap * filters);
    }
    const map = new Float32Array(Math.ceil(h / 2) * Math.ceil(w / 2) * filters);
    for (let i = 0; i < map.length; i++) map[i] = bias[i % filters];
    conv2d(new Float32Array(h * w).fill(1), [h, w, 1], plane, 1, filters, map);
    if (this.num_labels * map.length < 1 << 23) this.planes.set(y, map); // 32 MB at most
    return map;
  }

  // q(z|x, y): an image in 0–1 (H, W, C) and a label → mean μ and a = ln σ, each (L,).
  encode(x, y) {
    const [height, width, c] = this.image_shape;
    const filters = this.weights["conv1/bias"].length;
    const out = this.label_planes(y).slice();
    let h = leaky_relu(conv2d(x, [height, width, c], this.weights["conv1/kernel"], c + this.num_labels, filters, out));
    let shape = [Math.ceil(height / 2), Math.ceil(width / 2), filters];
    for (let k = 2; k <= this.stages; k++) {
      [h, shape] = convolved(h, shape, this.weights[`conv${k}/kernel`], this.weights[`conv${k}/bias`]);
      leaky_relu(h);
    }
    return {
      mean: dense(h, this.weights["mean/kernel"], this.weights["mean/bias"]),
      a: dense(h, this.weights["a/kernel"], this.weights["a/bias"]),
    };
  }

  // p(x|z, y): a latent (L,) and a label → logits (H, W, C) (S2).
  decode(z, y) {
    const [height, width, c] = this.image_shape;
    const [kernel, units] = [this.weights["dense/kernel"], this.weights["dense/bias"].length];
    const bias = this.weights["dense/bias"].slice(); // of concat([z, one_hot(y)]) the second part picks one row
    for (let unit = 0, k = (this.latent_dim + y) * units; unit < units; unit++) bias[unit] += kernel[k++];
    let out = relu(dense(z, kernel, bias));
    let shape = this.first_map;
    for (let k = 1; k <= this.stages; k++) {
      const deconv_bias = this.weights[`deconv${k}/bias`];
      out = conv2d_transpose(out, shape, this.weights[`deconv${k}/kernel`], deconv_bias, deconv_bias.length);
      if (k < this.stages) relu(out);
      shape = [2 * shape[0], 2 * shape[1], deconv_bias.length];
    }
    if (shape[0] === height && shape[1] === width) return out;
    const cropped = new Float32Array(height * width * c); // odd sizes: the strides rounded up
    for (let row = 0; row < height; row++) {
      cropped.set(out.subarray(row * shape[1] * c, (row * shape[1] + width) * c), row * width * c);
    }
    return cropped;
  }

  // The mean image in 0–1 (H, W, C): the sigmoid output of the article's decoder (S4).
  generate(z, y) {
    return sigmoid(this.decode(z, y));
  }

  // −ln p(x|z, y) in nats.
  nll(x, logits) {
    return this.likelihood === "bernoulli" ? bernoulli_nll(x, logits) : gaussian_nll(x, logits, this.variance);
  }
}

// ---- engine/reader.py ---------------------------------------------------------------------------------------------

class Reader {
  constructor({ stages, weights }, image_shape) {
    Object.assign(this, { stages, image_shape, weights: unpack_all(weights) });
  }

  // An image in 0–1 (H, W, C) → the logits of the ten digits.
  logits(x) {
    let [h, shape] = [x, this.image_shape];
    for (let k = 1; k <= this.stages; k++) {
      [h, shape] = convolved(h, shape, this.weights[`conv${k}/kernel`], this.weights[`conv${k}/bias`]);
      relu(h);
    }
    const hidden = relu(dense(h, this.weights["dense/kernel"], this.weights["dense/bias"]));
    return dense(hidden, this.weights["logits/kernel"], this.weights["logits/bias"]);
  }
}

// ---- engine/prior.py ----------------------------------------------------------------------------------------------

// A matrix that is packed row by row up to its diagonal, or only its diagonal.
function triangle(packed, at, n, diagonal) {
  const size = diagonal ? n : (n * (n + 1)) / 2;
  return packed.subarray(at * size, (at + 1) * size);
}

// Lower triangle times x.
function lower_times(lower, x, diagonal) {
  if (diagonal) return x.map((value, i) => lower[i] * value);
  const out = new Float64Array(x.length);
  for (let i = 0, k = 0; i < x.length; i++) for (let j = 0; j <= i; j++) out[i] += lower[k++] * x[j];
  return out;
}

// The x with lower triangle · x = b.
function lower_solve(lower, b, diagonal) {
  if (diagonal) return b.map((value, i) => value / lower[i]);
  const x = Float64Array.from(b);
  for (let i = 0, k = 0; i < x.length; i++) {
    for (let j = 0; j < i; j++) x[i] -= lower[k++] * x[j];
    x[i] /= lower[k++];
  }
  return x;
}

// Symmetric matrix, of which the lower triangle is there, times x.
function symmetric_times(root, x, diagonal) {
  if (diagonal) return lower_times(root, x, true);
  const out = new Float64Array(x.length);
  for (let i = 0, k = 0; i < x.length; i++) {
    for (let j = 0; j < i; j++, k++) {
      out[i] += root[k] * x[j];
      out[j] += root[k] * x[i];
    }
    out[i] += root[k++] * x[i];
  }
  return out;
}

// The x with symmetric positive matrix · x = b, by Cholesky.
function symmetric_solve(root, b, diagonal) {
  if (diagonal) return lower_solve(root, b, true);
  const n = b.length;
  const lower = Float64Array.from(root);
  const row = (i) => (i * (i + 1)) / 2;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = lower[row(i) + j];
      for (let k = 0; k < j; k++) sum -= lower[row(i) + k] * lower[row(j) + k];
      lower[row(i) + j] = i === j ? Math.sqrt(sum) : sum / lower[row(j) + j];
    }
  }
  const x = lower_solve(lower, b);
  for (let i = n - 1; i >= 0; i--) {
    for (let j = i + 1; j < n; j++) x[i] -= lower[row(j) + i] * x[j];
    x[i] /= lower[row(i) + i];
  }
  return x;
}

// p(z|y): a mixture of Gaussians for every label. Its covariances are here by their lower Cholesky factors.
class Prior {
  constructor({ settle, counts, diagonal, weights, means, factors, roots }, latent_dim) {
    this.share = settle; // of the way to the components' means
    this.diagonal = diagonal;
    this.latent_dim = latent_dim;
    this.first = [0]; // of a label's components; they stand one after the other
    for (const count of counts) this.first.push(this.first[this.first.length - 1] + count);
    this.weights = unpack(weights);
    const [all_means, all_factors, all_roots] = [unpack(means), unpack(factors), unpack(roots)];
    const components = Array.from(this.weights, (_, k) => k);
    this.means = components.map((k) => all_means.subarray(k * latent_dim, (k + 1) * latent_dim));
    this.factors = components.map((k) => triangle(all_factors, k, latent_dim, diagonal));
    this.log_dets = this.factors.map((factor) => this.log_det(factor));
    this.roots = counts.map((_, y) => triangle(all_roots, y, latent_dim, diagonal)); // of each label's covariance
    this.centres = counts.map((_, y) => this.centre(y)); // each label's mean
  }

  components(y) {
    return Array.from({ length: this.first[y + 1] - this.first[y] }, (_, i) => this.first[y] + i);
  }

  log_det(factor) {
    let sum = 0;
    for (let i = 0; i < this.latent_dim; i++) sum += Math.log(factor[this.diagonal ? i : (i * (i + 3)) / 2]);
    return 2 * sum;
  }

  centre(y) {
    const mean = new Float64Array(this.latent_dim);
    for (const k of this.components(y)) this.means[k].forEach((value, i) => (mean[i] += this.weights[k] * value));
    return mean;
  }

  // ln (weights[k] · N(z; means[k], covariances[k])) of the components of y, in nats.
  log_terms(z, y) {
    return this.components(y).map((k) => {
      const away = Float64Array.from(z, (value, i) => value - this.means[k][i]);
      const square = lower_solve(this.factors[k], away, this.diagonal).reduce((sum, value) => sum + value ** 2, 0);
      return Math.log(this.weights[k]) - 0.5 * (square + this.log_dets[k] + z.length * Math.log(2 * Math.PI));
    });
  }

  // ln p(z|y) in nats.
  log_density(z, y) {
    return log_sum_exp(this.log_terms(z, y));
  }

  // z ~ p(z|y), the noise scaled around the component's mean: of standard normal eps (L,) and uniform in 0–1.
  sample(y, eps, uniform, temperature) {
    const components = this.components(y);
    let [k, left] = [components[components.length - 1], uniform];
    for (const some of components) {
      left -= this.weights[some];
      if (left < 0) {
        k = some;
        break;
      }
    }
    const away = lower_times(this.factors[k], Float64Array.from(eps), this.diagonal);
    return Float32Array.from(away, (value, i) => this.means[k][i] + temperature * value);
  }

  // A style, N(0, I) whatever the label, as the z that it is under label y: m + S^½ u.
  place(style, y) {
    const away = symmetric_times(this.roots[y], Float64Array.from(style), this.diagonal);
    return away.map((value, i) => this.centres[y][i] + value);
  }

  // What `place` makes z of: u = S^−½ (z − m).
  style(z, y) {
    const away = Float64Array.from(z, (value, i) => value - this.centres[y][i]);
    return symmetric_solve(this.roots[y], away, this.diagonal);
  }

  // A small step from z to where p(z|y) is dense: towards the means of the components it belongs to.
  settle(z, y) {
    const terms = this.log_terms(z, y);
    const all = log_sum_exp(terms);
    const towards = new Float64Array(z.length);
    this.components(y).forEach((k, j) => {
      const belongs = Math.exp(terms[j] - all);
      this.means[k].forEach((value, i) => (towards[i] += belongs * value));
    });
    return z.map((value, i) => value + this.share * (towards[i] - value));
  }
}

// ---- engine/drawing.py and engine/evaluation/likelihood.py --------------------------------------------------------

// Walk from a to b along the great circle, at t in 0–1.
function slerp(a, b, t) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const cosine = dot(a, b) / Math.max(Math.sqrt(dot(a, a) * dot(b, b)), 1e-12);
  const angle = Math.max(Math.acos(Math.min(Math.max(cosine, -1), 1)), 1e-6);
  return a.map((value, i) => (Math.sin((1 - t) * angle) * value + Math.sin(t * angle) * b[i]) / Math.sin(angle));
}

// A style as the z that it is under label y; without a prior it is z itself.
function latent_of(style, y, prior) {
  return prior ? prior.settle(prior.place(style, y), y) : Float64Array.from(style);
}

function style_of(z, y, prior) {
  return prior ? prior.style(z, y) : Float64Array.from(z);
}

function log_sum_exp(values) {
  const most = Math.max(...values);
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

// ln p(z) − ln q(z|x, y) in nats of the z that `sample` made of this noise, under N(0, I) or the label's prior.
function log_ratio(z, y, a, noise, prior) {
  let ratio = 0;
  for (let i = 0; i < z.length; i++) ratio += 0.5 * noise[i] ** 2 + a[i] - (prior ? 0 : 0.5 * z[i] ** 2);
  return prior ? ratio + 0.5 * z.length * Math.log(2 * Math.PI) + prior.log_density(z, y) : ratio;
}

// ln p(x|y) of an image in 0–1 under every label: importance-weighted with k draws, in nats, (N,). noise(draw, y) is
// standard normal (L,). A generator: it yields between two labels, so that whoever draws the page can breathe; what it
// yields is the bound so far, after every whole draw, else null.
function* label_log_likelihoods(model, x, noise, k, prior) {
  const labels = Array.from({ length: model.num_labels }, (_, y) => y);
  const posteriors = [];
  for (const y of labels) {
    posteriors.push(model.encode(x, y));
    yield null;
  }
  const terms = labels.map(() => []);
  for (let draw = 0; draw < k; draw++) {
    for (const y of labels) {
      const { mean, a } = posteriors[y];
      const eps = noise(draw, y);
      const z = sample(mean, a, eps);
      terms[y].push(log_ratio(z, y, a, eps, prior) - model.nll(x, model.decode(z, y)));
      if (y < model.num_labels - 1) yield null;
    }
    yield terms.map((some) => log_sum_exp(some) - Math.log(some.length));
  }
}

function softmax(log_p) {
  const all = log_sum_exp(log_p);
  return log_p.map((value) => Math.exp(value - all));
}
