"""Runs are never lost: same seed same bits, killed, stopped, damaged, diverged, out of space, moved, contended."""

from __future__ import annotations

import errno
import gc
import os
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers import check_whole, differences, digest, go, listing, scalars, small_files, tensors, write_data

import engine.training.run
import evaluate
import generate
import train
from engine import files, terminal
from engine.config import Config
from engine.drawing import sampling, training_grids
from engine.export.page import build
from engine.latent import elbo, prior_cache
from engine.runs import checkpoints, directory, trained_model
from engine.runs.tensorboard import EventLog
from engine.terminal import Failure, Stop
from engine.training.run import Run
from model import CVAE

ROOT = Path(__file__).resolve().parent.parent.parent
DRAWN = ["--dataset", "drawn", "--save-every", "20"]  # with steps 60, those of tiny_run


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options for a small IDX data set."""
    return ["--data-dir", str(write_data(tmp_path_factory.mktemp("digits")))]


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of tiny_run, to go on with by `DRAWN`."""
    import data

    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def steps(folder: Path) -> list[int]:
    return [checkpoints.step_of(prefix) for prefix in checkpoints.newest_first(folder)]


def spawn(*words: object, **kwargs: object) -> subprocess.Popen:
    argv = [sys.executable, "-u", str(ROOT / "train.py"), *map(str, words)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs)


