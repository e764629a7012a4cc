// The label prior of engine/latent/local_prior.py: q(z|x, y) of each training picture, widened towards its neighbours.

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const distance = (a, b) => a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0); // squared

// counts: pictures per label; sigmas and centres list the pictures label by label. near, floor: used by `shares`;
// spread, neighbours: by the widening.
class LocalPrior extends Prior {
  parts = []; // those computed so far

  // Picture k of label y, with covariance σ (I + WᵀW) σ: rows of W; L with L·Lᵀ = I + WWᵀ; ln (weight · peak density).
  part(k, y) {
    if (this.parts[k]) return this.parts[k];
    const [centre, sigma] = [this.centres[k], this.sigmas[k]];
    const others = this.components[y].filter((i) => i !== k).map((i) => [distance(this.centres[i], centre), i]);
    const nearest = others.sort(([a], [b]) => a - b).slice(0, this.neighbours);
    const scale = this.spread / Math.sqrt(nearest.length);
    const rows = nearest.map(([, i]) => sigma.map((s, j) => (scale * (this.centres[i][j] - centre[j])) / s));
    let peak = -0.5 * sigma.length * Math.log(2 * Math.PI) - Math.log(this.components[y].length);
    for (const s of sigma) peak -= Math.log(s);
    const lower = []; // L, its lower triangle row by row
    rows.forEach((row, i) => {
      const at = lower.length;
      for (let j = 0, its = 0; j <= i; its += ++j) {
        let sum = Number(i === j) + dot(row, rows[j]);
        for (let n = 0; n < j; n++) sum -= lower[at + n] * lower[its + n];
        lower.push(i === j ? Math.sqrt(sum) : sum / lower[its + j]);
      }
      peak -= Math.log(lower[at + i]);
    });
    return (this.parts[k] = { rows, lower, peak });
  }

  log_terms(z, y) {
    return this.components[y].map((k) => {
      const { rows, lower, peak } = this.part(k, y);
      const white = this.sigmas[k].map((s, i) => (z[i] - this.centres[k][i]) / s);
      const along = lower_solve(lower, rows.map((row) => dot(row, white)));
      return peak - 0.5 * (dot(white, white) - dot(along, along));
    });
  }

  // Draw z ~ p(z|y) from standard normal eps (L,) and a uniform number in 0–1; temperature scales the noise around μ.
  sample(y, eps, uniform, temperature) {
    const count = this.components[y].length;
    const k = this.components[y][Math.min(Math.floor(uniform * count), count - 1)];
    const { rows, lower } = this.part(k, y);
    const unit = lower.slice(); // I + L
    for (let i = 0, at = 0; i < rows.length; at += ++i + 1) unit[at] += 1;
    const along = lower_solve(unit, rows.map((row) => dot(row, eps)));
    const away = Float64Array.from(eps, (value, i) => value + rows.reduce((sum, row, j) => sum + row[i] * along[j], 0));
    return Float32Array.from(away, (value, i) => this.centres[k][i] + temperature * this.sigmas[k][i] * value);
  }

  // The shares of the label's pictures in z, by how near they are.
  shares(z, y) {
    const square = this.components[y].map((k) => distance(this.centres[k], z));
    const width = this.near * Math.min(...square) + this.floor;
    return softmax(square.map((value) => -value / width));
  }
}
