"""The local prior: what it samples, its density and its other methods, against dense formulas in NumPy."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import settings

from engine.dataset import Split
from engine.evaluation import samples
from engine.latent import local_prior, prior_cache
from engine.latent.local_prior import LocalPrior
from engine.latent.prior import LabelPrior

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [15, 4, 1])
MEANS = RNG.normal(size=(20, 3)) + 3 * LABELS[:, None]
SIGMAS = RNG.uniform(0.1, 0.3, (20, 3)).astype(np.float32)


@functools.cache  # no tensors while tests are collected: the devices are not chosen yet
def local() -> LocalPrior:
    return LocalPrior(LABELS, SIGMAS, MEANS.astype(np.float32))


def covariance(i: int) -> np.ndarray:
    """Of the component around picture i, as the class's docstring has it."""
    others = np.flatnonzero((LABELS == LABELS[i]) & (np.arange(20) != i))
    nearest = others[np.argsort(((MEANS[others] - MEANS[i]) ** 2).sum(1))][: local_prior.NEIGHBOURS]
    away = MEANS[nearest] - MEANS[i]
    label_variance = MEANS[LABELS == LABELS[i]].var(0)
    own = np.diag(SIGMAS[i].astype(float) ** 2 + local_prior.OWN * label_variance + local_prior.FLOOR)
    return own + local_prior.SPREAD**2 / max(len(nearest), 1) * away.T @ away


@pytest.mark.parametrize("label", [0, 1, 2])
def test_the_density_is_that_of_the_mixture_written_out(label: int):
    z = RNG.normal(size=(7, 3)) + 3 * label
    which = np.flatnonzero(LABELS == label)
    total = 0
    for i in which:
        away, s = z - MEANS[i], covariance(i)
        square = np.einsum("ni,ij,nj->n", away, np.linalg.inv(s), away)
        total += np.exp(-0.5 * square) / np.sqrt(np.linalg.det(2 * np.pi * s)) / len(which)
    np.testing.assert_allclose(local().log_density(z, np.full(7, label)), np.log(total), rtol=1e-4)


@pytest.mark.parametrize("i", [3, 16, 19])
def test_a_sample_is_of_one_component_and_linear_in_the_noise_by_a_root_of_its_covariance(i: int):
    label, eye = np.full(3, LABELS[i]), np.eye(3)
    uniform = np.full(3, (i - np.flatnonzero(LABELS == LABELS[i])[0] + 0.5) / np.sum(LABELS == LABELS[i]))
    middle = local().sample(label, 0 * eye, uniform).numpy()
    np.testing.assert_allclose(middle, np.tile(MEANS[i], (3, 1)), rtol=1e-5)
    root = local().sample(label, eye, uniform).numpy() - middle  # row j: what noise along j alone moves
    np.testing.assert_allclose(root.T @ root, covariance(i), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(local().sample(label, eye, uniform, 0.5).numpy() - middle, root / 2, atol=1e-9)


def test_uniform_numbers_choose_every_picture_of_the_label_alike():
    uniform = (np.arange(300) + 0.5) / 300
    z = local().sample(np.zeros(300, int), np.zeros((300, 3)), uniform).numpy()
    chosen = np.abs(z[:, None] - MEANS[:15]).sum(2).argmin(1)
    assert (np.bincount(chosen) == 20).all()


def test_a_style_keeps_its_deviation_from_the_labels_mean_under_another_label():
    z = RNG.normal(size=(4, 3))
    own, other = np.zeros(4, int), np.ones(4, int)
    style = local().style(z, own)
    np.testing.assert_allclose(local().to_latent(style, own), z, atol=1e-9)
    moved = MEANS[LABELS == 1].mean(0) - MEANS[LABELS == 0].mean(0)
    np.testing.assert_allclose(local().to_latent(style, other), z + moved, atol=1e-5)


def test_to_settle_is_to_go_most_of_the_way_to_the_pictures_around():
    near = MEANS[3] + 0.05 * RNG.normal(size=(5, 3))
    settled = local().settle(near, np.zeros(5, int)).numpy()
    left = (1 - LocalPrior.STEP) * near + LocalPrior.STEP * MEANS[3]
    np.testing.assert_allclose(settled, left, atol=0.02)
    np.testing.assert_allclose(
        local().settle(near, np.full(5, 2)), (1 - LocalPrior.STEP) * near + LocalPrior.STEP * MEANS[19], atol=1e-5
    )


def test_few_pictures_for_each_latent_make_the_prior_local(monkeypatch: pytest.MonkeyPatch):
    """The median label decides. A label without pictures draws as all do."""

    def posterior(model: object, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.float32(x.reshape(-1, 1) + [[0, y.sum() % 7]]), np.full((len(y), 2), -1.0, np.float32)

    monkeypatch.setattr(prior_cache.likelihood_bounds, "posterior", posterior)
    run = SimpleNamespace(model=None, config=settings(num_labels=3, latent_dim=2))
    for count, kind in (19, LocalPrior), (20, LabelPrior):
        y = np.repeat([0, 1], [300, count]).astype(np.uint8)
        y = np.concatenate([y, np.full(count, 2, np.uint8)])
        split = Split(RNG.normal(size=(len(y), 1, 1, 1)), y)
        assert type(prior_cache.fit(run, split, split)) is kind
    prior = local_prior.fit(MEANS, SIGMAS**2, LABELS, 4, 0)
    assert np.bincount(prior.labels).tolist() == [15, 4, 1, 20]
    assert np.bincount(local_prior.fit(np.zeros((999, 2)), np.ones((999, 2)), np.zeros(999, int), 1, 0).labels) == [256]


def test_the_distance_to_the_nearest_training_picture_is_a_root_mean_square():
    train, images = RNG.integers(0, 256, (1_100, 4, 3, 3), np.uint8), RNG.integers(0, 256, (5, 4, 3, 3), np.uint8)
    images[2] = train[1_050]
    away = images[:, None].astype(float) / 255 - train / 255
    truth = np.sqrt((away**2).mean(axis=(2, 3, 4)).min(axis=1))
    np.testing.assert_allclose(samples._distances(images, train), truth, atol=1e-3)
    assert truth[2] == 0
