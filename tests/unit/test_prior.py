"""The priors against float64 NumPy: densities, sampling, transport; the fit; what is read from prior.npz."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from known_models import random_run

from engine import random_streams, terminal
from engine.dataset import Split
from engine.drawing import sampling
from engine.latent import likelihood_bounds, prior, prior_cache, prior_fit
from engine.latent.local_prior import LocalPrior
from engine.latent.prior import STANDARD_NORMAL, LabelPrior
from engine.runs.trained_model import Trained
from model import bernoulli_nll


def example() -> LabelPrior:
    """Two labels in three latents: the first of two components, the second of one."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 3, 3))
    covariances = a @ a.swapaxes(1, 2) / 3 + 0.1 * np.eye(3)
    return LabelPrior(np.array([0, 0, 1]), np.array([0.3, 0.7, 1.0]), rng.normal(size=(3, 3)), covariances)


def log_density(p: LabelPrior, z: np.ndarray, label: int) -> float:
    """ln Σ π N(z; m, S), the formula as textbooks have it."""
    total = 0.0
    for k in np.flatnonzero(p.labels == label):
        s, away = p.covariances[k], z - p.means[k]
        scale = np.sqrt((2 * np.pi) ** len(z) * np.linalg.det(s))
        total += p.weights[k] * np.exp(-0.5 * away @ np.linalg.inv(s) @ away) / scale
    return np.log(total)


