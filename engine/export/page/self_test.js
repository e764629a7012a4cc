// Whether this page computes what TensorFlow does: build.py packs TensorFlow's results for a few styles.

const LIMITS = { z: 0.05, pixel: 2 / 255, mean: 0.05, a: 0.05, logit: 0.01 };

// The largest difference in each of LIMITS.
function self_test() {
  const largest = { z: 0, pixel: 0, mean: 0, a: 0, logit: 0 };
  const compare = (what, values, packed) => {
    const expected = unpack(packed);
    expected.forEach((value, i) => (largest[what] = Math.max(largest[what], Math.abs(values[i] - value)))); // or NaN
  };
  for (const { label, style, z, pixels, mean, a, logits } of data.golden) {
    compare("z", latent_of(unpack(style), label, label_prior), z);
    const image = model.generate(unpack(z), label);
    compare("pixel", image, pixels);
    const encoded = model.encode(image, label);
    compare("mean", encoded.mean, mean);
    compare("a", encoded.a, a);
    if (reader) compare("logit", reader.logits(unpack(pixels)), logits);
  }
  return largest;
}

function show_self_test() {
  const largest = self_test();
  const good = Object.entries(LIMITS).every(([what, limit]) => largest[what] <= limit);
  const logits = reader ? `, the reader’s logits by ${largest.logit.toFixed(6)}` : "";
  const differences =
    `pixels by ${(255 * largest.pixel).toFixed(2)}/255, ` +
    `the encoder’s mean by ${largest.mean.toFixed(4)}, ln σ by ${largest.a.toFixed(4)}${logits}`;
  at("self-test").classList.add(good ? "good" : "bad");
  at("self-test").textContent = good
    ? `Self-test passed: on ${data.golden.length} pictures this page differs from TensorFlow at most in ${differences}.`
    : `Self-test FAILED: this page differs from TensorFlow in ${differences}. Do not trust its pictures.`;
  at("test-link").textContent = good
    ? `✓ agrees with TensorFlow to ${(255 * largest.pixel).toFixed(1)}/255`
    : "✗ self-test failed";
}