# --- same seed, same bits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", (["--devices", "1"], ["--channels", "3", "--devices", "2"]))
def test_k_and_resume_and_k_is_2k(options, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(engine.training.run, "LOG_EVERY", 8)
    words = [*digits, *options, "--batch-size", "32"]
    assert go(*words, "--steps", 26, "--out", tmp_path / "whole") == 0
    assert go(*words, "--steps", 13, "--out", tmp_path / "halves") == 0
    assert go(*words, "--steps", 26, "--out", tmp_path / "halves") == 0
    whole, halves = digest(tmp_path / "whole"), digest(tmp_path / "halves")
    assert sum("model.ckpt-26" in key for key in whole) > 40 and ("train/loss", 16) in scalars(tmp_path / "whole")
    differ = [key for key in differences(whole, halves) if "13" not in key]  # the pictures of step 13 are its own
    assert not [key for key in differ if key != "training.gif"]
    if options == ["--devices", "1"]:
        assert go(*words, "--steps", 26, "--seed", 1, "--out", tmp_path / "other") == 0
        assert len(differences(whole, digest(tmp_path / "other"))) > 60, "the comparison sees a difference"


# --- killed, stopped ---------------------------------------------------------------------------------------------


def test_killed_at_any_instant():
    argv = [
        sys.executable,
        str(ROOT / "tests" / "tools" / "stress.py"),
        "--kills",
        "2",
        "--seed",
        "11",
        "--lives",
        "folder",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "all whole" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_tell_how_to_go_on(number, status, digits, tmp_path):
    child = spawn(*digits, "--steps", 0, "--save-every", 100, "--out", tmp_path / "a b")
    said = ""
    while "step     100" not in said:
        said += (line := child.stdout.readline())
        assert line, said
    began = time.monotonic()
    child.send_signal(number)
    said += child.communicate(timeout=60)[0]
    assert child.returncode == status and time.monotonic() - began < 10, said
    assert "Traceback" not in said
    step = steps(tmp_path / "a b")[0]
    assert step >= 100 and f"stopped at step {step:,}, saved; go on with: python train.py " in said
    assert f"'{tmp_path / 'a b'}'" in said.splitlines()[-1]
    assert trained_model.load(tmp_path / "a b").step == step


def test_stopped_on_the_very_step_of_a_save(digits, tmp_path, monkeypatch):
    class Soon(Stop):
        signal = property(lambda self: signal.SIGTERM, lambda self, value: None)

    monkeypatch.setattr(train.terminal, "Stop", Soon)
    assert go(*digits, "--steps", 10, "--save-every", 10, "--out", tmp_path / "run") == 143
    monkeypatch.undo()
    assert go(*digits, "--steps", 10, "--save-every", 10, "--out", tmp_path / "run") == 0
    assert go(*digits, "--steps", 10, "--save-every", 10, "--out", tmp_path / "other") == 0
    assert not differences(digest(tmp_path / "run"), digest(tmp_path / "other"))


def test_stopped_between_two_saves_it_keeps_the_weights_and_draws_nothing(digits, tmp_path, monkeypatch):
    class Soon(Stop):
        signal = property(lambda self: signal.SIGTERM, lambda self, value: None)

    monkeypatch.setattr(train.terminal, "Stop", Soon)
    assert go(*digits, "--steps", 40, "--save-every", 40, "--out", tmp_path / "run") == 143
    step, _ = steps(tmp_path / "run")
    assert 0 < step < 40 and not (tmp_path / "run" / "images" / f"img_{step:06d}_fake1.png").exists()


def test_what_a_killed_process_left_is_removed(tiny_run, tmp_path):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    for name in ("mine.partial", ".mine", ".label_7.png.host.1.partial"):  # the last: a living process is writing it
        (run / name).write_text("mine")
    before = listing(run)
    old = (
        ".fake1.png.host.2.partial",
        "images/.img_000070_real.png.host.2.partial",
        "evaluation/.a.png.host.2.partial",
    )
    old += ("model.ckpt-70.data-00000-of-00001", "model.ckpt-70_temp/part-00000-of-00001.data-00000-of-00001")
    old += (".saved.host.2.partial/variables/variables.index", "checkpoint")
    for name in old:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(b"half")
    for path in (*run.rglob(".*.host.2.partial"), run / ".mine"):
        os.utime(path, (time.time() - 3700,) * 2)
    directory.remove_leftovers(run)
    assert listing(run) == before and not list(run.glob("*_temp")) and not list(run.glob(".saved*"))


def test_a_second_signal_leaves_at_once():
    code = "import os; from engine.terminal import Stop\nwith Stop():\n os.kill(os.getpid(), 2)\n"
    code += " print('one', flush=True)\n"
    code += " os.kill(os.getpid(), 2)\n print('two')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (130, "one\n")


def test_signal_handlers_are_put_back(digits, tmp_path):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert go(*digits, "--steps", 1, "--out", tmp_path / "run") == 0
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


# --- damaged -----------------------------------------------------------------------------------------------------

DATA, INDEX = "model.ckpt-60.data-00000-of-00001", "model.ckpt-60.index"


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


DAMAGES = {
    "data truncated": lambda run: os.truncate(run / DATA, 300_000),
    "data empty": lambda run: os.truncate(run / DATA, 0),
    "data flipped": lambda run: flip(run / DATA, 200_000),  # a weight; the optimizer's moments come after them
    "data missing": lambda run: (run / DATA).unlink(),
    "index truncated": lambda run: os.truncate(run / INDEX, 700),
    "index empty": lambda run: os.truncate(run / INDEX, 0),
    "index flipped": lambda run: flip(run / INDEX, 600),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint_falls_back(damage, run, tiny_run, capsys):
    DAMAGES[damage](run)
    before = listing(run)
    assert generate.main(["--label", "7", "--run", str(run), "--out", str(run.parent / "7.png")]) == 0
    out, err = capsys.readouterr()
    assert "step 40" in out and "model.ckpt-60 is damaged" in err and len(err.splitlines()) == 1
    assert listing(run) == before, "generate moves nothing"
    if damage not in ("data flipped", "index truncated"):  # enough of them for train.py, which takes longer
        return
    assert go(*DRAWN, "--steps", 60, "--out", run) == 0
    out, _ = capsys.readouterr()
    assert "model.ckpt-60 is damaged" in out and "going on from step 40" in out
    kept = {name: content for name, content in before.items() if name.startswith("model.ckpt-60")}
    assert listing(run / "damaged") == kept, "set aside as they were"
    shutil.rmtree(run / "damaged")
    assert not differences(digest(run), digest(tiny_run))


def test_what_cannot_be_read_just_now_is_not_damaged(run, monkeypatch, capsys):
    def refuse(path: Path, *args: object):
        if "model.ckpt" in str(path):
            raise OSError(errno.EACCES, "Permission denied", str(path))
        return open(path, *args)

    before = listing(run)
    monkeypatch.setattr(checkpoints, "open", refuse, raising=False)
    for main, words in (train.main, [*DRAWN, "--steps", "80", "--out"]), (generate.main, ["--label", "7", "--run"]):
        assert main([*words, str(run)]) == 1
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1 and "Permission denied" in err
    assert {k: v for k, v in listing(run).items() if k != "checkpoint"} == {
        k: v for k, v in before.items() if k != "checkpoint"
    }


def test_moving_replaces_nothing(tmp_path):
    for content in ("1", "2", "3"):
        (tmp_path / "a").write_text(content)
        files.move([tmp_path / "a"], tmp_path / "damaged")
    assert listing(tmp_path) == {"damaged/a": b"1", "damaged/a.1": b"2", "damaged/a.2": b"3"}


def test_all_checkpoints_damaged(run, capsys):
    for path in run.glob("model.ckpt-*.index"):
        os.truncate(path, 10)
    assert generate.main(["--label", "7", "--run", str(run)]) == 1
    assert "no checkpoint" in capsys.readouterr().err.splitlines()[-1]
    assert go(*DRAWN, "--steps", 1, "--out", run) == 0
    assert steps(run) == [1, 0] and len(list((run / "damaged").glob("*.index"))) == 4


def test_the_newest_is_the_one_of_the_highest_step(tmp_path):
    for name in ("9", "10", "100000", "99999", "x", "7.old", "-1"):
        (tmp_path / f"model.ckpt-{name}.index").touch()
    assert steps(tmp_path) == [100000, 99999, 10, 9]


def test_every_flipped_byte_is_seen(tiny_run, tmp_path):
    """Whatever byte changes, a restore gives the very same numbers or says Damaged."""
    net, rng = CVAE(**Config.read(tiny_run).architecture), np.random.default_rng(3)
    weights = checkpoints.trackable(net)
    state = tf.train.Checkpoint(model=weights)
    checkpoints.restore(state, str(tiny_run / "model.ckpt-60"), net)
    good_weights = [w.numpy() for w in net.weights]
    good = [w.tobytes() for w in good_weights]
    seen = 0
    for _ in range(150):
        for name in (DATA, INDEX):
            shutil.copy(tiny_run / name, tmp_path / name)
        name = rng.choice((DATA, INDEX))
        size = sum(w.nbytes for w in good_weights) if name == DATA else (tmp_path / name).stat().st_size
        flip(tmp_path / name, int(rng.integers(size)))  # the data file begins with the model's weights
        try:
            checkpoints.restore(state, str(tmp_path / "model.ckpt-60"), net)
            assert [w.numpy().tobytes() for w in net.weights] == good, name
        except checkpoints.Damaged:
            seen += 1
    assert seen > 130


def test_another_architecture_is_refused(run, capsys):
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text.replace('"latent_dim": 20', '"latent_dim": 21'))
    for main, words in (
        (generate.main, ["--label", "7", "--run"]),
        (train.main, [*DRAWN, "--latent-dim", "21", "--out"]),
    ):
        before = listing(run)
        assert main([*words, str(run)]) == 1
        err = capsys.readouterr().err
        assert "of another architecture: a/bias is (20,) there and (21,) here" in err and len(err.splitlines()) == 1
        assert {k: v for k, v in listing(run).items() if k not in ("checkpoint", "config.json")} == {
            k: v for k, v in before.items() if k not in ("checkpoint", "config.json")
        }


def test_a_restore_is_all_or_nothing(tiny_run, digits, tmp_path):
    """A checkpoint without the optimizer does not go for a training run's."""
    net = CVAE(**Config.read(tiny_run).architecture)
    saved = tf.train.Checkpoint(model=checkpoints.trackable(net)).write(str(tmp_path / "model.ckpt-5"))
    state = tf.train.Checkpoint(model=checkpoints.trackable(net), step=tf.Variable(0, dtype=tf.int64))
    with pytest.raises(Failure, match="written by another version"):
        checkpoints.restore(state, saved, net)


# --- NaN and infinity --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", ["10", "1e6"])
def test_divergence_stops_before_anything_bad_is_saved(rate, digits, tmp_path, capsys):
    argv = [*digits, "--learn-rate", rate, "--steps", "200", "--save-every", "5", "--out", str(tmp_path / "run")]
    assert go(*argv) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    words = shlex.split(err.split("python train.py ")[1])
    assert words == [*argv, "--fresh", "--learn-rate", "0.002"] and train.parse(words).learn_rate == 0.002
    assert "error: step " in err and any(word in err for word in ("NLL", "KL", "weights", "validation loss"))
    assert steps(tmp_path / "run")
    for prefix in checkpoints.newest_first(tmp_path / "run"):
        assert all(np.isfinite(value).all() for value in tensors(prefix).values()), prefix
    check_whole(tmp_path / "run")


def test_the_first_bad_step_and_term_are_named(digits, tmp_path, monkeypatch, capsys):
    real = train.gaussian_kl

    def soured(mean, a):
        return real(mean, a) + tf.where(tf.reduce_max(tf.abs(mean)) > 0.5, np.inf, 0.0)

    monkeypatch.setattr(train, "gaussian_kl", soured)
    monkeypatch.setattr(elbo, "elbo", lambda *_: {"negative_elbo": 1.0, "nll": 1.0, "kl": 0.0})
    named = set()
    for every in 3, 100:  # the same one however many steps of the same call come after it
        out = tmp_path / str(every)
        assert go(*digits, "--steps", 200, "--save-every", every, "--out", out) == 1
        err = capsys.readouterr().err
        bad = int(err.split("step ")[1].split(":")[0])
        assert "KL" in err and "NLL" not in err and bad - every <= steps(out)[0] < bad
        named.add(bad)
    assert len(named) == 1


def test_weights_that_are_not_finite_are_not_saved(digits, tmp_path, monkeypatch, capsys):
    """The loss of a step can be finite where its gradient is not: only the weights show it."""
    real = train.gaussian_kl

    def steep(mean, a):
        return real(mean, a) + tf.sqrt(0 * tf.reduce_sum(mean, axis=1))

    monkeypatch.setattr(train, "gaussian_kl", steep)
    assert go(*digits, "--steps", 1, "--out", tmp_path / "run") == 1
    err = capsys.readouterr().err
    assert "step 1: the weights are not finite; nothing of it was saved" in err and len(err.splitlines()) == 1
    assert steps(tmp_path / "run") == [0] and not (tmp_path / "run" / "images" / "img_000001_fake1.png").exists()


def test_a_validation_loss_that_is_not_finite_is_not_saved(digits, tmp_path, monkeypatch, capsys):
    """The weights can be finite where exp of what they give is not."""
    monkeypatch.setattr(elbo, "elbo", lambda *_: {"negative_elbo": np.inf, "nll": 1.0, "kl": np.inf})
    assert go(*digits, "--steps", 1, "--out", tmp_path / "run") == 1
    err = capsys.readouterr().err
    assert "step 0: the validation loss is not finite; nothing of it was saved" in err and len(err.splitlines()) == 1
    assert sorted(listing(tmp_path / "run")) == ["config.json"]


# --- the disk ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2_000, 400_000])  # too small for a picture; for a checkpoint
def test_full_disk(size, run, capsys):
    before = listing(run)
    with small_files(size):
        assert go(*DRAWN, "--steps", 80, "--out", run) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and "Traceback" not in err, err
    assert steps(run)[-4:] == [60, 40, 20, 0] and all(listing(run)[n] == before[n] for n in before if "ckpt" in n)
    check_whole(run)
    assert go(*DRAWN, "--steps", 80, "--out", run) == 0
    assert steps(run) == [80, 60, 40, 20, 0]
    assert not [p for p in run.rglob("*") if p.name.endswith((files.PARTIAL, "_temp", "_tmp"))]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, full)
        with pytest.raises(OSError):
            files.write_json(path, {"new": 2})
        assert listing(tmp_path) == {"a.json": b'{\n  "old": 1\n}\n'}
        monkeypatch.undo()


def test_a_file_is_whole_at_every_moment(tmp_path, monkeypatch):
    """At each call that a write makes to the system, the name shows all of the old content or all of the new."""
    path, old, new, seen = tmp_path / "a.json", b'{\n  "a": 0\n}\n', b'{\n  "a": 1\n}\n', []
    files.write_json(path, {"a": 0})
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, real=real: (seen.append(path.read_bytes()), real(*args)))
    files.write_json(path, {"a": 1})
    assert seen == [old, old, new] and path.read_bytes() == new, "content to the disk, then the name, then the folder"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to tell which file is synced")
