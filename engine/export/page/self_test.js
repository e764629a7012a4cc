// Compare this page's results with TensorFlow's, which build.py packed for a few styles.

const LIMITS = { z: 0.05, pixels: 2 / 255, mean: 0.05, a: 0.05, logits: 0.01 };

// The largest absolute difference for each quantity in LIMITS; NaN if a result is NaN.
function self_test() {
  const largest = { z: 0, pixels: 0, mean: 0, a: 0, logits: 0 };
  for (const golden of data.golden) {
    const pixels = model.generate(unpack(golden.z), golden.label);
    const results = { pixels, ...model.encode(pixels, golden.label) };
    results.z = latent_of(unpack(golden.style), golden.label, label_prior);
    if (reader) results.logits = reader.logits(unpack(golden.pixels));
    for (const [what, values] of Object.entries(results)) {
      const compare = (value, i) => (largest[what] = Math.max(largest[what], Math.abs(values[i] - value)));
      unpack(golden[what]).forEach(compare);
    }
  }
  return largest;
}

function show_self_test() {
  const largest = self_test();
  const good = Object.entries(LIMITS).every(([what, limit]) => largest[what] <= limit);
  const differences = Object.keys(LIMITS).map((what) => `${what} ${largest[what].toFixed(4)}`).join(", ");
  at("self-test").classList.toggle("bad", !good);
  at("self-test").textContent = good
    ? `Self-test passed: on ${data.golden.length} pictures this page differs from TensorFlow at most by ${differences}.`
    : `Self-test FAILED: this page differs from TensorFlow by ${differences}. Do not trust its pictures.`;
  at("test-link").textContent = good
    ? `✓ agrees with TensorFlow to ${(255 * largest.pixels).toFixed(1)}/255`
    : "✗ self-test failed";
}
