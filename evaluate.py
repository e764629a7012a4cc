"""How good is this model? A table on the terminal, metrics.json and evaluation/*.png in the run's folder.

python evaluate.py                   the run in out/, a minute or two on two cores
python evaluate.py --quick           fewer images and a hastier judge: half a minute, wider intervals
python evaluate.py --full            the importance-weighted bound with k = 5,000 instead of 100
python evaluate.py --run out/long --checkpoint out/long/model.ckpt-30000

Likelihoods are in nats per image, means over test images ± standard error. Intervals of proportions are Wilson's, 95%.
"""

from __future__ import annotations

import argparse
import functools
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import data
import generate
from data import pictures, readers, runs, statistics
from data.console import Failure, Parser, Progress, command, number, tensorflow

if TYPE_CHECKING:
    import keras

    from model import CVAE

CACHE = generate.ROOT / "out"  # where trained judges are kept; one per data set, whatever the run
TEMPERATURES = (0.6, 0.7, 0.8, 0.9, 1.0)
BATCH = 500  # images decoded at a time in the bounds: fits the processor's cache, and no result depends on it
# Counters of the stream "evaluate", far apart: every use of randomness has numbers of its own.
DRAWS, BINARISE, PRIOR, PROBE, GENERATED = (use << 32 for use in range(5))


class Size(NamedTuple):
    """How much of everything a mode does."""

    images: int  # test images
    k: int  # z per image in the likelihood
    label_k: int  # z per image and label in the free classifier
    samples: int  # per label and temperature
    judge: tuple[int, int]  # training images, epochs
    score: tuple[int, int]  # the same of the two networks of the classification accuracy score
    probe: int  # training images whose z the probes learn from


SIZES = {
    "quick": Size(2_000, 20, 5, 200, (30_000, 2), (10_000, 2), 10_000),
    "default": Size(10**9, 100, 10, 1_000, (10**9, 6), (30_000, 3), 10**9),
    "full": Size(10**9, 5_000, 100, 1_000, (10**9, 6), (10**9, 6), 10**9),
}


class Task(NamedTuple):
    """What is evaluated, on what, how thoroughly."""

    run: generate.Run
    dataset: data.Dataset
    test: data.Split  # in the mode "quick" a seeded part of the data set's
    size: Size
    seed: int
    folder: Path  # of the results

    def save(self, name: str, images: np.ndarray, titles: Sequence[object] = (), **about: object) -> None:
        """evaluation/<name>.png from uint8 (rows, columns, H, W, C)."""
        about = self.run.about(picture=name, seed=self.seed, **about)
        pictures.write_png(self.folder / "evaluation" / f"{name}.png", pictures.sheet(images, list(titles)), about)


# --- 1. likelihood -----------------------------------------------------------------------------------------------


class Bounds(NamedTuple):
    """Per image, in nats: −ELBO = nll + kl ≥ −iw ≥ −ln p(x|y) in expectation."""

    nll: np.ndarray  # (N,) E_q[−ln p(x|z, y)], the mean over the k z
    kl: np.ndarray  # (N,) KL(q(z|x, y) ‖ p(z)), in closed form
    iw: np.ndarray  # (N, shares) ln (1/k) Σ p(x|z, y) p(z) / q(z|x, y), the importance-weighted bound on ln p(x|y)


@functools.cache
def _compiled(model: CVAE) -> tuple[Callable, Callable]:
    tf = tensorflow()
    from model import bernoulli_nll, gaussian_kl, log_ratio, sample

    @tf.function(reduce_retracing=True)
    def encode(x, y):
        mean, a = model.encode(x, y)
        return mean, a, gaussian_kl(mean, a)

    @tf.function(reduce_retracing=True)
    def terms(x, y, mean, a, noise):
        """The two parts of model.log_weight: −ln p(x|z, y), and ln p(z) − ln q(z|x, y)."""
        z = sample(mean, a, noise)
        return tf.stack([bernoulli_nll(x, model.decode(z, y)), log_ratio(z, a, noise)])

    return encode, terms


