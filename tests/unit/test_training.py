"""The parts of training, each alone: what a save and the end do in which order, the loop, what is logged and said."""

import shlex
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from helpers import logged, settings
from PIL import Image

import data
import train
from engine import files, random_streams
from engine.drawing import training_grids
from engine.evaluation import likelihood
from engine.latent import likelihood_bounds
from engine.runs.tensorboard import EventLog
from engine.runs.trained_model import Trained
from engine.startup import python
from engine.terminal import Failure
from engine.training import loop
from engine.training.run import Run


def split(count: int) -> data.Split:
    return data.Split(np.zeros((count, 1, 1, 1), np.uint8), np.zeros(count, np.uint8))


DATASET = data.Dataset("drawn", "", split(50), split(20), split(30), "")


# --- train.py's lists of calls -----------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what train.save and train.finish call, in order; nothing is done."""
    names = []

    def note(owner: object, name: str, result: object = None) -> None:
        monkeypatch.setattr(owner, name, lambda *_, **__: (names.append(name), result)[1])

    note(likelihood_bounds, "fit_variance")
    for name in ("write_fake", "write_real", "write_training_gif"):
        note(training_grids, name)
    note(train, "weights_and_latents")
    note(train.likelihood, "report_test_result")
    note(train.best_checkpoint, "choose")
    note(train.prior_cache, "load_or_fit", SimpleNamespace(name="label"))
    note(train.build, "write")

    def elbo(model: object, images: data.Split, seed: int, stream: str) -> dict[str, float]:
        names.append(f"elbo of {len(images.labels)}, {stream}")
        return {"negative_elbo": float(len(names)), "nll": 2.0, "kl": 1.0}

    for owner in likelihood_bounds, likelihood:
        monkeypatch.setattr(owner, "elbo", elbo)
    return names


def run_of(calls: list[str], folder: Path, **more: object) -> SimpleNamespace:
    names = ["check_weights", "note_validation", "save_checkpoint", "say_finished"]
    noted = {name: lambda *_, name=name: calls.append(name) for name in names}
    events = SimpleNamespace(write=lambda *_: calls.append("events"))
    run = {"is_chief": True, "saved": -1, "step": 3, "folder": folder, "config": settings(), "events": events}
    return SimpleNamespace(**run | noted | {"model": None, "trained": None} | more)


def test_a_save_checks_first_writes_the_checkpoint_last_and_nothing_after_a_failed_check(calls, tmp_path: Path):
    train.save(run_of(calls, tmp_path), DATASET)
    checks = ["check_weights", "fit_variance", "elbo of 20, validation"]
    written = ["write_fake", "write_fake", "write_real", "weights_and_latents", "events", "save_checkpoint"]
    assert calls == [*checks, "note_validation", *written]
    calls.clear()

    def fail(_: float) -> None:
        raise Failure("the validation loss is not finite")

    with pytest.raises(Failure):
        train.save(run_of(calls, tmp_path, note_validation=fail), DATASET)
    assert calls == checks


def test_the_end_measures_fits_and_draws_and_then_says_so(calls: list[str], tmp_path: Path):
    assert train.finish(run_of(calls, tmp_path, is_chief=False), DATASET) == 0 and not calls
    assert train.finish(run_of(calls, tmp_path), DATASET) == 0
    assert calls == [
        "choose",
        "report_test_result",
        "write_training_gif",
        "load_or_fit",
        "write_fake",
        "write_fake",
        "write",
        "say_finished",
    ]


REPORT = likelihood.report_test_result  # `calls` replaces it


def test_a_test_result_is_of_the_test_images_and_kept(calls, tmp_path: Path, capsys):
    REPORT(Trained(None, settings(), tmp_path, 3), DATASET)
    assert calls == ["elbo of 30, test"] and "test −ELBO 1.00 nats = NLL 2.00 + KL 1.00" in capsys.readouterr().out
    entry = files.read_json(tmp_path / "metrics.json")["test"]
    assert (entry["step"], entry["images"], entry["nll"], entry["config"]) == (3, 30, 2.0, settings().digest)


# --- the loop and what it logs -----------------------------------------------------------------------------------


