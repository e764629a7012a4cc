// The label prior, as in engine/latent/prior.py. A symmetric or lower triangular matrix (L, L) is stored as its lower
// triangle, row by row: L (L + 1) / 2 numbers.

// Multiply a lower triangular or a symmetric matrix by x.
function times(matrix, x, symmetric) {
  const entry = (i, j) => (i * (i + 1)) / 2 + j;
  const out = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) {
    for (let j = 0; j <= i; j++) out[i] += matrix[entry(i, j)] * x[j];
    if (symmetric) for (let j = i + 1; j < x.length; j++) out[i] += matrix[entry(j, i)] * x[j];
  }
  return out;
}

// Solve lower · x = b for a lower triangular matrix.
function lower_solve(lower, b) {
  const x = Float64Array.from(b);
  for (let i = 0, k = 0; i < x.length; i++) {
    for (let j = 0; j < i; j++) x[i] -= lower[k++] * x[j];
    x[i] /= lower[k++];
  }
  return x;
}

// The rows of a packed array (N, size), or the numbers of one (N,).
function rows_of(packed) {
  const [values, [count, size]] = [unpack(packed), packed.shape];
  return size ? Array.from({ length: count }, (_, k) => values.subarray(k * size, (k + 1) * size)) : values;
}

// p(z|y): one mixture of Gaussians per label.
class Prior {
  // counts: components per label. factors: lower Cholesky factors of the components' covariances. log_peaks: ln (weight ·
  // N(centre)) of the components, in nats. means, roots, inverse_roots: mean, S^½ and S^−½ of each label's z, or one root
  // for all labels. step: share of the way that `settle` goes.
  constructor({ counts, ...fields }) {
    for (const [name, value] of Object.entries(fields)) this[name] = value.shape ? rows_of(value) : value;
    let k = 0;
    this.components = counts.map((count) => Array.from({ length: count }, () => k++)); // indices k, per label
  }

  // ln (weights[k] · N(z; centres[k], covariances[k])) of the components of y, in nats.
  log_terms(z, y) {
    return this.components[y].map((k) => {
      const away = Float64Array.from(z, (value, i) => value - this.centres[k][i]);
      const square = lower_solve(this.factors[k], away).reduce((sum, value) => sum + value ** 2, 0);
      return this.log_peaks[k] - 0.5 * square;
    });
  }

  // ln p(z|y) in nats.
  log_density(z, y) {
    return log_sum_exp(this.log_terms(z, y));
  }

  // Draw z ~ p(z|y) from standard normal eps (L,) and a uniform number in 0–1. The temperature scales the distance from
  // the component's centre.
  sample(y, eps, uniform, temperature) {
    const last = this.components[y].at(-1);
    let k = this.components[y][0];
    for (let below = this.weights[k]; uniform >= below && k < last; below += this.weights[k]) k++;
    const away = times(this.factors[k], eps, false);
    return Float32Array.from(away, (value, i) => this.centres[k][i] + temperature * value);
  }

  // Map a whitened style u to z under label y: m + S^½ u.
  place(style, y) {
    const away = times(this.roots[y] ?? this.roots[0], style, true);
    return away.map((value, i) => this.means[y][i] + value);
  }

  // The inverse of `place`: u = S^−½ (z − m).
  style(z, y) {
    const away = Float64Array.from(z, (value, i) => value - this.means[y][i]);
    return times(this.inverse_roots[y] ?? this.inverse_roots[0], away, true);
  }

  // The shares of the components of y in z.
  shares(z, y) {
    return softmax(this.log_terms(z, y));
  }

  // Move z towards the centres of the components that it belongs to.
  settle(z, y) {
    const shares = this.shares(z, y);
    const towards = new Float64Array(z.length);
    this.components[y].forEach((k, j) => {
      this.centres[k].forEach((value, i) => (towards[i] += shares[j] * value));
    });
    return z.map((value, i) => value + this.step * (towards[i] - value));
  }
}

// Map a style to z under label y. Without a label prior z is the style.
function latent_of(style, y, prior) {
  return prior ? prior.settle(prior.place(style, y), y) : Float64Array.from(style);
}

// Map z under label y to its style.
function style_of(z, y, prior) {
  return prior ? prior.style(z, y) : Float64Array.from(z);
}
