"""Training: the real train.main end to end on drawn digits, and its parts against independent truth."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import data
import engine.training.run
import train
from data import synthetic
from engine import random_streams
from engine.config import Config
from engine.latent import elbo
from engine.runs import trained_model
from engine.runs.options import config_for, fill_in
from engine.terminal import Failure
from engine.training import devices, loop
from engine.training.run import Run
from model import CVAE, bernoulli_nll, gaussian_kl

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))


def run_train(folder: Path, *flags: str) -> int:
    return train.main(["--dataset", "drawn", "--out", str(folder), *flags])


class Unsaved(Run):
    """A run that writes nothing, and whose model a test may look at."""

    is_chief, stopped, saved, rate = False, 0, -1, 1e9

    def restore(self, strategy: tf.distribute.Strategy, model: CVAE, optimizer: keras.optimizers.Adam) -> None:
        self.strategy, self.model, self.optimizer = strategy, model, optimizer
        self.totals = tf.Variable(tf.zeros(2, tf.float64))
        self.before(self)

    def log(self, bar: object) -> None:
        pass


def trained_on(
    split: data.Split, *flags: str, start: int = 0, before: Callable[[Unsaved], None] = lambda run: None
) -> Unsaved:
    """train.train on this split from step `start`, nothing saved. `before` sees the model before its first step."""
    args = train.parse(["--dataset", "drawn", *flags])
    fill_in(args, None)
    dataset = data.Dataset("drawn", "", split, split, split, "")
    run = Unsaved(args, config_for(args, dataset))
    run.step, run.before = start, before
    train.train(args, run, dataset)
    return run


def test_a_run_leaves_what_the_readme_says(tiny_run: Path):
    for step in (0, 20, 40, 60):
        for picture in ("real", "fake1", "fake2"):
            with Image.open(tiny_run / "images" / f"img_{step:06d}_{picture}.png") as image:
                image.load()
                assert image.text["dataset"] == "drawn" and image.text["step"] == str(step)
        assert (tiny_run / f"model.ckpt-{step}.index").exists()
    for name in ("fake1", "fake2"):
        newest, top = (tiny_run / path for path in (f"images/img_000060_{name}.png", f"{name}.png"))
        assert newest.read_bytes() == top.read_bytes()
    assert list((tiny_run / "logs").iterdir())
    config = Config.read(tiny_run)
    assert config.dataset == "drawn" and config.image_shape == (28, 28, 1)
    test = json.loads((tiny_run / "metrics.json").read_text())["test"]
    assert test["step"] == 60 and test["images"] == 100
    assert test["negative_elbo"] == pytest.approx(test["nll"] + test["kl"])
    with Image.open(tiny_run / "training.gif") as gif:
        assert gif.n_frames == 6  # steps 0, 10, 20, 40, 50, 60


def test_the_logged_scalars_are_readable(tiny_run: Path):
    events = [
        (value.tag, event.step, tf.make_ndarray(value.tensor))
        for path in (tiny_run / "logs").iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]
    assert {step for tag, step, _ in events if tag == "validation/negative_elbo"} == {0, 20, 40, 60}
    assert {"conv1/kernel", "z/mean", "z/sigma"} <= {tag for tag, _, _ in events}
    counts = next(value for tag, _, value in events if tag == "conv1/kernel")
    assert counts.shape == (30, 3) and counts[:, 2].sum() == 5 * 5 * 11 * 16


def test_reload_starts_a_new_run_from_its_weights(tmp_path: Path, tiny_run: Path):
    assert run_train(tmp_path, "--steps", "1", "--reload", str(tiny_run / "model.ckpt-60"), "-r", "1e-9") == 0
    old, new = (trained_model.load(folder).model.get_weights() for folder in (tiny_run, tmp_path))
    for one, other in zip(old, new, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)
    assert trained_model.load(tmp_path).step == 1


def test_the_2017_flags_keep_working():
    args = train.parse("--nBatch 32 --learnRate 1e-3 --saveFolder here --reload there --steps 0".split())
    assert (args.batch_size, args.learn_rate, str(args.out), args.reload, args.steps) == (32, 1e-3, "here", "there", 0)
    args = train.parse("-b 32 -r 1e-3 -s here -l there".split())
    assert (args.batch_size, args.learn_rate, str(args.out), args.reload) == (32, 1e-3, "here", "there")


@pytest.mark.parametrize("devices", ["1", "2"])
def test_a_step_is_the_loss_of_the_batch_of_its_seed(devices: str):
    """Batch, noise and pairing of images with labels, recomputed here from (seed, step) alone."""
    split, truth = data.Split(*synthetic.digits(200, 1, 0)), []
    images, labels = split

    def expect(run: Unsaved) -> None:
        index = tf.random.stateless_uniform((32,), random_streams.key(4, "batch", 9), 0, 200, tf.int32).numpy()
        eps = random_streams.normal((32, 20), 4, "noise", 9)
        logits, mean, a = run.model(images[index] / np.float32(255), labels[index].astype(np.int32), eps)
        truth.append(tf.reduce_sum(bernoulli_nll(images[index] / np.float32(255), logits)).numpy())
        truth.append(tf.reduce_sum(gaussian_kl(mean, a)).numpy())

    flags = ("--devices", devices, "--seed", "4", "--batch-size", "32", "--steps", "10")
    run = trained_on(split, *flags, start=9, before=expect)
    assert run.strategy.num_replicas_in_sync == int(devices) and run.step == 10
    np.testing.assert_allclose(run.totals.numpy(), truth, rtol=1e-5)


@pytest.mark.parametrize("likelihood_of", ["bernoulli", "gaussian"])
def test_a_first_step_is_adams_along_the_gradient_of_nll_plus_kl(likelihood_of: str):
    """Both terms of the loss, the Gaussian's under its batch's own σ²; and no gradient so small that ε would show."""
    split, kept = data.Split(*synthetic.digits(200, 1, 0)), {}
    images, labels = split

    def expect(run: Unsaved) -> None:
        index = tf.random.stateless_uniform((32,), random_streams.key(4, "batch", 0), 0, 200, tf.int32).numpy()
        x, y = images[index] / np.float32(255), labels[index].astype(np.int32)
        with tf.GradientTape() as tape:
            logits, mean, a = run.model(x, y, random_streams.normal((32, 20), 4, "noise", 0))
            if likelihood_of == "bernoulli":
                nll = tf.reduce_sum(bernoulli_nll(x, logits))
            else:
                nll = 0.5 * x.size * tf.math.log(tf.reduce_sum((x - tf.sigmoid(logits)) ** 2))
            loss = nll + tf.reduce_sum(gaussian_kl(mean, a))
        weights = run.model.trainable_variables
        kept["before"] = [weight.numpy() for weight in weights]
        kept["gradients"] = [np.float64(gradient) for gradient in tape.gradient(loss, weights)]

    flags = ["--devices", "1", "--seed", "4", "--batch-size", "32", "--steps", "1", "--likelihood", likelihood_of]
    run = trained_on(split, *flags, before=expect)
    for weight, before, gradient in zip(run.model.trainable_variables, kept["before"], kept["gradients"], strict=True):
        clear = np.abs(gradient) > 1e-2 * np.abs(gradient).max()
        moved = (weight.numpy() - before)[clear]
        np.testing.assert_allclose(moved, -2e-3 * np.sign(gradient[clear]), rtol=1e-2, err_msg=weight.path)
    gradients = [moment.numpy() / 0.1 for moment in run.optimizer._momentums]
    for mine, theirs in zip(gradients, kept["gradients"], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])  # whose σ² is of all replicas' examples
def test_replicas_change_nothing_but_rounding(kind: str):
    split, flags = data.Split(*synthetic.digits(200, 1, 0)), ("--steps", "10", "--likelihood", kind)
    one, two = (trained_on(split, "--devices", devices, *flags) for devices in ("1", "2"))
    np.testing.assert_allclose(one.totals, two.totals, rtol=1e-4)
    for mine, theirs in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "shape", "flags", "expected"),
    [  # stages, width, likelihood, learn_rate, decay_steps
        ("mnist", (28, 28, 1), "", (2, 1, "bernoulli", 0.002, 0)),
        ("mnist", (28, 28, 3), "--schedule cosine --steps 70 -r 4e-3", (2, 1, "bernoulli", 0.004, 70)),
        ("folder", (64, 64, 3), "", (3, 2, "gaussian", 0.00038, 0)),
        ("folder", (64, 64, 3), "-r 1e-3 --width 1 --likelihood bernoulli", (3, 1, "bernoulli", 0.001, 0)),
        ("folder", (128, 128, 1), "", (4, 1, "bernoulli", 0.00038, 0)),
        ("cifar10", (32, 32, 3), "", (2, 2, "gaussian", 0.00077, 0)),
    ],
)
def test_settings_suit_the_images_unless_somebody_chose(name: str, shape: tuple, flags: str, expected: tuple):
    split = data.Split(np.zeros((2, *shape), np.uint8), np.zeros(2, np.uint8))
    args = train.parse(flags.split())
    fill_in(args, None)
    config = config_for(args, data.Dataset(name, "", split, split, split, ""))
    found = config.stages, config.width, config.likelihood, config.learn_rate, config.decay_steps
    assert found == expected and config.architecture["seed"] == config.seed


def test_every_use_of_randomness_has_numbers_of_its_own():
    uses = [(seed, stream, counter) for seed in range(9) for stream in random_streams.STREAMS for counter in (0, 1)]
    assert len({tuple(random_streams.key(*use).numpy()) for use in uses}) == len(uses)
    assert len({random_streams.normal((3,), *use).numpy().tobytes() for use in uses}) == len(uses)
    # Normal numbers are made from uniform ones in pairs: uniform ones of the same counter would be these.
    z, uniform = random_streams.normal((4000,), 1, "grid").numpy(), random_streams.uniform(4000, 1, "grid").numpy()
    from_z = np.exp(-0.5 * (z[0::2] ** 2 + z[1::2] ** 2)), np.arctan2(z[0::2], z[1::2]) / (2 * np.pi) % 1
    for mine in uniform[0::2], uniform[1::2]:
        assert all(abs(np.corrcoef(mine, theirs)[0, 1]) < 0.1 for theirs in from_z)


def test_cosine_schedule_ends_at_zero():
    rate = loop.learning_rate(SimpleNamespace(schedule="cosine", learn_rate=2e-3, decay_steps=50))
    np.testing.assert_allclose([rate(0), rate(25), rate(50)], [2e-3, 1e-3, 0], atol=1e-9)


def test_validation_measures_the_objective_that_is_trained(tiny_run: Path):
    model, (images, labels) = (
        trained_model.load(tiny_run).model,
        synthetic.digits(700, 1, 3),
    )  # not a multiple of the batches
    found = elbo.elbo(model, data.Split(images, labels), 0, "test")
    nll = kl = 0.0
    for i, count in (0, 500), (500, 200):
        x, y = images[i : i + count] / np.float32(255), labels[i : i + count].astype(np.int32)
        logits, mean, a = model(x, y, random_streams.normal((count, 20), 0, "test", i))
        nll += float(tf.reduce_sum(bernoulli_nll(x, logits))) / 700
        kl += float(tf.reduce_sum(gaussian_kl(mean, a))) / 700
    assert found["nll"] == pytest.approx(nll, rel=1e-5) and found["kl"] == pytest.approx(kl, rel=1e-5)
    assert found["negative_elbo"] == pytest.approx(nll + kl, rel=1e-5)


def test_a_logged_loss_is_the_mean_since_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not since the start: what is logged at step 16 is of steps 9 to 16."""
    monkeypatch.setattr(engine.training.run, "LOG_EVERY", 8)
    assert run_train(tmp_path, "--steps", "16") == 0
    split = data.load("drawn").train
    half, whole = (trained_on(split, "--steps", steps).totals.numpy().sum() for steps in ("8", "16"))
    logged = {
        event.step: float(tf.make_ndarray(value.tensor))
        for path in (tmp_path / "logs").iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "train/loss"
    }
    assert logged == {8: pytest.approx(half / 512, rel=1e-4), 16: pytest.approx((whole - half) / 512, rel=1e-4)}