def test_a_checkpoint_is_on_the_disk_before_an_older_one_goes(digits, tmp_path, monkeypatch):
    out, synced, removed = tmp_path / "run", [], []
    real_sync, real_unlink = os.fsync, Path.unlink

    def fsync(number: int) -> None:
        real_sync(number)
        synced.append(Path(os.readlink(f"/proc/self/fd/{number}")))

    def unlink(path: Path, **kwargs: object) -> None:
        if path.name.startswith("model.ckpt-"):
            newest = checkpoints.files_of(checkpoints.newest_first(out)[0])
            assert len(newest) == 2 and set(newest) <= set(synced) and out in synced[synced.index(newest[-1]) :]
            removed.append(path.name)
        real_unlink(path, **kwargs)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "unlink", unlink)
    assert go(*digits, "--steps", 7, "--save-every", 1, "--out", out) == 0
    assert steps(out) == [7, 6, 5, 4, 3] and len(removed) == 6 and removed[0] == "model.ckpt-0.index"


def test_a_folder_is_whole_or_not_there(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError), files.whole_folder(tmp_path / "saved") as partial:
        partial.mkdir()
        (partial / "half").write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    synced, real_sync, real_rename = set(), os.fsync, os.rename

    def rename(source: Path, target: Path) -> None:
        assert {path.stat().st_ino for path in (source, *source.rglob("*"))} <= synced, "the content before the name"
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", lambda number: (real_sync(number), synced.add(os.fstat(number).st_ino)))
    monkeypatch.setattr(os, "rename", rename)
    with files.whole_folder(tmp_path / "saved") as partial:
        partial.mkdir()
        (partial / "all").write_text("all")
        assert not (tmp_path / "saved").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["saved", "all"]


