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

// p(z|y): one mixture of Gaussians per label.
class Prior {
  // factors: Cholesky factors of the components' covariances. log_peaks: ln (weight · density at the centre) in nats.
  // means, roots, inverse_roots: mean, S^½ and S^−½ of each label's z. settle: share of the way that `settle` goes.
  constructor({ settle, counts, weights, log_peaks, ...matrices }) {
    this.settle_share = settle;
    this.weights = unpack(weights);
    this.log_peaks = unpack(log_peaks);
    for (const [name, packed] of Object.entries(matrices)) {
      const [values, [count, size]] = [unpack(packed), packed.shape];
      this[name] = Array.from({ length: count }, (_, k) => values.subarray(k * size, (k + 1) * size));
    }
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
    const away = times(this.roots[y], style, true);
    return away.map((value, i) => this.means[y][i] + value);
  }

  // The inverse of `place`: u = S^−½ (z − m).
  style(z, y) {
    const away = Float64Array.from(z, (value, i) => value - this.means[y][i]);
    return times(this.inverse_roots[y], away, true);
  }

  // Move z a small step towards the centres of its components, weighted by their posterior probabilities.
  settle(z, y) {
    const shares = softmax(this.log_terms(z, y));
    const towards = new Float64Array(z.length);
    this.components[y].forEach((k, j) => {
      this.centres[k].forEach((value, i) => (towards[i] += shares[j] * value));
    });
    return z.map((value, i) => value + this.settle_share * (towards[i] - value));
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
