"""The label prior against independent truth: densities in float64, mixtures found again, transport, its file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data
import generate
from engine import drawing, ex_post, gaussian, mixture, noise, prior, trained
from engine.evaluation import likelihood
from engine.prior import Prior
from model import bernoulli_nll

ROOT = Path(__file__).resolve().parent.parent


def some_prior(latents: int = 3, full: bool = True) -> Prior:
    """Two labels: the first of two components, the second of one."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, latents, latents))
    covariances = a @ a.swapaxes(1, 2) / latents + 0.1 * np.eye(latents)
    if not full:
        covariances = np.stack([np.diag(c) for c in covariances])
    return Prior(np.array([0, 0, 1]), np.array([0.3, 0.7, 1.0]), rng.normal(size=(3, latents)), covariances)


def dense(covariance: np.ndarray) -> np.ndarray:
    return np.diag(covariance) if covariance.ndim == 1 else covariance


def log_density(p: Prior, z: np.ndarray, label: int) -> float:
    """ln Σ π N(z; m, S), the formula as textbooks have it."""
    total = 0.0
    for k in np.flatnonzero(p.labels == label):
        s, away = dense(p.covariances[k]), z - p.means[k]
        scale = np.sqrt((2 * np.pi) ** len(z) * np.linalg.det(s))
        total += p.weights[k] * np.exp(-0.5 * away @ np.linalg.inv(s) @ away) / scale
    return np.log(total)


@pytest.mark.parametrize("full", [True, False])
def test_log_density_is_the_textbooks(full: bool):
    p, rng = some_prior(full=full), np.random.default_rng(1)
    z, y = rng.normal(size=(700, 3)), rng.integers(2, size=700)
    np.testing.assert_allclose(p.log_density(z, y), [log_density(p, *pair) for pair in zip(z, y, strict=True)])
    grid = np.stack(np.meshgrid(*[np.linspace(-9, 9, 61)] * 3), -1).reshape(-1, 3)
    mass = np.exp(p.log_density(grid, np.zeros(len(grid), int))).sum() * (18 / 60) ** 3
    assert mass == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("full", [True, False])
def test_samples_have_the_moments_of_their_label(full: bool):
    p, rng = some_prior(full=full), np.random.default_rng(2)
    y = np.repeat([0, 1], 40_000)
    z = p.sample(y, rng.normal(size=(80_000, 3)), rng.random(80_000))
    means, roots, inverses = p.moments
    for label in (0, 1):
        mine = p.labels == label
        mean = p.weights[mine] @ p.means[mine]
        second = sum(
            w * (dense(s) + np.outer(m, m))
            for w, m, s in zip(p.weights[mine], p.means[mine], p.covariances[mine], strict=True)
        )
        truth = second - np.outer(mean, mean)
        np.testing.assert_allclose(z[y == label].mean(0), mean, atol=0.03)
        np.testing.assert_allclose(
            np.cov(z[y == label].T) * (np.eye(3) if not full else 1), truth * (np.eye(3) if not full else 1), atol=0.06
        )
        np.testing.assert_allclose(means[label], mean)
        root = dense(roots[label])
        np.testing.assert_allclose(np.diag(root @ root), np.diag(truth), rtol=1e-6)
        np.testing.assert_allclose(root @ dense(inverses[label]), np.eye(3), atol=1e-9)


def test_temperature_scales_around_the_components_mean():
    p, rng = some_prior(), np.random.default_rng(3)
    y, eps, uniform = np.zeros(500, int), rng.normal(size=(500, 3)), rng.random(500)
    cold, half, warm = (p.sample(y, eps, uniform, temperature) for temperature in (0.0, 0.5, 1.0))
    assert {tuple(row) for row in cold.round(9)} == {tuple(mean) for mean in p.means[:2].round(9)}
    np.testing.assert_allclose(half, (cold + warm) / 2)
    assert (np.abs(cold - p.means[0]).max(1) < 1e-9).mean() == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("full", [True, False])