def posterior(model: CVAE, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """q(z|x, y) of images (N, H, W, C), uint8 or in 0–1: mean (N, L), a = ln σ (N, L), KL (N,)."""
    encode, _ = _compiled(model)
    parts = []
    for i in range(0, len(x), BATCH):
        some = x[i : i + BATCH]
        parts.append(encode(some / np.float32(255 if some.dtype == np.uint8 else 1), y[i : i + BATCH].astype(np.int32)))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def bounds(
    model: CVAE,
    x: np.ndarray,
    y: np.ndarray,
    k: int,
    seed: int,
    shares: Sequence[float] = (1.0,),
    batch: int = BATCH,
    tick: Callable[[], None] = lambda: None,
) -> Bounds:
    """The ELBO and the importance-weighted bound (Burda et al. 2015, arXiv 1509.00519) from the same k z per image.

    Every image is encoded once and decoded k times; the log-sum-exp streams, so k costs time but no memory.

    Args:
        x: images in 0–1 (N, H, W, C), grey or binary; the encoder sees them, too.
        y: labels (N,).
        shares: factors of ln p(x|z, y) in the weights: 1 as trained, 1/C for the mean of C channels.
        batch: images decoded at a time. The noise of an image does not depend on it.
        tick: called after each of the k rounds.
    """
    _, terms = _compiled(model)
    y, shares = np.asarray(y, np.int32), np.array(shares)
    mean, a, kl = posterior(model, x, y)
    nll, iw = np.zeros(len(y)), np.full((len(y), len(shares)), -np.inf)
    for draw in range(k):
        noise = generate.normal((len(y), model.latent_dim), seed, "evaluate", DRAWS + draw)
        for i in range(0, len(y), batch):
            part = slice(i, i + batch)
            some, ratio = terms(x[part], y[part], mean[part], a[part], noise[part]).numpy().astype(np.float64)
            nll[part] += some / k
            iw[part] = np.logaddexp(iw[part], ratio[:, None] - shares * some[:, None])
        tick()
    return Bounds(nll, kl.astype(np.float64), iw - np.log(k))


def binarise(images: np.ndarray, seed: int) -> np.ndarray:
    """Each pixel 1 with its grey value as probability, float32; the channels of a pixel share one throw."""
    tf = tensorflow()
    n, h, w, _ = images.shape
    throw = tf.random.stateless_uniform((n, h, w, 1), generate.key(seed, "evaluate", BINARISE)).numpy()
    return (throw < images / np.float32(255)).astype(np.float32)


def entropy(x: np.ndarray) -> np.ndarray:
    """The least NLL that any model can have on targets x (N, H, W, C) in 0–1: 0 if they are binary. (N,)"""
    p = np.clip(x.astype(np.float64), 1e-12, 1 - 1e-12)
    return -np.sum(p * np.log(p) + (1 - p) * np.log1p(-p), axis=(1, 2, 3))


def likelihood(task: Task) -> dict:
    """−ELBO = NLL + KL and the importance-weighted bound, on grey and on binarised targets, per digit and overall."""
    model, y, k = task.run.model, task.test.labels, task.size.k
    channels = model.image_shape[-1]
    shares = (1.0,) if channels == 1 else (1.0, 1 / channels)
    targets = {"grey": task.test.images / np.float32(255), "binarised": binarise(task.test.images, task.seed)}
    found = {"unit": "nats per image", "images": len(y), "z_per_image": k}
    progress = Progress(2 * k, "likelihood: z")
    for done, (target, x) in enumerate(targets.items()):
        steps = iter(range(done * k + 1, 2 * k + 1))
        b = bounds(model, x, y, k, task.seed, shares, tick=lambda steps=steps: progress.update(next(steps)))
        floor = entropy(x)
        for s, share in enumerate(shares):
            name = target if share == 1 else f"{target}_per_channel"
            columns = {
                "negative_elbo": share * b.nll + b.kl,
                "nll": share * b.nll,
                "kl": b.kl,
                "negative_importance_weighted": -b.iw[:, s],
            }
            found[name] = {key: statistics.average(v) for key, v in columns.items()}
            found[name]["least_nll_possible"] = float(share * floor.mean())
            found[name]["per_digit"] = {
                digit: {key: statistics.average(v[y == digit]) for key, v in columns.items()} for digit in np.unique(y)
            }
        if target == "grey":
            worst = np.argsort(floor - b.nll, kind="stable")[:50]
    progress.close()
    mean = posterior(model, task.test.images[worst], y[worst])[0]
    pairs = np.stack([task.test.images[worst], generate.draw(model, mean, y[worst])])  # (2, 50, H, W, C)
    task.save("worst_reconstructed", paired(pairs, 10), ("test digits and, below each, their reconstructions",))
    return found


def paired(pairs: np.ndarray, columns: int) -> np.ndarray:
    """(2, N, H, W, C) → rows that alternate: a row of the first, below it the same of the second."""
    n = len(pairs[0]) // columns * columns
    rows = pairs[:, :n].reshape(2, -1, columns, *pairs.shape[2:])
    return rows.swapaxes(0, 1).reshape(-1, columns, *pairs.shape[2:])


# --- 2. is the digit asked for the digit drawn? ------------------------------------------------------------------


def judge_of(task: Task, mode: str) -> keras.Model:
    """The CNN that reads digits: kept, or trained now on the real training images. No --seed changes it."""
    train, (count, epochs) = task.dataset.train, task.size.judge
    shape, labels = train.images.shape[1:], task.run.model.num_labels
    hasty = "-quick" if mode == "quick" else ""
    path = CACHE / f"judge-{task.dataset.fingerprint[:12]}-{'x'.join(map(str, shape))}x{labels}{hasty}.npz"
    make = functools.partial(readers.convnet, shape, labels)

    def fit() -> keras.Model:
        part = subset(len(train.labels), count, 0)
        return readers.learn(make, train.images[part], train.labels[part], epochs, 0, "judge")

    return readers.kept(path, make(), fit)


def subset(n: int, count: int, seed: int) -> np.ndarray:
    """Indices of `count` of n images, or all of them, in their order."""
    return np.arange(n) if count >= n else np.sort(np.random.default_rng(seed).permutation(n)[:count])


def label_accuracy(task: Task, judge: keras.Model) -> dict:
    """How often the judge reads the label that was asked for, in samples from the prior; and how they vary."""
    import keras

    model, count = task.run.model, task.size.samples
    labels = np.arange(model.num_labels)
    asked = np.repeat(labels, count)
    z = generate.normal((len(asked), model.latent_dim), task.seed, "evaluate", PRIOR).numpy()
    found, progress = {"per_temperature": {}}, Progress(len(TEMPERATURES), "samples: temperature")
    for done, temperature in enumerate(TEMPERATURES):  # ends with 1.0, which everything below is about
        images = generate.draw(model, np.float32(temperature) * z, asked)
        p = readers.read(judge, images)
        found["per_temperature"][temperature] = statistics.wilson(p.argmax(1) == asked)
        progress.update(done + 1)
    progress.close()
    right = p.argmax(1) == asked
    found["per_label"] = {label: statistics.wilson(right[asked == label]) for label in labels}
    found["confusion"] = statistics.confusion(asked, p.argmax(1), len(labels))  # rows: asked for, columns: read

    worst = np.stack([np.flatnonzero(asked == label)[np.argsort(p[asked == label, label])[:10]] for label in labels])
    task.save("misread", images[worst.T], labels, columns="label asked for, the least convincing first")

    # Only what reads as its label counts as variety: a 7 that looks like a 1 is far from the sevens, but no merit.
    features = keras.Model(judge.inputs, judge.layers[-2].output)
    seen = functools.partial(features.predict, batch_size=1000, verbose=0)
    real = readers.read(judge, task.test.images).argmax(1) == task.test.labels
    diversity = {}
    for label in labels:
        ours, theirs = (
            images[right & (asked == label)],
            task.test.images[real & (task.test.labels == label)][:count],
        )
        if min(len(ours), len(theirs)) > 1 and (unit := statistics.spread(seen(theirs))) > 0:
            diversity[label] = statistics.spread(seen(ours)) / unit
    found["diversity"] = {
        "unit": "mean distance of two samples of a label over that of two test digits, judge's features",
        "mean": float(np.mean(list(diversity.values()))) if diversity else None,
        "per_label": diversity,
    }
    return found


def accuracy_score(task: Task) -> dict:
    """Train on generated, test on real (Ravuri & Vinyals 2019, arXiv 1905.10887), beside the same with real images."""
    train, test, model = task.dataset.train, task.dataset.test, task.run.model
    count, epochs = task.size.score
    part = subset(len(train.labels), count, task.seed)
    labels = train.labels[part]
    z = generate.normal((len(part), model.latent_dim), task.seed, "evaluate", GENERATED).numpy()
    make = functools.partial(readers.convnet, model.image_shape, model.num_labels)
    found = {"training_images": len(part), "epochs": epochs}
    for name, images in ("generated", generate.draw(model, z, labels)), ("real", train.images[part]):
        net = readers.learn(make, images, labels, epochs, task.seed, f"train on {name}")
        found[name] = statistics.wilson(readers.read(net, test.images).argmax(1) == test.labels)
    return found


# --- 3. does z carry style and not class? ------------------------------------------------------------------------


def latent_use(task: Task) -> dict:
    """What z holds: the label, if a probe can read it; and how q(z|x, y), over the test set, differs from the prior."""
    tf = tensorflow()
    model, train, test = task.run.model, task.dataset.train, task.test
    part, z = subset(len(train.labels), task.size.probe, task.seed), {}
    from model import gaussian_kl, sample

    for counter, (name, split) in enumerate(
        {"train": data.Split(train.images[part], train.labels[part]), "test": test}.items()
    ):
        mean, a, _ = posterior(model, split.images, split.labels)
        noise = generate.normal(mean.shape, task.seed, "evaluate", PROBE + counter)
        z[name] = sample(tf.constant(mean), tf.constant(a), noise).numpy()
    found = {"probe": {"majority": float(np.bincount(test.labels).max() / len(test.labels)), "z": len(part)}}
    for name, hidden in ("linear", ()), ("mlp", (128,)):
        make = functools.partial(readers.perceptron, model.latent_dim, model.num_labels, hidden)
        net = readers.learn(make, z["train"], train.labels[part], 10, task.seed, f"{name} probe", 1e-2)
        found["probe"][name] = statistics.wilson(readers.read(net, z["test"]).argmax(1) == test.labels)

    kl = gaussian_kl(mean.reshape(-1, 1), a.reshape(-1, 1)).numpy().reshape(mean.shape)
    per_dimension = kl.mean(0, dtype=np.float64)
    covariance = np.atleast_2d(np.cov(z["test"].T.astype(np.float64)))
    centre, variance = z["test"].mean(0, dtype=np.float64), np.diag(covariance)
    found["active_units"] = {  # Burda et al. 2015, section 5.2
        "of": model.latent_dim,
        "active": int(np.sum(mean.var(0, dtype=np.float64) > 0.01)),
    }
    found["kl_per_dimension"] = {"unit": "nats", "values": per_dimension}
    found["aggregate_posterior"] = {
        "mean_per_dimension": centre,
        "variance_per_dimension": variance,
        "largest_covariance": float(np.abs(covariance - np.diag(variance)).max()),
        "kl_of_gaussian_fit": float(
            0.5 * (np.trace(covariance) + centre @ centre - len(centre) - np.linalg.slogdet(covariance)[1])
        ),
    }
    traversal(task, np.argsort(-per_dimension, kind="stable")[:20])
    return found


def traversal(task: Task, order: np.ndarray) -> None:
    """A row per dimension of z, most KL first, from −3 to 3, the others 0; a sheet of one label."""
    model, at = task.run.model, np.linspace(-3, 3, 13)
    z = np.zeros((len(order), len(at), model.latent_dim), np.float32)
    z[np.arange(len(order)), :, order] = at
    y = np.full(z.shape[:2], 3 % model.num_labels)
    task.save("latent_traversal", generate.draw(model, z, y), [f"{v:g}" for v in at], rows=order.tolist())


def swap(task: Task, judge: keras.Model) -> dict:
    """Encode a test digit, decode its mean z under every label: how often the judge reads the new label."""
    model, images, y = task.run.model, task.test.images, task.test.labels
    labels, progress = np.arange(model.num_labels), Progress(len(y), "swap: digit")
    mean, hits = posterior(model, images, y)[0], []
    for i in range(0, len(y), BATCH):
        z = np.repeat(mean[i : i + BATCH, None], len(labels), axis=1)
        drawn = generate.draw(model, z, np.tile(labels, (len(z), 1)))
        seen = readers.read(judge, drawn.reshape(-1, *images.shape[1:])).argmax(1)
        hits.append(seen.reshape(-1, len(labels)) == labels)
        progress.update(i + len(z))
    progress.close()
    hits, own = np.concatenate(hits), y[:, None] == labels

    some = np.array([index for label in labels for index in np.flatnonzero(y == label)[:1]])
    drawn = generate.draw(model, np.repeat(mean[some, None], len(labels), axis=1), np.tile(labels, (len(some), 1)))
    task.save("swap", np.concatenate([images[some, None], drawn], axis=1), ["real", *labels])
    some = np.array([np.resize(np.flatnonzero(y == label), 5) for label in np.unique(y)]).T.reshape(-1)
    pairs = np.stack([images[some], generate.draw(model, mean[some], y[some])])
    task.save("reconstructions", paired(pairs, len(np.unique(y))), np.unique(y))
    return {
        "new_label": statistics.wilson(hits[~own]),
        "own_label": statistics.wilson(hits[own]),
        "per_new_label": {label: statistics.wilson(hits[y != label, label]) for label in labels if (y != label).any()},
    }


# --- 4. a free classifier ----------------------------------------------------------------------------------------


def free_classifier(task: Task) -> dict:
    """Read test digits by Bayes' rule, the labels equally likely: softmax over y of a bound on ln p(x|y)."""
    model, (images, y), k = task.run.model, task.test, task.size.label_k
    labels, progress = range(model.num_labels), Progress(model.num_labels * k, "free classifier: z")
    elbo, iw, steps = [], [], iter(range(1, model.num_labels * k + 1))
    for label in labels:
        # The same noise under every label: what they differ in is the label.
        b = bounds(model, images / np.float32(255), np.full(len(y), label), k, task.seed,
                   tick=lambda: progress.update(next(steps)))  # fmt: skip
        elbo.append(-b.nll - b.kl)
        iw.append(b.iw[:, 0])
    progress.close()
    found = {
        name: statistics.calibration(statistics.softmax(np.stack(b, 1)), y)
        for name, b in (("elbo", elbo), ("importance_weighted", iw))
    }
    return {"z_per_label": k, **found}


# --- the command -------------------------------------------------------------------------------------------------


def tidy(value: object) -> object:
    """For JSON: NumPy numbers as Python's, five decimals, None for what is not finite."""
    if isinstance(value, dict):
        return {str(key): tidy(v) for key, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [tidy(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), 5) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def percent(p: dict) -> str:
    return f"{p['accuracy']:.2%}"


def interval(p: dict) -> str:
    return f"{p['low']:.2%} – {p['high']:.2%}"


def head(title: str, *columns: str) -> None:
    print(f"\n{title}\n" + "".ljust(30) + "".join(f"{column:>17}" for column in columns))


def row(name: str, *cells: str) -> None:
    print(f"  {name:<28}" + "".join(f"{cell:>17}" for cell in cells))


def show_likelihood(found: dict) -> None:
    head(f"1. Likelihood: nats per image, {found['images']:,} test images × {found['z_per_image']:,} z",
         "−ELBO", "= NLL", "+ KL", "−ln p(x|y) ≤")  # fmt: skip

    def line(name: str, columns: dict) -> None:
        keys = ("negative_elbo", "nll", "kl", "negative_importance_weighted")
        row(name, *(f"{columns[key]['mean']:.2f} ± {columns[key]['se']:.2f}" for key in keys))

    for target, about in ("grey", "grey targets"), ("binarised", "binarised targets"):
        line(about, found[target])
        if f"{target}_per_channel" in found:
            line(f"{about[:-8]}, per channel", found[f"{target}_per_channel"])
    for digit, columns in found["grey"]["per_digit"].items():
        line(f"  grey, digit {digit}", columns)
    print(f"  (no model can have an NLL below {found['grey']['least_nll_possible']:.2f} on these grey targets)")


def show_samples(judge: dict, found: dict, score: dict) -> None:
    head("2. Is the digit asked for the digit drawn?", "accuracy", "95% interval", "of")

    def line(name: str, p: dict) -> None:
        row(name, percent(p), interval(p), f"{p['n']:,}")

    line("judge, on real test digits", judge["test_digits"])
    line("  on the same, blurred", judge["blurred_test_digits"])
    for temperature, p in found["per_temperature"].items():
        line(f"samples, temperature {temperature}", p)
    line(f"train on {score['training_images']:,} generated", score["generated"])
    line("  the same, real (ceiling)", score["real"])
    print("\n  label asked for".ljust(31) + "".join(f"{label:>6}" for label in found["per_label"]))
    print("  read as it, %".ljust(30) + "".join(f"{100 * p['accuracy']:6.1f}" for p in found["per_label"].values()))
    variety = found["diversity"]
    if variety["mean"] is not None:
        cells = (variety["per_label"].get(label) for label in found["per_label"])
        print(f"  variety, real = 1 (mean {variety['mean']:.2f})".ljust(30)
              + "".join(" " * 6 if cell is None else f"{cell:6.2f}" for cell in cells))  # fmt: skip


def show_latents(found: dict, swapped: dict) -> None:
    head("3. Does z carry style and not class?", "accuracy", "95% interval", "of")
    for name, p in (
        (f"linear probe (majority {found['probe']['majority']:.1%})", found["probe"]["linear"]),
        ("MLP probe", found["probe"]["mlp"]),
        ("swap: read as the new label", swapped["new_label"]),
        ("  as its own, reconstructed", swapped["own_label"]),
    ):
        row(name, percent(p), interval(p), f"{p['n']:,}")
    units, q = found["active_units"], found["aggregate_posterior"]
    variance = q["variance_per_dimension"]
    print(f"  {units['active']} of {units['of']} units active; KL per unit, largest first: "
          + " ".join(f"{v:.1f}" for v in sorted(found["kl_per_dimension"]["values"], reverse=True)[:10])
          + (" …" if units["of"] > 10 else ""))  # fmt: skip
    print(f"  aggregate posterior: |mean| ≤ {np.abs(q['mean_per_dimension']).max():.2f}, variance {min(variance):.2f}"
          f" – {max(variance):.2f}, |covariance| ≤ {q['largest_covariance']:.2f} (prior: 0, 1, 0)")  # fmt: skip


def show_classifier(found: dict) -> None:
    head(f"4. A free classifier: argmax over y of a bound on ln p(x|y), {found['z_per_label']} z per label",
         "accuracy", "95% interval", "confidence", "ECE, 15 bins")  # fmt: skip
    for key, name in ("elbo", "ELBO"), ("importance_weighted", "importance-weighted bound"):
        p = found[key]
        row(name, percent(p), interval(p), f"{p['mean_confidence']:.2%}", f"{p['ece']:.4f}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    add, mode = parser.add_argument, parser.add_mutually_exclusive_group()
    choose = functools.partial(mode.add_argument, action="store_const", dest="mode")
    choose("--quick", const="quick", help="2,000 test images and a hastier judge: half a minute")
    choose("--full", const="full", help="k = 5,000 z per image: 20 minutes")
    add("--run", type=Path, default=CACHE, help="folder of the run (default out, else the shipped out/reference)")
    add("--checkpoint", help="an older checkpoint, such as out/model.ckpt-5000 (default: the newest)")
    add("--seed", type=number(int, 0, 2**31 - 2), default=0, help="same command, same numbers (default 0)")
    add("--data-dir", type=Path, help="folder of the IDX files (default: where the run had them)")
    return parser.parse_args(argv)


def prepare(args: argparse.Namespace, mode: str) -> Task:
    """The run and the very data set that it was trained on.

    Raises:
        Failure: there is no such run, or no such data.
    """
    run = generate.load_run(args.run, args.checkpoint)
    config, size = run.config, SIZES[mode]
    dataset = data.load(config["dataset"], args.data_dir or config["data_dir"] or None, config["image_shape"][-1])
    if dataset.fingerprint != config["fingerprint"] or list(dataset.test.images.shape[1:]) != config["image_shape"]:
        raise Failure(f"the run in {args.run} was trained on other data than these: name its folder with --data-dir")
    part = subset(len(dataset.test.labels), size.images, args.seed)
    test = data.Split(dataset.test.images[part], dataset.test.labels[part])
    return Task(run, dataset, test, size, args.seed, args.run)


@command
def main(argv: list[str] | None = None) -> int:
    args, began = parse(argv), time.monotonic()
    mode, folder = args.mode or "default", args.run
    args.run = generate.or_reference(args.run)
    task = prepare(args, mode)._replace(folder=folder)
    run, dataset = task.run, task.dataset
    print(f"{dataset.title}, step {run.step:,} of {args.run}, {mode} evaluation, seed {args.seed}")

    found = {
        "run": run.folder.resolve().name,
        "step": run.step,
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "mode": mode,
        "seed": args.seed,
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tensorflow().__version__,
            "keras": sys.modules["keras"].__version__,
            "numpy": np.__version__,
        },
    }
    found["likelihood"] = likelihood(task)
    show_likelihood(found["likelihood"])

    judge, (images, labels) = judge_of(task, mode), dataset.test
    found["judge"] = {
        name: statistics.wilson(readers.read(judge, x).argmax(1) == labels)
        for name, x in (("test_digits", images), ("blurred_test_digits", readers.blurred(images)))
    }
    found["samples"] = label_accuracy(task, judge)
    found["train_on_generated"] = accuracy_score(task)
    show_samples(found["judge"], found["samples"], found["train_on_generated"])

    found["latents"] = latent_use(task)
    found["swap"] = swap(task, judge)
    show_latents(found["latents"], found["swap"])

    found["free_classifier"] = free_classifier(task)
    show_classifier(found["free_classifier"])

    path = folder / "metrics.json"
    runs.write_json(path, runs.read_metrics(path) | {"evaluate": tidy(found)})
    print(f"\nin {time.monotonic() - began:.0f} s → {path} and {folder / 'evaluation'}/*.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
