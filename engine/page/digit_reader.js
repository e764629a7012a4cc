// The digit reader of engine/reader.py.

class Reader {
  constructor(weights, image_shape) {
    this.weights = unpack_all(weights);
    this.image_shape = image_shape;
  }

  // An image in 0–1 (H, W, C) → the logits of the ten digits.
  logits(x) {
    let [h, shape] = [x, this.image_shape];
    for (let k = 1; `conv${k}/kernel` in this.weights; k++) {
      [h, shape] = conv2d(h, shape, this.weights[`conv${k}/kernel`], this.weights[`conv${k}/bias`]);
      relu(h);
    }
    const hidden = relu(dense(h, this.weights["dense/kernel"], this.weights["dense/bias"]));
    return dense(hidden, this.weights["logits/kernel"], this.weights["logits/bias"]);
  }
}