def test_validation_is_of_the_validation_images_and_the_test_of_the_test_images(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(data, "DRAWN", (1000, 90, 110))
    measured, real = set(), elbo.elbo

    def measure(model: CVAE, split: data.Split, seed: int, stream: str) -> dict[str, float]:
        measured.add((stream, len(split.labels)))
        return real(model, split, seed, stream)

    monkeypatch.setattr(elbo, "elbo", measure)
    assert run_train(tmp_path, "--steps", "1") == 0
    assert measured == {("validation", 90), ("test", 110)}


def test_uneven_shares_are_refused_in_words():
    with pytest.raises(Failure, match="--batch-size 33 does not divide by 2"):
        devices.strategy(2, 33)


@pytest.mark.parametrize(
    ("cores", "batch", "replicas", "threads"),
    [(1, 64, 1, 1), (2, 64, 2, 1), (4, 64, 4, 1), (8, 64, 4, 2), (16, 64, 4, 4), (16, 256, 16, 1), (6, 64, 4, 1)],
)
def test_cores_take_shares_of_the_batch_and_then_of_operations(
    cores: int, batch: int, replicas: int, threads: int, monkeypatch: pytest.MonkeyPatch
):
    set_to = []
    monkeypatch.setattr(devices, "cores", lambda: cores)
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", set_to.append)
    monkeypatch.setattr(tf.config, "set_logical_device_configuration", lambda cpu, some: None)
    for name in ("MirroredStrategy", "OneDeviceStrategy"):
        made = lambda names: argparse.Namespace(num_replicas_in_sync=1 if isinstance(names, str) else len(names))  # noqa: E731
        monkeypatch.setattr(tf.distribute, name, made)
    assert devices.strategy(None, batch).num_replicas_in_sync == replicas and set_to == [threads]
    assert devices.strategy(None, batch, begun_on=32).num_replicas_in_sync == 32  # a CPU can always do as before
    assert devices.strategy(2, batch, begun_on=32).num_replicas_in_sync == 2


def test_a_run_goes_on_with_the_replicas_that_it_was_begun_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    flags = ["--steps", "2", "--batch-size", "8", "--save-every", "2"]
    assert run_train(tmp_path, *flags, "--devices", "2") == 0 and "on 2 CPUs, 4 images each" in capsys.readouterr().out
    config = Config.read(tmp_path)
    assert config.replicas == 2
    assert run_train(tmp_path, *flags, "--steps", "4") == 0 and "on 2 CPUs" in capsys.readouterr().out
    assert run_train(tmp_path, *flags, "--steps", "6", "--devices", "1") == 0
    assert "begun on 2 replicas, now 1: the same results but for rounding" in capsys.readouterr().out
    assert Config.read(tmp_path) == config and Config.read(tmp_path).replicas == 2


@pytest.mark.parametrize(("gpus", "batch", "used"), [(3, 64, 2), (3, 66, 3), (4, 64, 4), (5, 7, 1)])
def test_as_many_gpus_as_divide_the_batch(gpus: int, batch: int, used: int, monkeypatch: pytest.MonkeyPatch):
    found = [f"a GPU {i}" for i in range(gpus)]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: found if kind == "GPU" else [])
    for name in ("MirroredStrategy", "OneDeviceStrategy"):
        made = lambda names: argparse.Namespace(names=names, num_replicas_in_sync=used)  # noqa: E731
        monkeypatch.setattr(tf.distribute, name, made)
    assert devices.strategy(None, batch).names == ([f"GPU:{i}" for i in range(used)] if used > 1 else "GPU:0")
    assert devices.strategy(None, batch, begun_on=gpus + 1).names == devices.strategy(None, batch).names
    assert devices.strategy(None, batch, begun_on=1).names == "GPU:0"
    with pytest.raises(Failure, match=f"this machine has {gpus} GPUs"):
        devices.strategy(gpus + 1, batch)


