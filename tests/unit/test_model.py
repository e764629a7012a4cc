"""The mathematics against independent truth: closed forms, Monte Carlo, NumPy in float64, plain Keras layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from engine.training import loop
from model import CVAE, UpsampledConv2D, bernoulli_nll, gaussian_kl, gaussian_nll, leaky_relu


def randomised(shape: tuple[int, int, int], num_labels: int = 7, latent_dim: int = 4, **more: object) -> CVAE:
    """A model whose biases are not all zero, so that forgetting one is seen."""
    model = CVAE(shape, num_labels, latent_dim, seed=3, **more)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.05, variable.shape))
    return model


def examples(shape: tuple[int, int, int], latent_dim: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.random((3, *shape), np.float32), np.array([0, 6, 3]), rng.normal(size=(3, latent_dim)).astype(np.float32)


def test_kl_is_the_integral_and_0_for_the_prior_itself():
    rng = np.random.default_rng(0)
    mean, a = rng.normal(size=(2, 5)), rng.normal(0, 0.5, (2, 5))
    z = mean[:, None] + np.exp(a)[:, None] * rng.normal(size=(2, 200_000, 5))
    log_q = -0.5 * ((z - mean[:, None]) / np.exp(a)[:, None]) ** 2 - a[:, None]
    monte_carlo = np.sum(log_q + 0.5 * z**2, axis=2).mean(axis=1)
    np.testing.assert_allclose(gaussian_kl(np.float32(mean), np.float32(a)), monte_carlo, rtol=7e-3)
    nothing = np.zeros((1, 3), np.float32)
    assert float(gaussian_kl(nothing, nothing)[0]) == 0


def test_nll_is_the_likelihood_of_bernoulli_or_of_a_normal():
    rng = np.random.default_rng(0)
    x, logits, sigma = rng.random((3, 4, 5, 2)), rng.normal(0, 3, (3, 4, 5, 2)), 0.3
    x[0] = np.round(x[0])
    p, pair = 1 / (1 + np.exp(-logits)), (np.float32(x), np.float32(logits))
    truth = -np.sum(x * np.log(p) + (1 - x) * np.log1p(-p), axis=(1, 2, 3))  # a product over pixels: sums of logs
    np.testing.assert_allclose(bernoulli_nll(*pair), truth, rtol=1e-6)
    density = np.exp(-0.5 * ((x - p) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(gaussian_nll(*pair, tf.constant(sigma**2)), -np.log(density).sum((1, 2, 3)), rtol=1e-5)


def test_nll_and_its_gradient_are_finite_at_any_logit():
    x, logits = (np.reshape(v, (1, 3, 3, 1)).astype(np.float32) for v in np.meshgrid([0, 0.5, 1], [-200, 0, 200]))
    logits = tf.Variable(logits)
    with tf.GradientTape() as tape:
        nll = bernoulli_nll(x, logits)
    assert np.isfinite(nll).all() and float(nll[0]) > 0
    np.testing.assert_allclose(tape.gradient(nll, logits), tf.sigmoid(logits) - x, atol=1e-6)


def test_the_batchs_variance_is_the_likeliest_and_its_gradient_that_of_the_logarithm():
    """With the best σ² put in, the batch's NLL is ½D ln(squared error) but for a constant: so must be its gradient."""
    model, (x, y, noise) = randomised((6, 5, 3), likelihood="gaussian"), examples((6, 5, 3))
    logits = tf.Variable(model.decode(noise, y))
    with tf.GradientTape() as tape:
        variance = loop.batch_variance(model, x, logits)
        nll = tf.reduce_sum(model.nll(x, logits, variance))
    with tf.GradientTape() as plain:
        truth = 0.5 * x.size * tf.math.log(tf.reduce_sum((x - tf.sigmoid(logits)) ** 2))
    np.testing.assert_allclose(tape.gradient(nll, logits), plain.gradient(truth, logits), rtol=1e-4, atol=1e-6)
    others = [float(tf.reduce_sum(model.nll(x, logits, factor * variance))) for factor in (0.9, 1.1)]
    assert float(nll) < min(others)
    perfect = loop.batch_variance(model, np.full((2, 4, 4, 1), 0.5, np.float32), tf.zeros((2, 4, 4, 1)))
    np.testing.assert_allclose(perfect, 1 / (12 * 255**2), rtol=1e-6)  # of rounding: the NLL stays finite


def test_the_model_takes_the_variance_that_it_keeps():
    model, (x, y, noise) = randomised((4, 4, 1), likelihood="gaussian"), examples((4, 4, 1))
    model.variance.assign(0.25)
    logits = model.decode(noise, y)
    np.testing.assert_allclose(model.nll(x, logits), gaussian_nll(x, logits, 0.25), rtol=1e-6)
    assert not any(variable is model.variance for variable in model.trainable_variables)
    bernoulli = randomised((4, 4, 1))
    np.testing.assert_array_equal(bernoulli.nll(x, logits), bernoulli_nll(x, logits))
    assert loop.batch_variance(bernoulli, x, logits) is None


