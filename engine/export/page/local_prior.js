// The label prior of engine/latent/local_prior.py: each training picture's q, widened towards its nearest neighbours.

class LocalPrior {
  // sigmas, centres: of the pictures, those of a label after one another. means: of each label's z. root, inverse_root:
  // of the covariance that all labels share. pull, near, floor: of `settle`. spread, neighbours: of the widening.
  constructor({ counts, sigmas, centres, means, root, inverse_root, ...constants }) {
    const rows = (packed) => {
      const [values, [count, size]] = [unpack(packed), packed.shape];
      return Array.from({ length: count }, (_, k) => values.subarray(k * size, (k + 1) * size));
    };
    Object.assign(this, constants, { sigmas: rows(sigmas), centres: rows(centres), means: rows(means), parts: [] });
    [this.root, this.inverse_root] = [unpack(root), unpack(inverse_root)];
    this.white = this.centres.map((centre) => symmetric_times(this.inverse_root, centre));
    this.components = []; // of each label: indices; they follow one another
    for (let y = 0, k = 0; y < counts.length; y++) this.components.push(Array.from({ length: counts[y] }, () => k++));
  }

  // Of picture k of label y, whose covariance is σ (I + WᵀW) σ: the rows of W; L of L·Lᵀ = I + WWᵀ; ln of its peak.
  part(k, y) {
    if (this.parts[k]) return this.parts[k];
    const [centre, sigma] = [this.centres[k], this.sigmas[k]];
    const others = this.components[y].filter((i) => i !== k).map((i) => [distance(this.centres[i], centre), i]);
    const nearest = others.sort(([a], [b]) => a - b).slice(0, this.neighbours);
    const scale = this.spread / Math.sqrt(nearest.length);
    const rows = nearest.map(([, i]) => sigma.map((s, j) => (scale * (this.centres[i][j] - centre[j])) / s));
    const lower = []; // row by row, by Cholesky and Banachiewicz
    rows.forEach((row, i) => {
      for (let j = 0, mine = lower.length, its = 0; j <= i; its += ++j) {
        let sum = Number(i === j) + dot(row, rows[j]);
        for (let n = 0; n < j; n++) sum -= lower[mine + n] * lower[its + n];
        lower.push(i === j ? Math.sqrt(sum) : sum / lower[its + j]);
      }
    });
    let peak = -0.5 * sigma.length * Math.log(2 * Math.PI) - Math.log(this.components[y].length);
    for (const s of sigma) peak -= Math.log(s);
    for (let i = 0, at = 0; i < rows.length; at += ++i + 1) peak -= Math.log(lower[at]);
    return (this.parts[k] = { rows, lower, peak });
  }

  // ln p(z|y) in nats.
  log_density(z, y) {
    return log_sum_exp(
      this.components[y].map((k) => {
        const { rows, lower, peak } = this.part(k, y);
        const white = this.sigmas[k].map((s, i) => (z[i] - this.centres[k][i]) / s);
        const along = lower_solve(lower, rows.map((row) => dot(row, white)));
        return peak - 0.5 * (dot(white, white) - dot(along, along));
      }),
    );
  }

  // z ~ p(z|y) from standard normal eps (L,) and a uniform number in 0–1; the temperature scales it around a picture's.
  sample(y, eps, uniform, temperature) {
    const which = this.components[y];
    const k = which[Math.min(Math.floor(uniform * which.length), which.length - 1)];
    const { rows, lower } = this.part(k, y);
    const unit = lower.slice(); // I + L
    for (let i = 0, at = 0; i < rows.length; at += ++i + 1) unit[at] += 1;
    const along = lower_solve(unit, rows.map((row) => dot(row, eps)));
    const away = Float64Array.from(eps);
    rows.forEach((row, j) => row.forEach((value, i) => (away[i] += value * along[j])));
    return Float32Array.from(away, (value, i) => this.centres[k][i] + temperature * this.sigmas[k][i] * value);
  }

  // A whitened style u → z under label y: m + S^½ u.
  place(style, y) {
    return symmetric_times(this.root, style).map((value, i) => this.means[y][i] + value);
  }

  // z → the whitened style u that `place` maps to it.
  style(z, y) {
    return symmetric_times(this.inverse_root, Float64Array.from(z, (value, i) => value - this.means[y][i]));
  }

  // Most of the way from z to the mean of the label's pictures, weighted by how near they are.
  settle(z, y) {
    const white = symmetric_times(this.inverse_root, z);
    const square = this.components[y].map((k) => distance(this.white[k], white));
    const width = this.near * Math.min(...square) + this.floor;
    const shares = softmax(square.map((value) => -value / width));
    const towards = new Float64Array(z.length);
    this.components[y].forEach((k, j) => this.centres[k].forEach((value, i) => (towards[i] += shares[j] * value)));
    return z.map((value, i) => value + this.pull * (towards[i] - value));
  }
}

// The squared distance between two vectors, and their product.
function distance(a, b) {
  return a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0);
}

function dot(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}