def test_two_runs_into_one_folder(run, capsys):
    before = listing(run)
    with files.lock(run):
        for more in ([], ["--fresh"]):
            assert go(*DRAWN, "--steps", 80, "--out", run, *more) == 1
            err = capsys.readouterr().err
            assert "another run is writing to" in err and len(err.splitlines()) == 1
    assert listing(run) == before
    with files.lock(run):  # given back
        pass


def test_the_lock_dies_with_its_process(tmp_path):
    code = (
        f"import time; from pathlib import Path; from engine.files import lock\nwith lock(Path({str(tmp_path)!r})):\n"
    )
    code += " print('mine', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "mine\n"
    with pytest.raises(Failure, match="another run"), files.lock(tmp_path):
        pass
    child.kill()
    child.communicate()
    with files.lock(tmp_path):
        pass


def test_a_moved_run_goes_on(run, tmp_path, capsys):
    there = tmp_path / "elsewhere" / "its new name"
    there.parent.mkdir()
    run.rename(there)
    assert generate.main(["--label", "7", "--run", str(there)]) == 0
    assert go(*DRAWN, "--steps", 61, "--out", there) == 0
    assert "going on from step 60" in capsys.readouterr().out
    assert steps(there) == [61, 60, 40, 20, 0] and not run.exists()


