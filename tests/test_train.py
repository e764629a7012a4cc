"""Training: the real train.main end to end on drawn digits, and its parts against independent truth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import data
import generate
import train
from data import drawn, runs
from model import CVAE, bernoulli_nll, gaussian_kl

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))


def run_train(folder: Path, *flags: str) -> int:
    return train.main(["--dataset", "drawn", "--out", str(folder), *flags])


def built(*flags: str) -> tuple:
    """Strategy, model, optimizer and arguments as train.train puts them together, on few drawn digits."""
    args = train.parse(["--dataset", "drawn", *flags])
    strategy = train.distribution(args)
    with strategy.scope():
        model = CVAE((28, 28, args.channels), 10, args.latent_dim, args.seed)
        optimizer = train.make_optimizer(args)
        optimizer.build(model.trainable_variables)
    return args, strategy, model, optimizer


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
    config = runs.read_config(tiny_run)
    assert config["dataset"] == "drawn" and config["image_shape"] == [28, 28, 1]
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


def test_the_second_half_of_a_run_equals_one_run(tmp_path: Path):
    assert run_train(tmp_path / "once", "--steps", "40", "--save-every", "20") == 0
    assert run_train(tmp_path / "twice", "--steps", "20", "--save-every", "20") == 0
    assert run_train(tmp_path / "twice", "--steps", "40", "--save-every", "20") == 0
    readers = [tf.train.load_checkpoint(str(tmp_path / name / "model.ckpt-40")) for name in ("once", "twice")]
    for key in readers[0].get_variable_to_shape_map():
        if "save_counter" not in key and key != "_CHECKPOINTABLE_OBJECT_GRAPH":
            np.testing.assert_array_equal(*(reader.get_tensor(key) for reader in readers), err_msg=key)
    for path in ("images/img_000040_fake1.png", "images/img_000040_fake2.png"):
        images = [np.asarray(Image.open(tmp_path / name / path)) for name in ("once", "twice")]
        np.testing.assert_array_equal(*images)


def test_a_finished_run_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture):
    run_train(tmp_path, "--steps", "1")
    capsys.readouterr()
    assert run_train(tmp_path, "--steps", "1") == 0
    assert "--steps" in capsys.readouterr().out


def test_other_settings_are_refused_and_fresh_moves_aside(tmp_path: Path, capsys: pytest.CaptureFixture):
    run_train(tmp_path, "--steps", "1")
    mine = tmp_path / "mine.txt"
    mine.write_text("not the run's")
    before = (tmp_path / "model.ckpt-1.index").read_bytes()
    assert run_train(tmp_path, "--steps", "2", "-r", "1e-3", "--latent-dim", "3") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "learn_rate 0.002 → 0.001" in error and "latent_dim 20 → 3" in error
    assert run_train(tmp_path, "--steps", "2", "--latent-dim", "3", "--fresh") == 0
    assert (tmp_path / "previous-1" / "model.ckpt-1.index").read_bytes() == before
    assert mine.exists() and runs.read_config(tmp_path)["latent_dim"] == 3


def test_reload_starts_a_new_run_from_its_weights(tmp_path: Path, tiny_run: Path):
    assert run_train(tmp_path, "--steps", "1", "--reload", str(tiny_run / "model.ckpt-60"), "-r", "1e-9") == 0
    old, new = (generate.load_run(folder).model.get_weights() for folder in (tiny_run, tmp_path))
    for one, other in zip(old, new, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)
    assert generate.load_run(tmp_path).step == 1


def test_the_2017_flags_keep_working():
    args = train.parse("--nBatch 32 --learnRate 1e-3 --saveFolder here --reload there --steps 0".split())
    assert (args.batch_size, args.learn_rate, str(args.out), args.reload, args.steps) == (32, 1e-3, "here", "there", 0)
    args = train.parse("-b 32 -r 1e-3 -s here -l there".split())
    assert (args.batch_size, args.learn_rate, str(args.out), args.reload) == (32, 1e-3, "here", "there")


@pytest.mark.parametrize("devices", ["1", "2"])
def test_a_step_is_the_loss_of_the_batch_of_its_seed(devices: str):
    """Batch, noise and pairing of images with labels, recomputed here from (seed, step) alone."""
    args, strategy, model, optimizer = built("--devices", devices, "--seed", "4", "--batch-size", "32")
    images, labels = drawn.draw(200, 1, 0)
    index = tf.random.stateless_uniform((32,), generate.key(4, "batch", 9), 0, 200, tf.int32).numpy()
    noise = generate.normal((32, 20), 4, "noise", 9)
    logits, mean, a = model(images[index] / np.float32(255), labels[index].astype(np.int32), noise)
    nll = tf.reduce_sum(bernoulli_nll(images[index] / np.float32(255), logits)).numpy()
    kl = tf.reduce_sum(gaussian_kl(mean, a)).numpy()

    totals = tf.Variable(tf.zeros(3, tf.float64))
    train.make_loop(strategy, model, optimizer, data.Split(images, labels), args)(9, 10, totals, False)
    assert strategy.num_replicas_in_sync == int(devices)
    np.testing.assert_allclose(totals.numpy()[:2], [nll, kl], rtol=1e-5)


def test_replicas_change_nothing_but_rounding():
    split, results = data.Split(*drawn.draw(200, 1, 0)), []
    for devices in ("1", "2"):
        args, strategy, model, optimizer = built("--devices", devices)
        totals = tf.Variable(tf.zeros(3, tf.float64))
        train.make_loop(strategy, model, optimizer, split, args)(0, 10, totals, False)
        results.append((totals.numpy(), model.get_weights()))
    np.testing.assert_allclose(results[0][0][:2], results[1][0][:2], rtol=1e-4)  # the third is a sum over shares
    for one, two in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-3)


def test_fused_adam_is_adam():
    variables = [tf.Variable(tf.random.stateless_normal((3, 4), (0, i))) for i in (1, 1)]
    optimizers = [train.make_optimizer(train.parse([])), keras.optimizers.Adam(2e-3, epsilon=1e-8)]
    for step in range(5):
        gradient = tf.random.stateless_normal((3, 4), (1, step))
        for optimizer, variable in zip(optimizers, variables, strict=True):
            optimizer.apply_gradients([(gradient, variable)])
    np.testing.assert_allclose(variables[0], variables[1], rtol=1e-5)


def test_cosine_schedule_ends_at_zero():
    rate = train.make_optimizer(train.parse(["--schedule", "cosine", "--steps", "50"]))._learning_rate
    np.testing.assert_allclose([rate(0), rate(25), rate(50)], [2e-3, 1e-3, 0], atol=1e-9)


def test_validation_measures_the_objective_that_is_trained(tiny_run: Path):
    model, (images, labels) = generate.load_run(tiny_run).model, drawn.draw(700, 1, 3)  # not a multiple of the batches
    found = train.measure(model, data.Split(images, labels), 0, "test")
    nll = kl = 0.0
    for i, count in (0, 500), (500, 200):
        x, y = images[i : i + count] / np.float32(255), labels[i : i + count].astype(np.int32)
        logits, mean, a = model(x, y, generate.normal((count, 20), 0, "test", i))
        nll += float(tf.reduce_sum(bernoulli_nll(x, logits))) / 700
        kl += float(tf.reduce_sum(gaussian_kl(mean, a))) / 700
    assert found["nll"] == pytest.approx(nll, rel=1e-5) and found["kl"] == pytest.approx(kl, rel=1e-5)


def test_uneven_shares_are_refused_in_words():
    with pytest.raises(train.Failure, match="--batch-size 33 does not divide by 2"):
        train.distribution(train.parse(["--batch-size", "33", "--devices", "2"]))


def test_a_thousand_steps_on_mnist(mnist_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A swapped sign, a dropped label or σ² in σ's place ends far above; a default run passes 112 nats here."""
    flags = ["--dataset", "mnist", "--data-dir", str(mnist_dir), "--steps", "1000", "--out", str(tmp_path)]
    assert train.main(flags) == 0
    test = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert test["images"] == 10_000 and test["negative_elbo"] < 116 and 17 < test["kl"] < 27

    run = generate.load_run(tmp_path)
    half = CVAE((28, 28, 1), dtype="mixed_bfloat16")
    half.set_weights(run.model.get_weights())
    split = data.load("mnist", mnist_dir).test
    bfloat16 = train.measure(half, split, 0, "test")["negative_elbo"]
    assert 0 < abs(bfloat16 - test["negative_elbo"]) < 0.5


def test_a_terminal_shows_nothing_but_the_run(tmp_path: Path):
    """In a process of its own: no start-up noise of TensorFlow's on either stream."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "--dataset", "drawn", "--steps", "1", "--out", str(tmp_path / "run")],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("drawn digits: 20,000 training") and "python generate.py --label 7" in lines[-1]
    assert len(lines) == 6