def test_transport_whitens_in_one_label_and_colours_in_the_other(full: bool):
    p, rng = some_prior(full=full), np.random.default_rng(4)
    z, zeros = rng.normal(size=(50, 3)), np.zeros(50, int)
    style = p.style(z, zeros)
    np.testing.assert_allclose(p.place(style, zeros), z, atol=1e-9)
    drawn = p.sample(np.zeros(40_000, int), rng.normal(size=(40_000, 3)), rng.random(40_000))
    white = p.style(drawn, np.zeros(40_000, int))
    np.testing.assert_allclose(white.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.diag(np.cov(white.T)), 1, atol=0.04)
    coloured = drawing.moved(drawn[:40_000], np.zeros(40_000, int), [0, 1], p)
    np.testing.assert_allclose(coloured[:, 0], drawn, atol=1e-4)
    np.testing.assert_allclose(coloured[:, 1].mean(0), p.means[2], atol=0.04)
    # label 1 has one component, towards whose mean everything settles a little
    truth = (1 - prior.SETTLE) ** 2 * np.diag(dense(p.covariances[2]))
    np.testing.assert_allclose(np.diag(np.cov(coloured[:, 1].T)), truth, rtol=0.05)
    assert (drawing.moved(z, zeros, [0, 1], None) == z[:, None]).all()


def test_settling_is_a_step_to_the_component_that_z_belongs_to():
    far = Prior(np.array([0, 0]), np.array([0.5, 0.5]), np.array([[-9.0, 0], [9.0, 2]]), np.stack([np.eye(2)] * 2))
    z = np.array([[-8.0, 1], [9.5, 0]])
    means = far.means[[0, 1]]
    np.testing.assert_allclose(far.settle(z, np.zeros(2, int)), z + prior.SETTLE * (means - z), atol=1e-6)


# --- the fit -----------------------------------------------------------------------------------------------------


