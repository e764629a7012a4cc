// The digit reader, as in engine/classifiers/digit_reader.py.

const SIDE = 28; // pixels: MNIST's image size

// Resize the n rows of an image to SIDE rows, averaging over areas.
function resize_rows(x, n, width) {
  const out = new Float64Array(SIDE * width);
  for (let i = 0; i < SIDE; i++) {
    for (let j = Math.floor((i * n) / SIDE); j < Math.min(n, ((i + 1) * n) / SIDE); j++) {
      const shared = Math.min((i + 1) / SIDE, (j + 1) / n) - Math.max(i / SIDE, j / n);
      for (let k = 0; k < width; k++) out[i * width + k] += SIDE * shared * x[j * width + k];
    }
  }
  return out;
}

function transpose(x, h, w) {
  return x.map((_, i) => x[(i % h) * w + Math.floor(i / h)]);
}

// Convert an image in 0–1 (H, W, C) to MNIST's form, bright on black (28, 28). The background is the median colour of
// the border. Ink is the distance from it, scaled to a maximum of 1.
function mnist_form(x, [h, w, c]) {
  const ink = new Float64Array(h * w);
  for (let channel = 0; channel < c; channel++) {
    const border = x.filter((_, i) => {
      const [row, column] = [Math.floor(i / (w * c)), Math.floor(i / c) % w];
      return i % c === channel && (row === 0 || column === 0 || row === h - 1 || column === w - 1);
    });
    border.sort();
    const paper = (border[(border.length - 1) >> 1] + border[border.length >> 1]) / 2;
    for (let i = 0; i < h * w; i++) ink[i] += Math.abs(x[i * c + channel] - paper) / c;
  }
  const rows = transpose(resize_rows(ink, h, w), SIDE, w);
  const small = transpose(resize_rows(rows, w, SIDE), SIDE, SIDE);
  const strongest = Math.max(...small, 1e-11);
  return Float32Array.from(small, (value) => value / strongest);
}

class Reader {
  constructor(weights, image_shape) {
    this.weights = unpack_all(weights);
    this.image_shape = image_shape;
  }

  // An image in 0–1 (H, W, C) → the logits of the ten digits.
  logits(x) {
    let [h, shape] = [mnist_form(x, this.image_shape), [SIDE, SIDE, 1]];
    for (let k = 1; `conv${k}/kernel` in this.weights; k++) {
      [h, shape] = conv2d(h, shape, this.weights[`conv${k}/kernel`], this.weights[`conv${k}/bias`]);
      relu(h);
    }
    const hidden = relu(dense(h, this.weights["dense/kernel"], this.weights["dense/bias"]));
    return dense(hidden, this.weights["logits/kernel"], this.weights["logits/bias"]);
  }
}