def test_a_call_of_the_loop_adds_its_losses_and_passes_a_wish_to_stop_on():
    source = SimpleNamespace(steps=100, at=lambda step: (), share=lambda arrays, i: (i, i, i))

    def step(x: tf.Tensor, y: tf.Tensor, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.constant(1.0), tf.where(x >= 5, tf.where(x > 6, np.nan, np.inf), 2.0)

    training = loop.Loop(tf.distribute.OneDeviceStrategy("CPU:0"), step, source)
    totals, stopped = training.advance(0, 5, tf.constant([1.0, 1.0], tf.float64), False)
    assert totals.numpy().tolist() == [6.0, 11.0] and not stopped
    for end in 6, 9:
        totals, stopped = training.advance(3, end, tf.zeros(2, tf.float64), True)
        assert np.isfinite(totals).tolist() == [True, False], "however many steps follow"
        assert stopped, "one worker's wish is every worker's"


def test_a_logged_loss_is_the_mean_since_the_last_one(tmp_path: Path):
    """Not since the start; the bar shows it between two of them, too."""
    run, shown = Run(SimpleNamespace(out=tmp_path), settings(batch_size=4)), []
    run.totals = tf.Variable(tf.constant([40.0, 4.0], tf.float64))
    bar = SimpleNamespace(done=0, advance=lambda units, text: shown.append(text))
    for step in (110, 200):
        run.step = step
        run.log(bar)
    run.events.writers["train"].flush()
    assert "loss 1.1 = NLL 1.0 + KL 0.1" in shown[0]
    assert logged(tmp_path) == {
        (f"train/{k}", 200): pytest.approx(v) for k, v in (("loss", 0.11), ("nll", 0.1), ("kl", 0.01))
    }
    assert run.totals.numpy().tolist() == [0, 0]


def test_a_histogram_of_numbers_that_hardly_differ(tmp_path: Path):
    """After a step at --latent-dim 3 the biases are one rounding apart: no 30 bins of float32 fit between."""
    values = np.array([0.002, np.nextafter(np.float32(0.002), np.float32(1))], np.float32)
    EventLog(tmp_path / "logs").write("train", 1, {}, {"close": values, "same": values[:1]})
    entries = logged(tmp_path)
    assert entries["train/close", 1].shape == (30, 3) and entries["train/close", 1][:, 2].sum() == 2
    assert entries["train/same", 1][:, 2].sum() == 1


def test_cosine_schedule_ends_at_zero():
    rate = loop.learning_rate(SimpleNamespace(schedule="cosine", learn_rate=2e-3, decay_steps=50))
    np.testing.assert_allclose([rate(0), rate(25), rate(50)], [2e-3, 1e-3, 0], atol=1e-9)


def test_every_use_of_randomness_has_numbers_of_its_own():
    uses = [(seed, stream, counter) for seed in range(9) for stream in random_streams.STREAMS for counter in (0, 1)]
    assert len({tuple(random_streams.key(*use).numpy()) for use in uses}) == len(uses)
    # Normal numbers are made from uniform ones in pairs: uniform ones of the same counter would be these.
    z, uniform = random_streams.normal((4000,), 1, "grid").numpy(), random_streams.uniform(4000, 1, "grid").numpy()
    from_z = np.exp(-0.5 * (z[0::2] ** 2 + z[1::2] ** 2)), np.arctan2(z[0::2], z[1::2]) / (2 * np.pi) % 1
    for half in uniform[0::2], uniform[1::2]:
        assert all(abs(np.corrcoef(half, pair)[0, 1]) < 0.1 for pair in from_z)


# --- what is said, and signals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "advised"), [("10", 0.002), ("0.003", 0.001), ("0.0006", 0.0002)])
def test_the_advice_after_nan_begins_anew_with_a_smaller_rate_and_after_a_stop_goes_on(rate, advised, tmp_path, capsys):
    words = ["--data-dir", "a b", "--learn-rate", rate, "--fresh", "--out", str(tmp_path)]
    run = Run(train.parse(words), settings(learn_rate=float(rate)))
    run.step = 1234
    with pytest.raises(Failure, match="^step 1,234: the loss became NaN; nothing of it was saved") as error:
        run.fail_diverged("the loss became NaN")
    args = train.parse(shlex.split(str(error.value).split("python train.py ")[1]))
    assert args.fresh and args.learn_rate == advised and str(args.data_dir) == "a b" and args.out == tmp_path
    run.say_stopped()
    words = shlex.join([word for word in words if word != "--fresh"])
    assert capsys.readouterr().out == f"stopped at step 1,234, saved; go on with: {python()} train.py {words}\n"


def test_tensorboard_shows_training_and_validation_in_one_chart_and_the_grids(tmp_path):
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    log = EventLog(tmp_path / "logs")
    log.write("train", 5, {"loss": 3.0})
    log.write("validation", 5, {"loss": 4.0}, {"w": np.arange(9.0)}, {"fake1": tmp_path / "a.png"})
    values = {}
    for part in "train", "validation":
        log.writers[part].close()
        (path,) = (tmp_path / "logs" / part).iterdir()
        for event in tf.data.TFRecordDataset(str(path)):
            for value in tf.compat.v1.Event.FromString(event.numpy()).summary.value:
                values[part, value.tag] = value
    assert tf.make_ndarray(values["train", "loss"].tensor) == 3
    assert tf.make_ndarray(values["validation", "loss"].tensor) == 4
    picture = values["validation", "fake1"]
    width, height, png = tf.make_ndarray(picture.tensor)
    assert picture.metadata.plugin_data.plugin_name == "images" and (width, height) == (b"30", b"20")
    assert struct.unpack(">II", png[16:24]) == (30, 20)