def known(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """z of two labels: label 0 of three well separated Gaussians, label 1 of one with a strong covariance."""
    rng = np.random.default_rng(seed)
    centres = np.array([[4.0, 0], [-4, 1], [0, -5]])
    z0 = centres[rng.choice(3, n, p=[0.5, 0.3, 0.2])] + rng.normal(size=(n, 2)) * [0.5, 1.0]
    z1 = rng.normal(size=(n, 2)) @ np.array([[1.0, 0.8], [0, 0.6]]) + [1, 2]
    return np.concatenate([z0, z1]), np.repeat([0, 1], n)


def test_known_mixtures_are_found_again():
    z, y = known(3000, 0)
    p = mixture.fit(z, np.full_like(z, 1e-6), y, 2, known(600, 1))
    assert len(p.labels) >= 4 and np.bincount(p.labels, p.weights) == pytest.approx([1, 1])
    for centre, weight in (([4.0, 0], 0.5), ([-4.0, 1], 0.3), ([0.0, -5], 0.2)):
        near = (np.abs(p.means - centre).max(1) < 1.5) & (p.labels == 0)
        assert p.weights[near].sum() == pytest.approx(weight, abs=0.04)
        mean = p.weights[near] @ p.means[near] / p.weights[near].sum()
        np.testing.assert_allclose(mean, centre, atol=0.12)
    fresh, label = known(2000, 2)
    truth = Prior(
        np.array([0, 0, 0, 1]),
        np.array([0.5, 0.3, 0.2, 1.0]),
        np.array([[4.0, 0], [-4, 1], [0, -5], [1, 2]]),
        np.stack([np.diag([0.25, 1.0])] * 3 + [np.array([[1.0, 0.8], [0.8, 1.0]])]),
    )
    gap = truth.log_density(fresh, label).mean() - p.log_density(fresh, label).mean()
    assert 0 < gap < 0.03, "nats from the density that made the data"


def test_one_component_is_the_closed_form(monkeypatch: pytest.MonkeyPatch):
    """Mean and covariance of the average of all q: the means' scatter and the mean variance."""
    monkeypatch.setattr(mixture, "COMPONENTS", (1,))
    z, y = known(1000, 3)
    variance = np.random.default_rng(0).uniform(0.1, 0.5, z.shape)
    p = mixture.fit(z, variance, y, 2, known(100, 4))
    for label in (0, 1):
        truth = np.cov(z[y == label].T, bias=True) + np.diag(variance[y == label].mean(0) + mixture.FLOOR)
        np.testing.assert_allclose(p.covariances[label], truth, rtol=1e-6)
        np.testing.assert_allclose(p.means[label], z[y == label].mean(0), rtol=1e-6)


def test_more_components_only_where_the_held_out_are_likelier():
    rng = np.random.default_rng(5)
    z, y = rng.normal(size=(900, 2)), np.zeros(900, int)
    plain = mixture.fit(z, np.full_like(z, 1e-6), y, 1, (rng.normal(size=(4000, 2)), np.zeros(4000, int)))
    assert len(plain.labels) == 1
    assert len(mixture.fit(*(lambda z, y: (z, np.full_like(z, 1e-6), y, 2))(*known(3000, 0)), known(600, 1)).labels) > 2


def test_few_images_and_a_single_one_give_something_sane():
    rng = np.random.default_rng(6)
    mean, variance = rng.normal(size=(45, 20)), rng.uniform(0.05, 0.3, (45, 20))
    y = np.array([0] + [1] * 3 + [2] * 41)
    p = mixture.fit(mean, variance, y, 4, (mean, y))
    assert p.labels.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(p.means[0], mean[0])
    np.testing.assert_allclose(p.covariances[0], np.diag(variance[0] + mixture.FLOOR), atol=1e-9)  # its q, not a spike
    np.testing.assert_allclose(p.means[3], mean.mean(0), err_msg="a label without images: as all images")
    for covariance in p.covariances:
        assert np.linalg.eigvalsh(covariance).min() > 0.01
    z = p.sample(y, rng.normal(size=mean.shape), rng.random(45))
    assert np.isfinite(z).all() and np.isfinite(p.log_density(z, y)).all()


def test_with_few_images_for_so_many_latents_covariances_are_nearer_to_diagonal(monkeypatch: pytest.MonkeyPatch):
    """Of n images in L dimensions n/5L of the covariances between two of them is believed, all from 5L images on."""
    monkeypatch.setattr(mixture, "COMPONENTS", (1,))
    rng = np.random.default_rng(10)
    z, y = rng.normal(size=(80, 6)) @ rng.normal(size=(6, 6)), np.repeat([0, 1], [12, 68])
    p = mixture.fit(z, np.full_like(z, 0.1), y, 2, (z, y))
    for label, believed in (0, 12 / 30), (1, 1.0):
        truth = np.cov(z[y == label].T, bias=True) * np.where(np.eye(6) == 1, 1, believed)
        np.testing.assert_allclose(p.covariances[label], truth + (0.1 + mixture.FLOOR) * np.eye(6), rtol=1e-6)


def test_components_begin_spread_over_all_images():
    rng, centres = np.random.default_rng(11), np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    points = np.repeat(centres, 50, axis=0) + rng.normal(0, 0.01, (200, 2))
    for seed in range(20):
        begin = mixture._spread_out(points, 4, np.random.default_rng(seed))
        assert sorted(np.rint(begin).tolist()) == sorted(centres.tolist())


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("known_exactly", [True, False])
def test_an_image_belongs_to_components_by_bayes_rule(full: bool, known_exactly: bool):
    """An image is its q, whose variance v costs ½ Σ v·S⁻¹ under N(m, S): the expectation of the log-density."""
    p, rng = some_prior(full=full), np.random.default_rng(12)
    weights, z = np.array([0.6, 0.3, 0.1]), rng.normal(size=(40, 3))
    variance = None if known_exactly else rng.uniform(0.1, 0.5, z.shape)
    whiteners = [gaussian.whitener(covariance) for covariance in p.covariances]
    belongs, log_p = gaussian.responsibilities(z, weights, p.means, whiteners, variance)
    terms = np.empty((40, 3))
    for k, (weight, mean, s) in enumerate(zip(weights, p.means, map(dense, p.covariances), strict=True)):
        square = np.einsum("ni,ij,nj->n", z - mean, np.linalg.inv(s), z - mean)
        square = square if variance is None else square + variance @ np.diag(np.linalg.inv(s))
        terms[:, k] = np.log(weight) - 0.5 * (square + np.log((2 * np.pi) ** 3 * np.linalg.det(s)))
    np.testing.assert_allclose(log_p, np.log(np.exp(terms).sum(1)))
    np.testing.assert_allclose(belongs, np.exp(terms) / np.exp(terms).sum(1, keepdims=True), atol=1e-12)


def test_the_same_arguments_give_the_same_bits():
    z, y = known(2000, 7)
    one, two = (mixture.fit(z, np.full_like(z, 0.01), y, 2, known(100, 8)) for _ in range(2))
    assert all(
        (a == b).all()
        for a, b in zip(vars(one).values(), vars(two).values(), strict=False)
        if isinstance(a, np.ndarray)
    )


def test_a_thousand_labels_and_512_latents_do_not_explode():
    rng, n = np.random.default_rng(9), 4000
    mean, y = rng.normal(size=(n, 512)).astype(np.float32), np.arange(n) % 1000
    tracemalloc.start()
    began = time.monotonic()
    p = mixture.fit(mean, np.full((n, 512), 0.1), y, 1000, (mean[:500], y[:500]))
    z = p.place(p.style(mean[:50], y[:50]), y[:50])
    assert tracemalloc.get_traced_memory()[1] < 200e6 and time.monotonic() - began < 20
    tracemalloc.stop()
    assert p.covariances.shape == (1000, 512), "diagonal"
    np.testing.assert_allclose(z, mean[:50], atol=1e-4)


# --- the bounds under it -----------------------------------------------------------------------------------------


def test_the_bounds_under_the_label_prior(tiny_run: Path):
    """−ELBO = NLL + KL and the importance-weighted bound, against densities in float64."""
    model, p = trained.load(tiny_run).model, ex_post.read(trained.load(tiny_run))
    images, y = data.drawn.digits(6, 1, 5)
    x = images / np.float32(255)
    draws = [noise.normal((6, 20), 3, "style", k) for k in range(4)]
    standard, label = likelihood.bounds(model, images, y, 4, lambda k: draws[k], priors=(None, p))
    mean, a = (t.numpy().astype(np.float64) for t in model.encode(x, y.astype(np.int32)))
    nll, log_w = [], []
    for eps in draws:
        eps = eps.numpy().astype(np.float64)
        z = mean + np.exp(a) * eps
        nll.append(bernoulli_nll(x, model.decode(z.astype(np.float32), y.astype(np.int32))).numpy())
        log_q = -0.5 * (eps**2).sum(1) - a.sum(1) - 10 * np.log(2 * np.pi)
        log_p = np.array([log_density(p, one, label) for one, label in zip(z, y, strict=True)])
        log_w.append(log_p - log_q)
    np.testing.assert_allclose(label.kl, -np.mean(log_w, 0), rtol=1e-6)
    np.testing.assert_allclose(label.nll, np.mean(nll, 0), rtol=1e-5)
    np.testing.assert_allclose(label.iw[:, 0], np.log(np.mean(np.exp(np.array(log_w) - nll), 0)), rtol=1e-5)
    assert (standard.nll == label.nll).all() and (standard.kl != label.kl).all()
    (alone,) = likelihood.bounds(model, images, y, 4, lambda k: draws[k])
    assert (alone.iw == standard.iw).all() and (alone.kl == standard.kl).all()


def test_the_standard_normal_as_a_label_prior_is_the_standard_bound(tiny_run: Path):
    model = trained.load(tiny_run).model
    plain = Prior(np.arange(10), np.ones(10), np.zeros((10, 20)), np.stack([np.eye(20)] * 10))
    images, y = data.drawn.digits(200, 1, 6)
    eps = [noise.normal((200, 20), 4, "style", k) for k in range(60)]
    standard, label = likelihood.bounds(model, images, y, 60, lambda k: eps[k], priors=(None, plain))
    np.testing.assert_allclose(label.iw, standard.iw, rtol=1e-5)
    assert label.kl.mean() == pytest.approx(standard.kl.mean(), abs=0.1), "Monte Carlo against the closed form"


# --- a run's ------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    return Path(shutil.copytree(tiny_run, tmp_path / tiny_run.name))


def main(run: Path, *flags: str) -> int:
    return generate.main(["--run", str(run), *flags])


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_training_leaves_a_prior_and_the_two_grids_through_it(run: Path, tmp_path: Path):
    p = ex_post.read(trained.load(run))
    assert sorted(set(p.labels)) == list(range(10))
    for flags, name in ([], "fake1"), (["--same-style"], "fake2"):
        assert main(run, "--label", "all", *flags, "--out", str(tmp_path / "label.png")) == 0
        assert main(run, "--label", "all", *flags, "--prior", "standard", "--out", str(tmp_path / "standard.png")) == 0
        assert (tmp_path / "standard.png").read_bytes() == (run / f"{name}.png").read_bytes()
        assert (tmp_path / "label.png").read_bytes() == (run / f"{name}_label_prior.png").read_bytes()
        assert (pixels(tmp_path / "label.png") != pixels(run / f"{name}.png")).any()
        for file, kind in ("label", "label"), ("standard", "standard"):
            with Image.open(tmp_path / f"{file}.png") as image:
                assert image.text["prior"] == kind


def test_the_prior_is_fitted_to_the_training_images_alone(run: Path):
    """Planted: in validation and test images all labels are shifted by one, and the prior is not."""
    loaded, dataset = trained.load(run), data.load("drawn")
    wrong = dataset.validation._replace(labels=(dataset.validation.labels + 1) % 10)
    p, planted = ex_post.fit(loaded, dataset.train, dataset.validation), ex_post.fit(loaded, dataset.train, wrong)
    for label in range(10):
        mean, _, _ = likelihood.posterior(loaded.model, *(a[dataset.train.labels == label] for a in dataset.train))
        np.testing.assert_allclose(planted.moments[0][label], mean.mean(0, dtype=np.float64), atol=1e-4)
    np.testing.assert_allclose(p.moments[0], planted.moments[0], atol=1e-4)


def test_what_chooses_the_components_are_z_of_validation_images_not_their_means(run: Path, monkeypatch):
    loaded, dataset, asked = trained.load(run), data.load("drawn"), []
    monkeypatch.setattr(mixture, "fit", lambda *arguments: asked.append(arguments))
    ex_post.fit(loaded, dataset.train, dataset.validation)
    z, y = asked[0][4]
    mean, a, _ = likelihood.posterior(loaded.model, *dataset.validation)
    noise_of = (z - mean) / np.exp(a)
    assert (y == dataset.validation.labels).all() and noise_of.shape == (100, 20)
    assert noise_of.mean() == pytest.approx(0, abs=0.1) and noise_of.std() == pytest.approx(1, abs=0.1)


def test_fitted_again_in_another_process_it_is_the_same(run: Path):
    before = (run / ex_post.NAME).read_bytes()
    code = f"""
import data, sys
data.DRAWN = (1000, 100, 100)
import generate
sys.exit(generate.main(["--run", {str(run)!r}, "--fit-prior"]))"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "label prior: " in done.stdout
    again = np.load(run / ex_post.NAME)
    (run / "before.npz").write_bytes(before)
    kept = np.load(run / "before.npz")
    for key in kept:
        if kept[key].dtype.kind == "f":
            # Operations on more threads than in training sum float32 numbers in another order on some processors.
            np.testing.assert_allclose(again[key], kept[key], rtol=1e-6, atol=1e-7, err_msg=key)
        else:
            assert (again[key] == kept[key]).all(), key


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_bytes(b"hello" * 100)
    elif how == "pickle":
        np.savez(path, labels=np.array([{}], dtype=object))
    else:
        with np.load(path) as archive:
            arrays = dict(archive)
        if how == "not finite":
            arrays["means"][3, 4] = np.nan
        elif how == "too far":
            arrays["means"][3, 4] = 1e39
        elif how == "not symmetric":
            arrays["covariances"][0, 0, 1] += 1e-9
        elif how == "not positive":
            arrays["covariances"][0] = -arrays["covariances"][0]
        elif how == "another size":
            arrays["means"] = arrays["means"][:, :-1]
        elif how == "a label short":
            arrays = {k: a[arrays["labels"] < 9] if a.ndim else a for k, a in arrays.items()}
        elif how == "weights":
            arrays["weights"] = arrays["weights"] * 0.9
        elif how == "another step":
            arrays["step"] = np.int64(40)
        elif how == "another run":
            arrays["config"] = np.str_("0" * 16)
        with open(path, "wb") as file:
            np.savez(file, **arrays)


DAMAGES = ["cut", "empty", "text", "pickle", "not finite", "too far", "not symmetric", "not positive", "another size"]
DAMAGES += ["a label short", "weights", "another step", "another run"]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_or_stale_prior_is_never_used_silently(how: str, run: Path, monkeypatch, capsys):
    damage(run / ex_post.NAME, how)
    with pytest.raises(
        ex_post.Unusable, match="was of" if how.startswith("another ") and "size" not in how else "damaged"
    ):
        ex_post.read(trained.load(run))
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 101))  # other digits than the run's: its data is not to be had
    assert main(run, "--label", "7") == 0
    out, err = capsys.readouterr()
    assert not err and out.count("\n") == 2 and out.startswith("no label prior, so z comes from N(0, I): ")
    assert Image.open(run / "label_7.png").text["prior"] == "standard"
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    assert main(run, "--label", "7") == 0
    out, err = capsys.readouterr()
    assert not err and out.count("fitted in") == 1
    assert Image.open(run / "label_7.png").text["prior"] == "label"
    ex_post.read(trained.load(run))  # mended


def test_an_older_checkpoint_gets_a_prior_of_its_own_and_leaves_the_newest_ones(run: Path, capsys):
    before = (run / ex_post.NAME).read_bytes()
    assert main(run, "--label", "7", "--checkpoint", str(run / "model.ckpt-40")) == 0
    assert "was of step 60" in capsys.readouterr().out and (run / ex_post.NAME).read_bytes() == before
    assert main(run, "--fit-prior", "--checkpoint", str(run / "model.ckpt-40")) == 0
    assert ex_post.read(trained.load(run, str(run / "model.ckpt-40")))
    with pytest.raises(ex_post.Unusable, match="of step 40 of this run"):
        ex_post.read(trained.load(run))


def test_a_run_whose_z_are_not_finite_has_no_prior(run: Path, monkeypatch, capsys):
    (run / ex_post.NAME).unlink()
    real = likelihood.posterior

    def far(*args: object) -> tuple:
        mean, a, kl = real(*args)
        return mean, a + 50, kl

    monkeypatch.setattr(likelihood, "posterior", far)
    assert main(run, "--label", "7") == 0 and "z are not finite" in capsys.readouterr().out
    assert main(run, "--fit-prior") == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and "z are not finite" in err and not (run / ex_post.NAME).exists()


def test_prior_flags(run: Path, monkeypatch, capsys):
    for wrong in (["--fit-prior", "--prior", "standard"], ["--label", "7", "--prior", "x"], ["--prior", "label"]):
        with pytest.raises(SystemExit, match="2"):
            main(run, *wrong)
    (run / ex_post.NAME).unlink()
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 101))  # other digits than the run's
    assert main(run, "--label", "7", "--prior", "label") == 1
    err = capsys.readouterr().err
    assert "other data" in err.splitlines()[-1] and not (run / ex_post.NAME).exists()


def test_a_picture_never_downloads_a_data_set(run: Path, tmp_path: Path, monkeypatch, capsys):
    (run / ex_post.NAME).unlink()
    text = (run / "config.json").read_text().replace('"drawn"', '"mnist"')
    (run / "config.json").write_text(text)
    monkeypatch.setattr(data, "MNIST_DIR", tmp_path / "mnist")
    monkeypatch.setattr(data.keras_datasets, "load", lambda name: pytest.fail("downloaded"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    assert main(run, "--label", "7") == 0
    out, err = capsys.readouterr()
    assert not err and "the run's data is not here: --data-dir names its folder" in out
    assert not (tmp_path / "mnist").exists() and Image.open(run / "label_7.png").text["prior"] == "standard"


def test_every_picture_gives_its_own_hand(run: Path):
    """Under other labels too, and the mean of q under its own."""
    loaded = trained.load(run)
    model, p = loaded.model, ex_post.read(loaded)
    digits, hands = data.load("drawn").test.images[:2], []
    for digit in digits:
        mean, _, _ = likelihood.posterior(model, digit[None], np.array([4]))
        for kind in (None, p):
            drawn = drawing.styles(model, digit, 4, [3, 4, 8], kind)
            expected = drawing.render(model, mean, np.array([4]))[0]
            assert np.abs(drawn[1].astype(int) - expected).max() <= 1
            hands.append(drawn)
    assert all((hands[i][label] != hands[i + 2][label]).any() for i in range(2) for label in range(3))


def test_every_way_to_draw_goes_through_the_prior(run: Path, tmp_path: Path):
    """The same seed: what is drawn differs from N(0, I)'s, and --temperature 0 gives the components' means."""
    p, model = ex_post.read(trained.load(run)), trained.load(run).model
    for kind in ("label", "standard"):
        flags = ["--prior", kind, "--seed", "3"]
        assert main(run, *flags, "--npz", str(tmp_path / f"{kind}.npz"), "--count", "20") == 0
        assert (
            main(run, *flags, "--label", "3", "8", "--interpolate", "4", "--out", str(tmp_path / f"w{kind}.png")) == 0
        )
        assert (
            main(run, *flags, "--style-from", "test:5", "--style-label", "4", "--out", str(tmp_path / f"s{kind}.png"))
            == 0
        )
    for name in "w{}.png", "s{}.png":
        assert (pixels(tmp_path / name.format("label")) != pixels(tmp_path / name.format("standard"))).any()
    sets = [np.load(tmp_path / f"{kind}.npz") for kind in ("label", "standard")]
    assert (sets[0]["labels"] == sets[1]["labels"]).all() and (sets[0]["images"] != sets[1]["images"]).any()
    z = drawing.latents(0, [4], 300, 20, temperature=0.0, prior=p)
    found = {tuple(row.round(4)) for row in z[:, 0]}
    assert found <= {tuple(mean.astype(np.float32).round(4)) for mean in p.means[p.labels == 4]}
    digit, walk = data.load("drawn").test.images[5], drawing.walks(model, [3, 8], 2, 3, 0, prior=p)
    assert (drawing.styles(model, digit, 4, [4], p) == drawing.styles(model, digit, 4, [4])).all(), (
        "its own label: as it is"
    )
    ends = drawing.latents(0, [3, 3], 2, 20)
    threes = np.array([3, 3])
    start = drawing.render(model, p.settle(p.place(ends[:, 0], threes), threes).astype(np.float32), threes)
    assert np.abs(walk[:, 0].astype(int) - start).max() <= 1
