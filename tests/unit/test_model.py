"""The mathematics against independent truth: closed forms, Monte Carlo, NumPy in float64, plain Keras layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from engine.latent.elbo import log_ratio
from engine.latent.prior import STANDARD_NORMAL
from engine.training import loop
from model import CVAE, SubpixelConv2DTranspose, bernoulli_nll, gaussian_kl, gaussian_nll, leaky_relu, sample

SHAPES = [(28, 28, 1), (28, 28, 3), (27, 31, 2), (5, 6, 1), (1, 1, 1)]
MODELS = [(shape, {}) for shape in SHAPES]
MODELS += [((33, 50, 3), {"stages": 3, "width": 2}), ((64, 64, 1), {"stages": 4}), ((9, 9, 1), {"stages": 1})]


def randomised(shape: tuple[int, int, int], num_labels: int = 7, latent_dim: int = 4, **more: object) -> CVAE:
    """A model whose biases are not all zero, so that forgetting one is seen."""
    model = CVAE(shape, num_labels, latent_dim, seed=3, **more)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.05, variable.shape))
    return model


def some(shape: tuple[int, int, int], latent_dim: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.random((3, *shape), np.float32), np.array([0, 6, 3]), rng.normal(size=(3, latent_dim)).astype(np.float32)


def test_kl_is_the_integral():
    rng = np.random.default_rng(0)
    mean, a = rng.normal(size=(2, 5)), rng.normal(0, 0.5, (2, 5))
    z = mean[:, None] + np.exp(a)[:, None] * rng.normal(size=(2, 400_000, 5))
    log_q = -0.5 * ((z - mean[:, None]) / np.exp(a)[:, None]) ** 2 - a[:, None]
    monte_carlo = np.sum(log_q + 0.5 * z**2, axis=2).mean(axis=1)
    np.testing.assert_allclose(gaussian_kl(np.float32(mean), np.float32(a)), monte_carlo, rtol=5e-3)


def test_kl_of_the_prior_is_zero_and_of_others_positive():
    assert float(gaussian_kl(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32))[0]) == 0
    a = np.float32([[0.7]])  # ln σ, and not ln σ² or σ: ½(σ² − ln σ² − 1) with σ = e^0.7
    np.testing.assert_allclose(gaussian_kl(np.zeros((1, 1), np.float32), a), [0.5 * (np.exp(1.4) - 1.4 - 1)], rtol=1e-6)


def test_nll_is_the_bernoulli_likelihood():
    rng = np.random.default_rng(0)
    x, logits = rng.random((3, 4, 5, 2)), rng.normal(0, 4, (3, 4, 5, 2))
    x[0] = np.round(x[0])
    p = 1 / (1 + np.exp(-logits))
    truth = -np.sum(x * np.log(p) + (1 - x) * np.log1p(-p), axis=(1, 2, 3))  # a product over pixels: sums of logs
    np.testing.assert_allclose(bernoulli_nll(np.float32(x), np.float32(logits)), truth, rtol=1e-6)


def test_gaussian_nll_is_the_density_of_a_normal():
    rng = np.random.default_rng(0)
    x, logits = rng.random((3, 4, 5, 2)), rng.normal(0, 2, (3, 4, 5, 2))
    mean, sigma = 1 / (1 + np.exp(-logits)), 0.3
    density = np.exp(-0.5 * ((x - mean) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    truth = -np.log(density).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(gaussian_nll(np.float32(x), np.float32(logits), np.float32(sigma**2)), truth, rtol=1e-5)


def test_the_batchs_variance_is_the_likeliest_and_its_gradient_that_of_the_logarithm():
    """With the best σ² put in, the batch's NLL is ½D ln(squared error) but for a constant: so must be its gradient."""
    model, (x, y, noise) = randomised((6, 5, 3), likelihood="gaussian"), some((6, 5, 3))
    logits = tf.Variable(model.decode(noise, y))
    with tf.GradientTape() as tape:
        variance = loop.batch_variance(model, x, logits)
        nll = tf.reduce_sum(model.nll(x, logits, variance))
    with tf.GradientTape() as plain:
        truth = 0.5 * x.size * tf.math.log(tf.reduce_sum((x - tf.sigmoid(logits)) ** 2))
    np.testing.assert_allclose(tape.gradient(nll, logits), plain.gradient(truth, logits), rtol=1e-4, atol=1e-6)
    others = [float(tf.reduce_sum(model.nll(x, logits, factor * variance))) for factor in (0.9, 1.1)]
    assert float(nll) < min(others)
    assert loop.batch_variance(randomised((6, 5, 3)), x, logits) is None