def moments(p: LabelPrior, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of p(z|label), from E zzᵀ."""
    which = np.flatnonzero(p.labels == label)
    mean = sum(p.weights[k] * p.means[k] for k in which)
    second = sum(p.weights[k] * (p.covariances[k] + np.outer(p.means[k], p.means[k])) for k in which)
    return mean, second - np.outer(mean, mean)


def test_samples_have_the_moments_of_their_label_and_temperature_scales_around_the_components_means():
    p, rng, y = example(), np.random.default_rng(2), np.repeat([0, 1], 40_000)
    eps, uniform = rng.normal(size=(80_000, 3)), rng.random(80_000)
    cold, half, z = (p.sample(y, eps, uniform, temperature).numpy() for temperature in (0.0, 0.5, 1.0))
    for label in 0, 1:
        mean, covariance = moments(p, label)
        np.testing.assert_allclose(z[y == label].mean(0), mean, atol=0.03)
        np.testing.assert_allclose(np.cov(z[y == label].T), covariance, atol=0.06)
    np.testing.assert_allclose(cold, p.means[np.where(y == 0, np.where(uniform < 0.3, 0, 1), 2)])
    np.testing.assert_allclose(half, (cold + z) / 2)
    np.testing.assert_allclose(STANDARD_NORMAL.sample(y, eps, uniform, 0.5), eps / 2)


def test_a_style_is_white_and_gets_the_moments_of_the_label():
    p, rng, y = example(), np.random.default_rng(4), np.repeat([0, 1], 20)
    u = rng.normal(size=(40, 3))
    z = p.to_latent(u, y)
    np.testing.assert_allclose(p.style(z, y), u, atol=1e-12)
    for label in 0, 1:
        mean, covariance = moments(p, label)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(values) @ vectors.T
        np.testing.assert_allclose(z[y == label], mean + u[y == label] @ root, atol=1e-12)
    for same in STANDARD_NORMAL.to_latent, STANDARD_NORMAL.style, STANDARD_NORMAL.settle:
        np.testing.assert_array_equal(same(u, y), u)


def test_settling_is_a_step_to_the_mean_of_the_component_that_z_belongs_to():
    centres = np.array([[-9.0, 0], [9, 2]])
    far = LabelPrior(np.array([0, 0]), np.array([0.5, 0.5]), centres, np.stack([np.eye(2)] * 2))
    z = np.array([[-8.0, 1], [9.5, 0]])
    np.testing.assert_allclose(far.settle(z, np.zeros(2, int)), z + LabelPrior.STEP * (centres - z), atol=1e-6)


def test_another_label_keeps_the_style_and_the_own_label_keeps_z():
    p, rng, y = example(), np.random.default_rng(5), np.zeros(50, int)
    z = rng.normal(size=(50, 3)).astype(np.float32)
    moved = sampling.moved(z, y, [0, 1], p)
    np.testing.assert_array_equal(moved[:, 0], z)
    other = p.settle(p.to_latent(p.style(z, y), y + 1), y + 1)
    np.testing.assert_allclose(moved[:, 1], other, rtol=1e-5)
    np.testing.assert_array_equal(sampling.moved(z, y, [0, 1], STANDARD_NORMAL), np.repeat(z[:, None], 2, axis=1))


# --- the fit -----------------------------------------------------------------------------------------------------


def known(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """z of two labels: label 0 of three well separated Gaussians, label 1 of one with a strong covariance."""
    rng = np.random.default_rng(seed)
    centres = np.array([[4.0, 0], [-4, 1], [0, -5]])
    z0 = centres[rng.choice(3, n, p=[0.5, 0.3, 0.2])] + rng.normal(size=(n, 2)) * [0.5, 1.0]
    z1 = rng.normal(size=(n, 2)) @ np.array([[1.0, 0.8], [0, 0.6]]) + [1, 2]
    return np.concatenate([z0, z1]), np.repeat([0, 1], n)


def fitted(z: np.ndarray, y: np.ndarray, held_out: tuple, variance: float = 1e-6) -> LabelPrior:
    return prior_fit.fit(z, np.full_like(z, variance), y, y.max() + 1, held_out, 0)


def test_a_known_mixture_is_fitted_within_a_few_hundredths_of_a_nat_to_the_same_bits():
    p, again = (fitted(*known(3000, 0), known(600, 1)) for _ in range(2))
    for key in LabelPrior.ARRAYS:
        np.testing.assert_array_equal(getattr(p, key), getattr(again, key))
    fresh, label = known(2000, 2)
    centres, covariance = [[4.0, 0], [-4, 1], [0, -5], [1, 2]], [[1.0, 0.8], [0.8, 1.0]]
    covariances = np.stack([np.diag([0.25, 1.0])] * 3 + [np.array(covariance)])
    truth = LabelPrior(np.array([0, 0, 0, 1]), np.array([0.5, 0.3, 0.2, 1.0]), np.array(centres), covariances)
    gap = np.mean(truth.log_density(fresh, label)) - np.mean(p.log_density(fresh, label))
    assert 0 < gap < 0.03
    assert np.bincount(p.labels, p.weights) == pytest.approx([1, 1])
    assert len(p.labels) == 8, "four components each; sixteen add nothing to the likelihood of the held-out z"


def test_the_components_begin_at_points_far_from_all_those_before():
    points = np.repeat(np.eye(8), 50, axis=0)  # of a place that is taken, every point is at distance 0
    for seed in range(5):
        begun = prior_fit._spread_out(points, 8, np.random.default_rng(seed))
        np.testing.assert_array_equal(begun.sum(0), 1)


def test_few_images_give_covariances_nearer_to_diagonal_and_a_single_one_gives_its_q():
    """Of n images in L dimensions n/5L of the covariances between two dimensions are believed, all from 5L on."""
    rng = np.random.default_rng(10)
    z, y = rng.normal(size=(81, 6)) @ rng.normal(size=(6, 6)), np.repeat([0, 1, 3], [12, 68, 1])
    variance = rng.uniform(0.1, 0.5, z.shape)
    p = prior_fit.fit(z, variance, y, 4, (z, y), 0)
    for label, believed in (0, 12 / 30), (1, 1.0), (3, 0.0):
        truth = np.cov(z[y == label].T, bias=True) * np.where(np.eye(6) == 1, 1, believed)
        truth += np.diag(variance[y == label].mean(0) + prior_fit.FLOOR)  # of the average of all q
        np.testing.assert_allclose(p.covariances[label], truth, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(p.means[label], z[y == label].mean(0))
    np.testing.assert_allclose(p.means[2], z.mean(0), err_msg="a label without images: as all images")


def test_an_image_belongs_to_components_by_the_expected_log_density_of_its_q():
    """The variance v of a q costs ½ Σ v·S⁻¹ under N(m, S)."""
    p, rng = example(), np.random.default_rng(12)
    z, variance = rng.normal(size=(40, 3)), rng.uniform(0.1, 0.5, (40, 3))
    components = tf.constant(p.weights), tf.constant(p.means), *prior.whiteners(tf.constant(p.covariances))
    points, terms = prior.log_terms(z, components), prior.log_terms(z, components, variance)
    for k, s in enumerate(p.covariances):
        np.testing.assert_allclose(terms[k], points[k] - 0.5 * variance @ np.diag(np.linalg.inv(s)))


# --- of a run: the bounds under it, and its file -----------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Trained:
    return random_run(tmp_path, image_shape=(6, 5, 1), num_labels=2, latent_dim=3, seed=4)


def images(count: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    return Split(rng.integers(0, 256, (count, 6, 5, 1), np.uint8), rng.permutation(np.arange(count) % 2))


def test_many_labels_and_latents_get_one_gaussian_per_label_and_more_a_local_prior(run: Trained, monkeypatch):
    monkeypatch.setattr(prior_fit, "LARGEST", 4 * 4 * 2**2 - 1)  # numbers in the covariances of four components
    assert len(fitted(*known(1000, 0), known(600, 1)).labels) == 8
    monkeypatch.setattr(prior_fit, "LARGEST", 2 * 4 * 2**2 - 1)
    assert len(fitted(*known(1000, 0), known(600, 1)).labels) == 2
    monkeypatch.setattr(prior_cache, "LARGEST", 2 * 3**2 - 1)
    assert type(prior_cache.fit(run, images(200, 0), images(50, 1))) is LocalPrior


def test_the_bounds_under_either_prior_are_those_of_the_densities(run: Trained):
    model, p, (grey, y) = run.model, example(), images(6, 5)
    draws, priors = [random_streams.normal((6, 3), 3, "style", k) for k in range(4)], (STANDARD_NORMAL, p)
    standard, label = likelihood_bounds.bounds(model, grey, y, 4, lambda k: draws[k], priors)
    x = grey / np.float32(255)
    mean, a = (t.numpy().astype(np.float64) for t in model.encode(x, y))
    nll, log_w, log_plain = [], [], []
    for eps in (np.float64(draw.numpy()) for draw in draws):
        z = mean + np.exp(a) * eps
        nll.append(bernoulli_nll(x, model.decode(z.astype(np.float32), y)).numpy())
        log_q = -0.5 * (eps**2).sum(1) - a.sum(1) - 1.5 * np.log(2 * np.pi)
        log_w.append([log_density(p, *pair) for pair in zip(z, y, strict=True)] - log_q)
        log_plain.append(-0.5 * (z**2).sum(1) - 1.5 * np.log(2 * np.pi) - log_q)
    np.testing.assert_allclose(label.kl, -np.mean(log_w, 0), rtol=1e-5)
    np.testing.assert_allclose(standard.kl, 0.5 * (mean**2 + np.exp(2 * a) - 1 - 2 * a).sum(1), rtol=1e-5)
    for bounds, ratios in (label, log_w), (standard, log_plain):
        np.testing.assert_allclose(bounds.nll, np.mean(nll, 0), rtol=1e-5)
        truth = np.log(np.mean(np.exp(np.array(ratios) - np.array(nll)), 0))
        np.testing.assert_allclose(bounds.iw, truth, rtol=1e-5)


def test_the_prior_is_fitted_to_training_images_and_chosen_by_z_of_validation_images(run: Trained, monkeypatch):
    train, validation, asked = images(300, 0), images(2000, 1), []
    monkeypatch.setattr(prior_fit, "fit", lambda *arguments: asked.append(arguments))
    prior_cache.fit(run, train, validation)
    mean, variance, y, labels, (z, held_y), *_ = asked[0]
    truth, a = likelihood_bounds.posterior(run.model, *train)
    np.testing.assert_allclose(mean, truth, atol=1e-5)
    np.testing.assert_allclose(variance, np.exp(2 * a), rtol=1e-4)
    assert (y == train.labels).all() and (held_y == validation.labels).all() and labels == 2
    mean, a = likelihood_bounds.posterior(run.model, *validation)
    eps = (z - mean) / np.exp(a)
    assert abs(eps.mean()) < 0.1 and abs(eps.std() - 1) < 0.1


def test_the_prior_is_fitted_to_at_most_so_many_images(run: Trained, monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(prior_fit, "fit", lambda mean, variance, y, *_: asked.append(len(y)))
    for most in 1000, 12:
        monkeypatch.setattr(prior_cache, "IMAGES", most)
        prior_cache.fit(run, images(400, 0), images(400, 0))
    assert asked == [400, 12]


def test_a_run_whose_z_are_not_finite_has_no_prior(run: Trained):
    run.model.a.bias.assign(np.full(3, 50, np.float32))
    with pytest.raises(terminal.Failure, match="z are not finite; train with a smaller"):
        prior_cache.fit(run, images(200, 0), images(50, 1))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"means": np.full((3, 3), 1e31)}, "damaged"),  # z is float32
        ({"weights": np.array([-0.3, 1.3, 1.0])}, "damaged"),
        ({"covariances": -np.stack([np.eye(3)] * 3)}, "damaged"),
        ({"labels": np.array([1, 1, 1])}, "damaged"),
        ({"labels": np.array([0, 1, 10**15])}, "damaged"),  # not a loop over as many labels
        ({"sigmas": np.ones((2, 3)), "means": np.zeros((1 << 18, 3))}, "damaged"),  # not all their distances
        ({"step": np.int64(40)}, "was of step"),
        ({"config": np.str_("0" * 16)}, "was of step"),
    ],
)
def test_a_prior_is_read_back_and_a_damaged_or_stale_one_is_refused(change: dict, why: str, run: Trained):
    prior_cache.write(run, example())
    np.testing.assert_array_equal(prior_cache.read(run).covariances, example().covariances)
    with np.load(run.folder / prior_cache.NAME) as archive:
        arrays = dict(archive)
    np.savez(run.folder / prior_cache.NAME, **arrays | change)
    with pytest.raises(terminal.Failure, match=why):
        prior_cache.read(run)