def test_a_run_moved_away_while_it_trains(digits, tmp_path, monkeypatch, capsys):
    out, moved, real = tmp_path / "run", tmp_path / "moved", Run.advance

    def advance(run: Run, *args: object) -> None:
        if run.step == 12:
            out.rename(moved)
        real(run, *args)

    monkeypatch.setattr(Run, "advance", advance)
    assert go(*digits, "--steps", 40, "--save-every", 6, "--out", out) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and str(out) in err
    assert steps(moved) == [12, 6, 0] and not out.exists()
    check_whole(moved)


FATES = {  # what becomes of a run's folder while a process is at work on it
    "removed": lambda out, other: shutil.rmtree(out),
    "empty": lambda out, other: (shutil.rmtree(out), out.mkdir()),
    "another": lambda out, other: (shutil.rmtree(out), shutil.copytree(other, out)),
    "filled": lambda out, other: shutil.copytree(other, out, dirs_exist_ok=True),  # by cp: the lock is the same
}


def befall(fate: str, out: Path, other: Path, owner: object, name: str, patch: pytest.MonkeyPatch) -> list[dict]:
    """Let `fate` come over the folder `out` when owner.name is called. Returns a list of what it holds then."""
    real, after = getattr(owner, name), []

    def call(*args: object, **kwargs: object) -> object:
        if not after and (name != "advance" or args[0].step):
            FATES[fate](out, other)
            after.append(listing(out))
        return real(*args, **kwargs)

    patch.setattr(owner, name, call)
    return after