def test_a_perfect_decoder_has_a_finite_gaussian_nll():
    model, x = randomised((4, 4, 1), likelihood="gaussian"), np.full((2, 4, 4, 1), 0.5, np.float32)
    logits = tf.zeros((2, 4, 4, 1))
    variance = loop.batch_variance(model, x, logits)
    np.testing.assert_allclose(variance, 1 / (12 * 255**2), rtol=1e-6)
    assert np.isfinite(model.nll(x, logits, variance)).all()


def test_the_model_takes_the_variance_that_it_keeps():
    model, (x, y, noise) = randomised((4, 4, 1), likelihood="gaussian"), some((4, 4, 1))
    model.variance.assign(0.25)
    logits = model.decode(noise, y)
    np.testing.assert_allclose(model.nll(x, logits), gaussian_nll(x, logits, 0.25), rtol=1e-6)
    assert not any(variable is model.variance for variable in model.trainable_variables)
    bernoulli = randomised((4, 4, 1))
    np.testing.assert_array_equal(bernoulli.nll(x, logits), bernoulli_nll(x, logits))


@pytest.mark.parametrize("logit", [-200.0, 0.0, 200.0])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_nll_and_its_gradient_are_finite(logit: float, target: float):
    logits, x = tf.fill((1, 2, 2, 1), logit), tf.fill((1, 2, 2, 1), target)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        nll = bernoulli_nll(x, logits)
    assert np.isfinite(nll).all() and float(nll[0]) >= 0
    np.testing.assert_allclose(tape.gradient(nll, logits), tf.sigmoid(logits) - x, atol=1e-6)


def test_loss_sums_over_pixels_and_means_nothing():
    x, logits = np.full((2, 4, 4, 1), 0.3, np.float32), np.full((2, 4, 4, 1), 0.7, np.float32)
    one, three = bernoulli_nll(x, logits), bernoulli_nll(np.repeat(x, 3, -1), np.repeat(logits, 3, -1))
    np.testing.assert_allclose(three, 3 * one, rtol=1e-6)
    assert one.shape == (2,)


def test_sample_scales_the_noise_by_sigma():
    z = sample(np.float32([[1.0]]), np.float32([[0.5]]), np.float32([[2.0]]))
    np.testing.assert_allclose(z, [[1 + 2 * np.exp(0.5)]], rtol=1e-6)


@pytest.mark.parametrize(("shape", "more"), MODELS)
def test_equals_plain_keras_layers(shape: tuple[int, int, int], more: dict):
    """Values and gradients of the whole model against label planes, Conv2DTranspose and the textbook loss."""
    model, (x, y, noise) = randomised(shape, **more), some(shape)
    (h, w, _), stages, width = shape, more.get("stages", 2), more.get("width", 1)
    with tf.GradientTape() as tape:
        logits, mean, a = model(x, y, noise)
        loss = tf.reduce_sum(bernoulli_nll(x, logits) + gaussian_kl(mean, a))
    gradients = tape.gradient(loss, model.trainable_variables)

    with tf.GradientTape() as tape:
        planes = tf.broadcast_to(tf.one_hot(y, 7)[:, None, None, :], (3, h, w, 7))
        out = tf.concat([x, planes], axis=-1)
        for layer in model.convs:
            out = tf.nn.conv2d(out, layer.kernel, 2, "SAME") + layer.bias
            out = tf.maximum(out, 0.1 * out)
        assert out.shape[-1] == 8 * width * 2**stages and len(model.convs) == len(model.deconvs) == stages
        out = tf.reshape(out, (3, -1))
        plain_mean, plain_a = model.mean(out), model.a(out)
        z = plain_mean + tf.exp(plain_a) * noise
        smallest = -(-h // 2**stages), -(-w // 2**stages), 2 * width * 2**stages
        out = tf.reshape(model.dense(tf.concat([z, tf.one_hot(y, 7)], axis=1)), (3, *smallest))
        for layer in model.deconvs:
            out = keras.layers.Conv2DTranspose.call(layer, out)
        plain = out[:, :h, :w]
        nll = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(x, plain))
        kl = 0.5 * tf.reduce_sum(plain_mean**2 + tf.exp(plain_a) ** 2 - tf.math.log(tf.exp(plain_a) ** 2) - 1)
        plain_loss = nll + kl
    plain_gradients = tape.gradient(plain_loss, model.trainable_variables)

    np.testing.assert_allclose(logits, plain, atol=1e-4)
    np.testing.assert_allclose(loss, plain_loss, rtol=1e-5)
    for mine, theirs in zip(gradients, plain_gradients, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5 * float(tf.reduce_max(tf.abs(theirs))) + 1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5)])
