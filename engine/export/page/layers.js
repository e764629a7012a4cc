// The layers and loss terms of model.py in plain JavaScript, with the same names. Images and feature maps are
// Float32Arrays in (H, W, C) order; sums are computed in float64, JavaScript's number type.
"use strict";

// Decode {scale, data} of build.py to a Float32Array: int16 times `scale`, or float32 if `scale` is 0. The bytes are
// little-endian, as is every machine that browsers run on.
function unpack({ scale, data }) {
  const letters = atob(data);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  if (scale === 0) return new Float32Array(bytes.buffer);
  return Float32Array.from(new Int16Array(bytes.buffer), (value) => scale * value);
}

// {"conv1/kernel": packed, …} → {"conv1/kernel": Float32Array, …}
function unpack_all(weights) {
  return Object.fromEntries(Object.entries(weights).map(([name, packed]) => [name, unpack(packed)]));
}

// leaky_relu and relu change x in place and return it.
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

// −ln N(x; sigmoid(logits), σ²) in nats, summed over H, W and C; one variance σ² for all of them.
function gaussian_nll(x, logits, variance) {
  let error = 0;
  for (let i = 0; i < x.length; i++) error += (x[i] - 1 / (1 + Math.exp(-logits[i]))) ** 2;
  return 0.5 * (x.length * Math.log(2 * Math.PI * variance) + error / variance);
}

// z = μ + σ·ε with σ = exp(a).
function sample(mean, a, noise) {
  return mean.map((mu, i) => mu + Math.exp(a[i]) * noise[i]);
}

// Keras' Conv2D(filters, size, strides=2, padding="same"), size odd: x (h, w, c), kernel (size, size, c, filters) → the
// feature map (⌈h/2⌉, ⌈w/2⌉, filters) and its shape.
function conv2d(x, [h, w, c], kernel, bias) {
  const filters = bias.length;
  const [rows, columns] = [Math.ceil(h / 2), Math.ceil(w / 2)];
  const size = Math.sqrt(kernel.length / (c * filters));
  const [top, left] = [h, w].map((side) => (size >> 1) - (side % 2 ? 0 : 1)); // SAME pads even sides by one less
  const out = new Float32Array(rows * columns * filters);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const to = (row * columns + column) * filters;
      out.set(bias, to);
      for (let ky = 0; ky < size; ky++) {
        const iy = 2 * row + ky - top;
        if (iy < 0 || iy >= h) continue;
        for (let kx = 0; kx < size; kx++) {
          const ix = 2 * column + kx - left;
          if (ix < 0 || ix >= w) continue;
          const from = (iy * w + ix) * c;
          let k = (ky * size + kx) * c * filters;
          for (let channel = 0; channel < c; channel++, k += filters) {
            const value = x[from + channel];
            if (value === 0) continue; // saves most of the work: all label planes but one, and most pixels, are 0
            for (let f = 0; f < filters; f++) out[to + f] += value * kernel[k + f];
          }
        }
      }
    }
  }
  return [out, [rows, columns, filters]];
}

// Keras' Conv2DTranspose(filters, 4 or 5, strides=2, padding="same"): x (h, w, c), kernel (size, size, filters, c) →
// (2h, 2w, filters). Every output pixel gathers the inputs that reach it: kernel rows and columns of one parity.
function conv2d_transpose(x, [h, w, c], kernel, bias) {
  const filters = bias.length;
  const size = Math.sqrt(kernel.length / (c * filters));
  const out = new Float32Array(4 * h * w * filters);
  for (let row = 0; row < 2 * h; row++) {
    for (let column = 0; column < 2 * w; column++) {
      const to = (row * 2 * w + column) * filters;
      out.set(bias, to);
      for (let ky = (row + 1) % 2; ky < size; ky += 2) {
        const iy = (row + 1 - ky) / 2;
        if (iy < 0 || iy >= h) continue;
        for (let kx = (column + 1) % 2; kx < size; kx += 2) {
          const ix = (column + 1 - kx) / 2;
          if (ix < 0 || ix >= w) continue;
          const from = (iy * w + ix) * c;
          let k = (ky * size + kx) * filters * c;
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

// x (n,) times kernel (n, units), plus bias (units,).
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