def plainly(model: CVAE, x: np.ndarray, y: np.ndarray, noise: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    """The logits and the summed loss of a model of seven labels, from the operations that the article names."""
    (h, w, _), stages = model.image_shape, len(model.convs)
    planes = tf.broadcast_to(tf.one_hot(y, 7)[:, None, None, :], (len(x), h, w, 7))
    out = tf.concat([x, planes], axis=-1)  # (S1)
    for layer in model.convs:
        out = tf.nn.conv2d(out, layer.kernel, 2, "SAME") + layer.bias
        out = tf.maximum(out, 0.1 * out)
    channels = out.shape[-1]
    out = tf.reshape(out, (len(x), -1))
    mean, a = model.mean(out), model.a(out)
    z = mean + tf.exp(a) * noise
    fewer = 1 if isinstance(model.deconvs[0], UpsampledConv2D) else 4
    smallest = -(-h // 2**stages), -(-w // 2**stages), channels // fewer
    out = tf.reshape(model.dense(tf.concat([z, tf.one_hot(y, 7)], axis=1)), (len(x), *smallest))  # (S2)
    for layer in model.deconvs:
        if isinstance(layer, UpsampledConv2D):
            doubled = keras.layers.UpSampling2D(2)(out)
            kernel = tf.transpose(layer.kernel[::-1, ::-1], (0, 1, 3, 2))  # as a plain convolution's
            out = layer.activation(tf.nn.conv2d(doubled, kernel, 1, "SAME") + layer.bias)
        else:
            out = keras.layers.Conv2DTranspose.call(layer, out)
    logits = out[:, :h, :w]
    nll = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(x, logits))
    return logits, nll + 0.5 * tf.reduce_sum(mean**2 + tf.exp(a) ** 2 - tf.math.log(tf.exp(a) ** 2) - 1)


@pytest.mark.parametrize(
    ("shape", "more"),
    [
        *(((28, 28, 3), {}), ((27, 31, 2), {}), ((5, 6, 1), {}), ((1, 1, 1), {}), ((9, 9, 1), {"stages": 1})),
        ((33, 50, 3), {"stages": 3, "width": 2}),
        *(((33, 48, 3), {"stages": 3, "networks": "pictures"}), ((9, 7, 1), {"stages": 2, "networks": "pictures"})),
    ],
)
def test_a_model_and_its_gradients_are_those_of_plain_keras_layers(shape: tuple[int, int, int], more: dict):
    model, (x, y, noise) = randomised(shape, **more), examples(shape)
    stages, width = more.get("stages", 2), more.get("width", 1)
    assert len(model.convs) == len(model.deconvs) == stages
    assert model.convs[-1].kernel.shape[-1] == 8 * width * 2**stages
    with tf.GradientTape() as tape:
        logits, mean, a = model(x, y, noise)
        loss = tf.reduce_sum(bernoulli_nll(x, logits) + gaussian_kl(mean, a))
    gradients = tape.gradient(loss, model.trainable_variables)
    with tf.GradientTape() as tape:
        plain_logits, plain_loss = plainly(model, x, y, noise)
    np.testing.assert_allclose(logits, plain_logits, atol=1e-4)
    np.testing.assert_allclose(loss, plain_loss, rtol=1e-5)
    for ours, plain in zip(gradients, tape.gradient(plain_loss, model.trainable_variables), strict=True):
        np.testing.assert_allclose(ours, plain, atol=2e-5 * float(tf.reduce_max(tf.abs(plain))) + 1e-5)


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


def test_weights_are_a_function_of_the_seed_and_neighbouring_seeds_share_none():
    """Kernels drawn from the same seed begin with the same numbers, whatever their shapes, up to their scales."""
    first, again = (CVAE((5, 5, 1), 3, 2, seed=1).dense.kernel.numpy() for _ in range(2))
    assert (first == again).all()
    layers = [layer for seed in range(3) for layer in CVAE((28, 28, 1), 10, 20, stages=3, seed=seed).layers]
    likeness = np.corrcoef([layer.kernel.numpy().reshape(-1)[:200] for layer in layers])
    assert len(layers) == 3 * 9 and (np.abs(likeness) - np.eye(27)).max() < 0.5


def test_images_are_one_sigmoid_of_the_logits_and_a_whole_share_of_a_label_is_the_label():
    model, (_, y, noise) = randomised((8, 8, 1)), examples((8, 8, 1))
    images = model.generate(noise, y).numpy()
    assert images.shape == (3, 8, 8, 1) and 0 < images.min() < images.max() < 1
    np.testing.assert_allclose(np.log(images / (1 - images)), model.decode(noise, y), atol=1e-4)
    shares = np.eye(7, dtype=np.float32)[y]
    np.testing.assert_array_equal(model.decode(noise, shares), model.decode(noise, y))
    assert np.abs(model.decode(noise, (shares + shares[::-1]) / 2) - model.decode(noise, y))[0].max() > 1e-3
