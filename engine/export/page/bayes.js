// Bayes' rule over the labels of a picture, as in engine/latent/likelihood_bounds.py.

function log_sum_exp(values) {
  const largest = Math.max(...values);
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}

function softmax(log_p) {
  const total = log_sum_exp(log_p);
  return log_p.map((value) => Math.exp(value - total));
}

// ln p(z) − ln q(z|x, y) in nats, for the z that `sample` computed from this noise; p is N(0, I) or the label prior.
function log_ratio(z, y, a, noise, prior) {
  let ratio = 0;
  for (let i = 0; i < z.length; i++) ratio += 0.5 * noise[i] ** 2 + a[i] - (prior ? 0 : 0.5 * z[i] ** 2);
  return prior ? ratio + 0.5 * z.length * Math.log(2 * Math.PI) + prior.log_density(z, y) : ratio;
}

// Generator: after each of `draws` draws of z it yields the importance-weighted bounds on ln p(x|y) of an image in 0–1
// under every label (N,), in nats. The bounds become tighter with every draw. noise(draw, y) returns standard normal
// numbers (L,). Between two labels it yields null, so that the page stays responsive.
function* label_log_likelihoods(model, x, noise, draws, prior) {
  const labels = Array.from({ length: model.num_labels }, (_, y) => y);
  const posteriors = [];
  for (const y of labels) {
    posteriors.push(model.encode(x, y));
    yield null;
  }
  const terms = labels.map(() => []);
  for (let draw = 0; draw < draws; draw++) {
    for (const y of labels) {
      const { mean, a } = posteriors[y];
      const eps = noise(draw, y);
      const z = sample(mean, a, eps);
      terms[y].push(log_ratio(z, y, a, eps, prior) - model.nll(x, model.decode(z, y)));
      if (y < model.num_labels - 1) yield null;
    }
    yield terms.map((values) => log_sum_exp(values) - Math.log(values.length));
  }
}