def test_subpixel_transposed_convolution_alone(size: tuple[int, int]):
    layer = SubpixelConv2DTranspose(6, kernel_size=5, strides=2, padding="same", bias_initializer="uniform")
    x = tf.random.stateless_normal((2, *size, 4), (0, 1))
    layer.build(x.shape)
    np.testing.assert_allclose(layer(x), keras.layers.Conv2DTranspose.call(layer, x), atol=1e-5)


def test_architecture_is_the_articles():
    model = CVAE((28, 28, 3), 10, 20, seed=5)
    shapes = {layer.name: tuple(layer.kernel.shape) for layer in model.layers}
    assert shapes == {
        "conv1": (5, 5, 13, 16),  # N + 3 channels (S1)
        "conv2": (5, 5, 16, 32),
        "mean": (1568, 20),
        "a": (1568, 20),
        "dense": (30, 392),  # z and the one-hot label (S2)
        "deconv1": (5, 5, 8, 8),
        "deconv2": (5, 5, 3, 8),
    }
    for layer in model.layers:
        *taps, rows, columns = layer.kernel.shape
        limit = np.sqrt(6 / (np.prod(taps) * (rows + columns)))  # Xavier-uniform
        spread = np.abs(layer.kernel.numpy())
        assert 0.95 * limit < spread.max() <= limit and not layer.bias.numpy().any()
    np.testing.assert_allclose(leaky_relu(np.float32([-2, 3])), [-0.2, 3], rtol=1e-6)


def test_weights_are_a_function_of_the_seed():
    one, same, other = (CVAE((5, 5, 1), 3, 2, seed=seed).dense.kernel.numpy() for seed in (1, 1, 2))
    assert (one == same).all() and not np.allclose(one, other)


def test_neighbouring_seeds_share_no_weights():
    """Kernels drawn from the same seed begin with the same numbers, whatever their shapes, up to their scales."""
    for stages in 2, 3:
        layers = [layer for seed in range(3) for layer in CVAE((28, 28, 1), 10, 20, stages, seed=seed).layers]
        begin = [layer.kernel.numpy().reshape(-1)[:200] for layer in layers]
        likeness = np.abs(np.corrcoef(begin)) - np.eye(len(begin))
        assert len(begin) == 3 * (2 * stages + 3) and likeness.max() < 0.5


def test_the_label_reaches_encoder_and_decoder():
    model, (x, _, noise) = randomised((9, 9, 1)), some((9, 9, 1))
    means = [model.encode(x[:1], np.array([label]))[0].numpy() for label in range(7)]
    images = [model.generate(noise[:1], np.array([label])).numpy() for label in range(7)]
    for outputs in (means, images):
        for i in range(7):
            assert all(np.abs(outputs[i] - outputs[j]).max() > 1e-4 for j in range(i))


def test_generate_is_one_sigmoid_of_the_logits():
    model, (_, y, noise) = randomised((8, 8, 1)), some((8, 8, 1))
    images = model.generate(noise, y).numpy()
    assert images.shape == (3, 8, 8, 1) and 0 < images.min() < images.max() < 1
    np.testing.assert_allclose(np.log(images / (1 - images)), model.decode(noise, y), atol=1e-4)


def test_a_mixture_of_labels_lies_between_them():
    model, (_, _, noise) = randomised((8, 8, 1)), some((8, 8, 1))
    pure = np.eye(7, dtype=np.float32)[[0, 6, 3]]
    np.testing.assert_array_equal(model.decode(noise, pure), model.decode(noise, np.array([0, 6, 3])))


def test_log_ratio_is_that_of_the_densities():
    model, (x, y, noise) = randomised((6, 6, 1)), some((6, 6, 1))
    mean, a = (t.numpy().astype(np.float64) for t in model.encode(x, y))
    z = mean + np.exp(a) * noise

    def log_normal(value: np.ndarray, mean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        density = np.exp(-0.5 * ((value - mean) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        return np.log(density).sum(axis=1)

    truth = log_normal(z, np.zeros_like(z), np.ones_like(z)) - log_normal(z, mean, np.exp(a))
    np.testing.assert_allclose(log_ratio(STANDARD_NORMAL, np.float32(z), y, np.float32(a), noise), truth, rtol=1e-5)
