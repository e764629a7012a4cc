// The conditional VAE of model.py.

class CVAE {
  constructor({ image_shape, num_labels, latent_dim, stages, likelihood, first_map, weights }) {
    Object.assign(this, { image_shape, num_labels, latent_dim, stages, first_map });
    this.weights = unpack_all(weights);
    const gaussian = (x, logits) => gaussian_nll(x, logits, this.weights["likelihood/variance"][0]);
    this.nll = likelihood === "gaussian" ? gaussian : bernoulli_nll; // (x, logits) → −ln p(x|z, y) in nats
  }

  // q(z|x, y): an image in 0–1 (H, W, C) and a label → mean μ and a = ln σ, each (L,).
  encode(x, y) {
    const [height, width, c] = this.image_shape;
    const channels = c + this.num_labels;
    let h = new Float32Array(height * width * channels); // (H, W, C + N): the label plane of y is 1, the others 0
    for (let i = 0; i < height * width; i++) {
      h.set(x.subarray(i * c, (i + 1) * c), i * channels);
      h[i * channels + c + y] = 1;
    }
    let shape = [height, width, channels];
    for (let k = 1; k <= this.stages; k++) {
      [h, shape] = conv2d(h, shape, this.weights[`conv${k}/kernel`], this.weights[`conv${k}/bias`]);
      leaky_relu(h);
    }
    return {
      mean: dense(h, this.weights["mean/kernel"], this.weights["mean/bias"]),
      a: dense(h, this.weights["a/kernel"], this.weights["a/bias"]),
    };
  }

  // p(x|z, y): a latent (L,) and a label → logits (H, W, C).
  decode(z, y) {
    const [height, width, c] = this.image_shape;
    const [kernel, units] = [this.weights["dense/kernel"], this.weights["dense/bias"].length];
    const bias = this.weights["dense/bias"].slice(); // the one-hot part of concat([z, one_hot(y)]) adds one row
    for (let unit = 0, k = (this.latent_dim + y) * units; unit < units; unit++) bias[unit] += kernel[k++];
    let out = relu(dense(z, kernel, bias));
    let shape = this.first_map;
    for (let k = 1; k <= this.stages; k++) {
      const deconv_bias = this.weights[`deconv${k}/bias`];
      out = conv2d_transpose(out, shape, this.weights[`deconv${k}/kernel`], deconv_bias);
      if (k < this.stages) relu(out);
      shape = [2 * shape[0], 2 * shape[1], deconv_bias.length];
    }
    if (shape[0] === height && shape[1] === width) return out;
    const cropped = new Float32Array(height * width * c); // the encoder rounded odd sides up
    for (let row = 0; row < height; row++) {
      cropped.set(out.subarray(row * shape[1] * c, (row * shape[1] + width) * c), row * width * c);
    }
    return cropped;
  }

  // The mean image in 0–1 (H, W, C).
  generate(z, y) {
    return sigmoid(this.decode(z, y));
  }
}