@pytest.mark.parametrize(
    ("task", "chief"),
    [("worker 0", True), ("worker 1", False), ("chief 0", True), ("evaluator 0", None), ("ps 0", None)],
)
def test_who_is_chief(task: str, chief: bool | None, monkeypatch: pytest.MonkeyPatch):
    kind, index = task.split()
    cluster = {"worker": ["localhost:1", "localhost:2"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": kind, "index": int(index)}}))
    if chief is None:
        with pytest.raises(Failure, match=f"the task '{kind}'"):
            devices.is_chief()
    else:
        assert devices.is_chief() == chief
    monkeypatch.setenv(
        "TF_CONFIG",
        json.dumps({"cluster": cluster | {"chief": ["localhost:3"]}, "task": {"type": "worker", "index": 0}}),
    )
    assert not devices.is_chief()
    monkeypatch.setenv("TF_CONFIG", "nonsense")
    with pytest.raises(Failure, match="TF_CONFIG is not the JSON"):
        devices.is_chief()


def test_a_thousand_steps_on_mnist(mnist_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A swapped sign, a dropped label or σ² in σ's place ends far above; a default run passes 112 nats here."""
    flags = ["--dataset", "mnist", "--data-dir", str(mnist_dir), "--steps", "1000", "--out", str(tmp_path)]
    assert train.main(flags) == 0
    test = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert test["images"] == 10_000 and test["negative_elbo"] < 116 and 17 < test["kl"] < 27


def test_a_terminal_shows_nothing_but_the_run(tmp_path: Path):
    """In a process of its own: no start-up noise of TensorFlow's on either stream."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import data; data.DRAWN = 1000, 100, 100; import train; "
        "from engine.classifiers import networks; networks.EPOCH = 1; sys.exit(train.main(sys.argv[1:]))"
    )
    words = ["--dataset", "drawn", "--steps", "1", "--out", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    lines = [line for line in done.stdout.splitlines() if not line.endswith(" left")]  # progress, where it takes long
    assert lines[0].startswith("drawn digits: 1,000 training") and "python generate.py --label 7" in lines[-1]
    assert len(lines) == 8
