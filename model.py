"""The conditional VAE: q(z|x, y), p(x|z, y) and the two terms of its loss. Mathematics only: no I/O, no printing.

Kingma & Welling 2013, "Auto-Encoding Variational Bayes" (arXiv 1312.6114), conditioned on a label y as in the article
"Conditional variational AutoEncoder をTensorflowで実装する" (Qiita, 2017); S1 … S10 are the article's points (README).
"""

import itertools
import math

import keras
import tensorflow as tf


@tf.custom_gradient
def leaky_relu(x: tf.Tensor) -> tuple:
    # The gradient uses y, which has the sign of x: where TensorFlow fuses this with a convolution, it does not keep x.
    y = tf.nn.leaky_relu(x, 0.1)
    return y, lambda upstream: tf.raw_ops.LeakyReluGrad(gradients=upstream, features=y, alpha=0.1)


def bernoulli_nll(x: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """−ln p(x|z, y) in nats per example: summed over H, W and C, not averaged. (B, H, W, C) each → (B,)

    With p = sigmoid(logits), −ln pˣ(1−p)¹⁻ˣ = softplus(logits) − x·logits (arXiv 1312.6114, appendix C.1; S4, S6). The
    article prints pˣ + (1−p)¹⁻ˣ; the likelihood is the product, so its log is the sum of the two logs. Finite, with the
    finite gradient sigmoid(logits) − x, for any finite logits; x may be grey (0–1, S3).
    """
    return tf.reduce_sum(tf.nn.softplus(logits) - x * logits, axis=[1, 2, 3])


ROUNDING = 1 / (12 * 255**2)  # variance of the rounding error of 8-bit pixels in 0–1: the lower bound for σ²


def gaussian_nll(x: tf.Tensor, logits: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
    """−ln N(x; sigmoid(logits), σ²) in nats per example, one σ² for all H, W and C. (B, H, W, C) each → (B,)

    A density over images in 0–1 (Rybkin et al. 2021, arXiv 2006.13202, section 3).
    """
    error = tf.reduce_sum((x - tf.sigmoid(logits)) ** 2, axis=[1, 2, 3])
    return 0.5 * (math.prod(x.shape[1:]) * tf.math.log(2 * math.pi * variance) + error / variance)


def gaussian_kl(mean: tf.Tensor, a: tf.Tensor) -> tf.Tensor:
    """KL(q(z|x, y) ‖ N(0, I)) in nats per example, summed over the latents. (B, L) each → (B,)

    ½ Σ (μ² + σ² − ln σ² − 1) with ln σ² = 2a (arXiv 1312.6114, appendix B; S7). a is ln σ, not ln σ².
    """
    # On a CPU float32 exp may differ in its last bit from run to run; float64, rounded, does not: same seed, same bits.
    mean, a = tf.cast(mean, tf.float64), tf.cast(a, tf.float64)
    return tf.cast(0.5 * tf.reduce_sum(mean**2 + tf.exp(2 * a) - 2 * a - 1, axis=1), tf.float32)


def sample(mean: tf.Tensor, a: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """z = μ + σ·ε with σ = exp(a), the reparameterisation (arXiv 1312.6114, section 2.4; S5). (B, L) each → (B, L)"""
    return mean + tf.cast(tf.exp(tf.cast(a, tf.float64)), tf.float32) * noise


def one_hot(y: tf.Tensor, num_labels: int) -> tf.Tensor:
    """Integer labels (B,) → one-hot (B, N). Input (B, N), a weighted mixture of labels, is returned unchanged."""
    return y if len(y.shape) == 2 else tf.one_hot(y, num_labels)


class LabelPlaneConv2D(keras.layers.Conv2D):
    """Keras' Conv2D over concat([x, one plane per label]), exactly, without ever making the planes (S1).

    The plane of the label is all 1, the others are all 0. So their part of the convolution depends on the label alone:
    one map per label is computed, and that of y is added. The kernel is that of Conv2D with C + N input channels.
    """

    def __init__(self, filters: int, num_labels: int, **kwargs) -> None:
        super().__init__(filters, **kwargs)
        self.num_labels = num_labels

    def build(self, x_shape: tuple, y_shape: tuple | None = None) -> None:
        super().build((*x_shape[:-1], x_shape[-1] + self.num_labels))
        self.input_spec = None  # Keras would insist on C + N channels here, too

    def call(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        (_, h, w, c), (kh, kw, _, filters), n = x.shape, self.kernel.shape, self.num_labels
        image_kernel, label_kernel = tf.split(tf.convert_to_tensor(self.kernel), [c, n], axis=2)
        out = tf.nn.conv2d(x, image_kernel, self.strides, "SAME")  # (B, H/2, W/2, F)
        label_kernel = tf.reshape(label_kernel, (kh, kw, 1, n * filters))
        maps = tf.nn.conv2d(tf.ones((1, h, w, 1)), label_kernel, self.strides, "SAME")  # (1, H/2, W/2, N·F)
        maps = tf.reshape(maps, (*out.shape[1:3], n, filters))  # one for each label
        return self.activation(out + tf.einsum("bn,hwnf->bhwf", one_hot(y, n), maps) + self.bias)


class SubpixelConv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras' Conv2DTranspose(F, 5, strides=2, padding="same"), exactly, as a 3×3 convolution and depth_to_space.

    Even and odd output pixels use different elements of the kernel. Padded to 6×6 it is split into four 3×3 kernels
    (Shi et al. 2016, arXiv 1609.05158), on a CPU the faster form of the same sum (tests/tools/benchmark.py).
    """

    def call(self, x: tf.Tensor) -> tf.Tensor:
        kernel = tf.pad(tf.convert_to_tensor(self.kernel), [[1, 0], [1, 0], [0, 0], [0, 0]])  # (6, 6, F, C)
        _, _, filters, channels = kernel.shape
        taps = tf.reverse(tf.reshape(kernel, (3, 2, 3, 2, filters, channels)), [0, 2])
        taps = tf.reshape(tf.transpose(taps, (0, 2, 5, 1, 3, 4)), (3, 3, channels, 4 * filters))
        out = tf.nn.bias_add(tf.nn.conv2d(x, taps, 1, "SAME"), tf.tile(self.bias, [4]))
        return tf.nn.depth_to_space(self.activation(out), 2)


class UpsampledConv2D(keras.layers.Conv2DTranspose):
    """Nearest-neighbour upsampling by 2, then a 3×3 convolution, exactly, so that a uniform area stays uniform.

    A strided transposed convolution covers pixels unevenly and leaves a grid (Odena et al. 2016, "Deconvolution and
    checkerboard artifacts"). This one's 4×4 kernel is the sum of the 3×3 kernel at four offsets: 4/9 of the cost.
    """

    def call(self, x: tf.Tensor) -> tf.Tensor:
        offsets = [[[i, 1 - i], [j, 1 - j], [0, 0], [0, 0]] for i in (0, 1) for j in (0, 1)]
        kernel = tf.add_n([tf.pad(tf.convert_to_tensor(self.kernel), offset) for offset in offsets])  # (4, 4, F, C)
        return self.activation(keras.ops.conv_transpose(x, kernel, 2, "same") + self.bias)


class CVAE(keras.Model):
    """Convolutional conditional VAE, with the layers of the article's code: SAME padding, Xavier-uniform, zero biases.

    Args:
        image_shape: (H, W, C) of the images, any size; C = 3 is the article's N+3 encoder input.
        num_labels, latent_dim: N, the number of labels (y is an integer in 0 … N−1), and L, the size of z.
        stages: how many times the encoder halves the image and the decoder doubles it; 2 for the article's 28 × 28.
        width: multiplies the channels of all hidden layers.
        likelihood: p(x|z, y): "bernoulli", the article's, or "gaussian" with one σ² for all pixels.
        networks: "article", or "pictures": 3×3 kernels after the encoder's first stage, a decoder of UpsampledConv2D.
        seed: the initial weights are a pure function of it.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (28, 28, 1),
        num_labels: int = 10,
        latent_dim: int = 20,
        stages: int = 2,
        width: int = 1,
        likelihood: str = "bernoulli",
        networks: str = "article",
        seed: int = 0,
    ) -> None:
        super().__init__(name="cvae")
        h, w, c = self.image_shape = tuple(image_shape)
        self.num_labels, self.latent_dim, self.likelihood = num_labels, latent_dim, likelihood
        article = networks == "article"
        filters = [(4 if article else 8) * width * 2**k for k in reversed(range(stages))]  # decoder; the last becomes C
        self.first_map = -(-h // 2**stages), -(-w // 2**stages), filters[0] if article else 2 * filters[0]  # (7, 7, 8)
        seeds = itertools.count((2 * stages + 3) * seed)  # one for each layer

        def options(name: str, activation: object = None, **more: object) -> dict:
            initializer = keras.initializers.GlorotUniform(next(seeds))
            return {"name": name, "activation": activation, "kernel_initializer": initializer, **more}

        conv = {"kernel_size": 5, "strides": 2, "padding": "same"}
        self.convs = [LabelPlaneConv2D(16 * width, num_labels, **options("conv1", leaky_relu, **conv))]
        conv["kernel_size"] = 5 if article else 3
        for k in range(2, stages + 1):
            self.convs.append(keras.layers.Conv2D(8 * width * 2**k, **options(f"conv{k}", leaky_relu, **conv)))
        self.mean = keras.layers.Dense(latent_dim, **options("mean"))
        self.a = keras.layers.Dense(latent_dim, **options("a"))
        self.dense = keras.layers.Dense(math.prod(self.first_map), **options("dense", "relu"))
        self.deconvs, layer = [], SubpixelConv2DTranspose if article else UpsampledConv2D
        for k, channels in enumerate([*filters[:-1], c], 1):
            self.deconvs.append(layer(channels, **options(f"deconv{k}", "relu" if k < stages else None, **conv)))
        if likelihood == "gaussian":
            self.variance = self.add_weight(shape=(), initializer="ones", trainable=False, name="variance")
        self(tf.zeros((1, h, w, c)), tf.zeros(1, tf.int32), tf.zeros((1, latent_dim)))  # one pass creates all weights

    def encode(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """q(z|x, y): images in 0–1 (B, H, W, C) and labels (B,) → mean μ and a = ln σ, each (B, L)."""
        h = self.convs[0](x, y)  # (B, 14, 14, 16)
        for conv in self.convs[1:]:
            h = conv(h)  # (B, 7, 7, 32)
        h = tf.reshape(h, (-1, math.prod(h.shape[1:])))  # (B, 1568)
        return self.mean(h), self.a(h)

    def decode(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """p(x|z, y): latents (B, L) and labels (B,) → logits (B, H, W, C) (S2)."""
        h, w, _ = self.image_shape
        out = self.dense(tf.concat([z, one_hot(y, self.num_labels)], axis=1))  # (B, 392)
        out = tf.reshape(out, (-1, *self.first_map))  # (B, 7, 7, 8)
        for deconv in self.deconvs:
            out = deconv(out)  # (B, 14, 14, 8), (B, 28, 28, C)
        return out if out.shape[1:3] == (h, w) else out[:, :h, :w]  # odd sizes: the strides rounded up

    def generate(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Mean images in 0–1 (B, H, W, C): the sigmoid output of the article's decoder (S4)."""
        return tf.sigmoid(self.decode(z, y))

    def nll(self, x: tf.Tensor, logits: tf.Tensor, variance: tf.Tensor | None = None) -> tf.Tensor:
        """−ln p(x|z, y) in nats per example (B,), under the trained model's own σ² (Gaussian) if none is given."""
        if self.likelihood == "bernoulli":
            return bernoulli_nll(x, logits)
        return gaussian_nll(x, logits, self.variance if variance is None else variance)

    def call(self, x: tf.Tensor, y: tf.Tensor, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Encode, draw z with standard normal `noise` (B, L), decode → logits (B, H, W, C), mean (B, L), a (B, L)."""
        mean, a = self.encode(x, y)
        return self.decode(sample(mean, a, noise), y), mean, a