@pytest.mark.parametrize(
    ("fate", "owner", "name"),
    [
        ("removed", training_grids, "write_real"),
        ("empty", prior_cache, "fit"),
        ("filled", Run, "advance"),
        ("another", elbo, "elbo"),
        ("another", terminal, "say"),  # just before the checkpoint
        ("filled", build, "_page"),
    ],
)
def test_a_run_made_anew_while_it_trains(fate, owner, name, digits, tiny_run, tmp_path, monkeypatch, capfd):
    """Whenever it happens: one line, status 1, and not a byte into what is there now."""
    out = tmp_path / "run"
    after = befall(fate, out, tiny_run, owner, name, monkeypatch)
    assert go(*digits, "--steps", 2, "--save-every", 1, "--out", out) == 1
    gc.collect()  # the event log's last words
    err = capfd.readouterr().err
    assert len(err.splitlines()) == 1 and str(out) in err
    assert "another run is in" in err if fate == "filled" else "moved" in err
    assert [listing(out)] == after
    assert out.exists() == (fate != "removed")


@pytest.mark.parametrize(
    ("main", "words", "owner", "name"),
    [
        (generate.main, ["--label", "7", "--fit-prior"], prior_cache, "fit"),
        (generate.main, ["--label", "7"], sampling, "render"),
        (generate.main, ["--page"], build, "_page"),
        (evaluate.main, ["--quick"], evaluate, "measure"),
    ],
)
@pytest.mark.parametrize("fate", ["removed", "another"])
def test_a_run_made_anew_while_something_is_made_of_it(
    fate, main, words, owner, name, run, tiny_run, tmp_path, monkeypatch, capsys
):
    other = Path(shutil.copytree(tiny_run, tmp_path / "other"))
    (other / "config.json").write_text((run / "config.json").read_text().replace('"seed": 0', '"seed": 1'))
    monkeypatch.setattr(evaluate, "measure", lambda *_: {})
    after = befall(fate, run, other, owner, name, monkeypatch)
    assert main([*words, "--run", str(run)]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and ("another run is in" if fate == "another" else "moved or removed") in err
    assert [listing(run)] == after and run.exists() == (fate == "another")


def test_two_at_once(digits, tmp_path):
    """Two that fit the prior and make the page of one run: both do, both files are whole, and nothing else is there."""
    out = tmp_path / "run"
    assert go(*digits, "--steps", 1, "--out", out) == 0
    before = listing(out)
    (out / "prior.npz").unlink()
    (out / "explorer.html").unlink()
    command = [sys.executable, str(ROOT / "generate.py"), "--page", "--fit-prior", "--run", str(out)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [child.communicate(timeout=120)[0] for child in both]
    assert [child.returncode for child in both] == [0, 0], said
    after = listing(out)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} <= {"prior.npz", "explorer.html"}
    assert after["explorer.html"].endswith(b"</html>\n")
    prior_cache.read(trained_model.load(out))  # raises nothing


def test_two_writers_at_once_write_two_files(tmp_path):
    """Another process writes the same file while this one does: each is whole in turn, and nothing is left over."""
    path = tmp_path / "prior.npz"
    code = f"from engine import files\nwith files.whole({str(path)!r}) as partial: partial.write_text('theirs')"
    with files.whole(path) as partial:
        partial.write_text("ours")
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
        assert path.read_text() == "theirs"
    assert path.read_text() == "ours" and os.listdir(tmp_path) == ["prior.npz"]


def test_fresh_in_the_current_folder(run, tiny_run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    assert go(*DRAWN, "--steps", 1, "--fresh", "--out", ".") == 0
    assert "is now in previous-1" in capsys.readouterr().out
    assert steps(run) == [1, 0] and listing(run / "previous-1") == listing(tiny_run)
    assert generate.main(["--label", "7", "--run", "."]) == 0 and (run / "label_7.png").exists()


# --- long runs ---------------------------------------------------------------------------------------------------


def test_files_stay_bounded(digits, tmp_path):
    argv = [*digits, "--save-every", "2", "--out", tmp_path / "run"]
    for end in (12, 24):  # a resumed run removes what an earlier process saved
        assert go(*argv, "--steps", end) == 0
        assert len(steps(tmp_path / "run")) == 5
    assert len(list((tmp_path / "run").glob("model.ckpt-*"))) == 10
    events = len(list((tmp_path / "run" / "logs").iterdir()))
    assert go(*argv, "--steps", 24) == 0
    assert len(list((tmp_path / "run" / "logs").iterdir())) == events == 2, "a finished run logs nothing more"


def test_a_histogram_of_numbers_that_hardly_differ(tmp_path):
    """After a step at --latent-dim 3 the biases are one rounding apart: no 30 bins of float32 fit between."""
    values = np.array([0.002, np.nextafter(np.float32(0.002), np.float32(1))], np.float32)
    EventLog(tmp_path / "logs").write(1, {}, {"close": values, "same": values[:1]})
    [path] = (tmp_path / "logs").iterdir()
    found = {
        v.tag: tf.make_ndarray(v.tensor)
        for e in tf.compat.v1.train.summary_iterator(str(path))
        for v in e.summary.value
    }
    assert found["close"].shape == (30, 3) and found["close"][:, 2].sum() == 2 and found["same"][:, 2].sum() == 1


# --- hostile folders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run[1]", "run?", "r*"])
def test_a_folder_name_is_no_pattern(name, tmp_path, capsys):
    """TensorFlow deletes old checkpoints by pattern: run? would delete those of run1."""
    with pytest.raises(SystemExit, match="2"):
        go("--dataset", "drawn", "--out", tmp_path / name)
    assert len(capsys.readouterr().err.splitlines()) == 1 and not listing(tmp_path)


def crc32c(content: bytes) -> list[bytes]:
    """The checksums of all of content's beginnings, masked, as LevelDB stores them."""
    crc, found = 0xFFFFFFFF, []
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        done = crc ^ 0xFFFFFFFF
        found.append(struct.pack("<I", ((done >> 15 | done << 17) + 0xA282EAD8) & 0xFFFFFFFF))
    return found


def test_an_index_that_claims_too_much_takes_no_memory(run):
    """A well-formed index, checksum and all, whose shapes are larger than its data file."""
    net = CVAE(**Config.read(run).architecture)
    content = bytearray((run / INDEX).read_bytes())
    shape = b"\x12\x03\x08\xa0\x0c\x12\x02\x08\x14"  # dims 1568 and 20, as in mean/kernel
    assert shape in content
    patched = content.replace(shape, b"\x12\x03\x08\xff\x7f\x12\x02\x08\x7f")  # 16383 and 127
    end = next(n for n, crc in enumerate(crc32c(content), 1) if crc == content[n : n + 4])  # of the first block
    patched[end : end + 4] = crc32c(patched)[end - 1]
    (run / INDEX).write_bytes(patched)
    state = tf.train.Checkpoint(model=checkpoints.trackable(net))
    with pytest.raises(checkpoints.Damaged, match="names more numbers than its files have bytes"):
        checkpoints.restore(state, str(run / "model.ckpt-60"), net)
