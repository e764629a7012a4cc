"""A run touches nothing that no run wrote: foreign folders, files beside a run's, settings, results of other runs."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import go, listing, write_data

import data
import train
from engine.config import Config
from engine.runs import directory, options, trained_model
from engine.terminal import Failure

OURS = json.dumps({"architectures": ["BertModel"], "hidden_size": 768})  # a config.json, but not of a run


@pytest.fixture
def digits(tmp_path: Path) -> list[str]:
    return ["--data-dir", str(write_data(tmp_path / "digits"))]


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of tiny_run; go on with `--dataset drawn`."""
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


FOREIGN = {
    "somebody's config.json": {"config.json": OURS.encode()},
    "a config.json that is no JSON": {"config.json": b"layers: 3"},
    "half a checkpoint": {"model.ckpt-3.data-00000-of-00001": b"weights"},
    "a whole checkpoint": {"model.ckpt-3.data-00000-of-00001": b"weights", "model.ckpt-3.index": b"index"},
    "TensorFlow's list": {"checkpoint": b'model_checkpoint_path: "model.ckpt-3"'},
    "a grid": {"images/img_1.png": b"cat"},
    "events": {"logs/events.out.tfevents.1": b"events"},
    "a fake1.png": {"fake1.png": b"cat"},
}


@pytest.mark.parametrize("fresh", [[], ["--fresh"]], ids=["", "fresh"])
@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_what_no_run_wrote_is_refused_and_untouched(content, fresh, digits, tmp_path, capsys):
    out = tmp_path / "mine"
    for name, some in content.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(some)
    before = sorted(out.rglob("*"))
    assert go(*digits, "--steps", 1, "--out", out, *fresh) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and str(out) in err and "choose another" in err
    assert listing(out) == content and sorted(out.rglob("*")) == before, "not even a lock file"


def test_a_folder_with_other_things_may_become_a_run(digits, tmp_path):
    mine = {"notes.txt": b"1", ".lock": b"somebody's lock", "judge-0.npz": b"2", "sub/config.json": b"{}"}
    # by generate.py and evaluate.py, of the shipped run
    ours = {"label_7.png": b"3", "evaluation/misread.png": b"4", "metrics.json": b'{"evaluate": {}}'}
    for name, some in (mine | ours).items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(some)
    assert go(*digits, "--steps", 1, "--out", tmp_path / "out") == 0
    for name, some in mine.items():
        assert (tmp_path / "out" / name).read_bytes() == some
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()).keys() == {"test", "evaluate"}


def test_fresh_moves_no_file_of_somebody_elses(run, tiny_run):
    mine = {"images/cat.png", "logs/notes.txt", "photo.png", "fake1.png.bak", "images/img_000020_real.png.orig"}
    mine |= {"prior.npz2", "evaluation/plan.txt", "sub/model.ckpt-1.index", "previous-1/x"}
    for name in mine:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("mine")
    aside = directory.move_aside(run)
    assert aside == run / "previous-2" and listing(aside) == listing(tiny_run)
    left = {name: content for name, content in listing(run).items() if not name.startswith("previous-2/")}
    assert left == dict.fromkeys(mine, b"mine")
    assert directory.move_aside(run) is None


def test_a_run_inside_a_runs_folder_is_never_moved(run):
    shutil.copytree(run, run / "evaluation")
    inner = listing(run / "evaluation")
    assert directory.move_aside(run) == run / "previous-1"
    assert listing(run / "evaluation") == inner


def test_killed_while_moving_aside_it_is_still_a_run(tiny_run, tmp_path, monkeypatch):
    """Killed before any of its moves: what is left can still be recognised as a run's, and taken over."""
    total, real = len(directory.products(tiny_run)) + 1, os.rename
    assert total >= 20
    for most in range(total):
        run, moved = Path(shutil.copytree(tiny_run, tmp_path / f"run{most}")), []

        def rename(*paths: Path, most: int = most, moved: list = moved) -> None:
            if len(moved) == most:
                raise KeyboardInterrupt
            moved.append(paths)
            real(*paths)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, "rename", rename)
            directory.move_aside(run)
        directory.refuse_foreign(run, Config.read(run))  # raises nothing
        directory.move_aside(run)
        both = listing(run / "previous-1") | listing(run / "previous-2")
        assert both == listing(tiny_run)


# --- settings ----------------------------------------------------------------------------------------------------


def test_fresh_and_reload_of_the_run_that_is_moved(run, monkeypatch, capsys):
    """However its path is written: relative, absolute, by one of its files."""
    old = trained_model.load(run).model.get_weights()
    monkeypatch.chdir(run.parent)
    flags = ["--dataset", "drawn", "--steps", 1, "-r", "1e-9", "--fresh"]
    assert go(*flags, "--reload", "./run/model.ckpt-60.index", "--out", run) == 0
    for before, after in zip(old, trained_model.load(run).model.get_weights(), strict=True):
        np.testing.assert_allclose(before, after, atol=1e-7)
    assert go(*flags, "--reload", "run/model.ckpt-9", "--out", run) == 1
    assert "no such checkpoint" in capsys.readouterr().err and not (run / "previous-2").exists(), "nothing was moved"


def test_what_is_not_given_comes_from_the_run_to_resume(digits, tmp_path, monkeypatch, capsys):
    """Whatever defaults a later version has; only what is given and differs is refused."""
    out, rate = tmp_path / "run", "1e-3"
    settings = [
        "--channels",
        3,
        "--latent-dim",
        5,
        "-b",
        32,
        "-r",
        rate,
        "--schedule",
        "cosine",
        "--seed",
        3,
        "--width",
        2,
    ]
    assert go(*digits, *settings, "--likelihood", "gaussian", "--balance", "--steps", 2, "--out", out) == 0
    before = Config.read(out)
    monkeypatch.setattr(options, "DEFAULTS", dict.fromkeys(options.DEFAULTS, 7))
    capsys.readouterr()
    assert go("--out", out) == 0
    assert "this run is finished: step 2 of 2" in capsys.readouterr().out and Config.read(out) == before
    assert before.reload is None and (before.latent_dim, before.batch_size, before.decay_steps) == (5, 32, 2)
    assert go("--latent-dim", 6, "--seed", 3, "--out", out) == 1
    assert "other settings (latent_dim 5 → 6): leave them out" in capsys.readouterr().err
    assert go("--dataset", "drawn", "--out", out) == 1
    assert "dataset 'idx' → 'drawn'" in capsys.readouterr().err and Config.read(out) == before


def test_reload_is_asked_for_once(run, tiny_run, tmp_path, capsys):
    start, flags = tmp_path / "start", ["--dataset", "drawn", "--out", tmp_path / "new", "-r", "1e-3", "--steps"]
    shutil.copytree(tiny_run, start)
    assert go(*flags, 1, "--reload", start / "model.ckpt-60") == 0
    shutil.rmtree(start)  # what was started from it does not need it any more
    assert go(*flags, 2, "--reload", start / "model.ckpt-60") == 0
    assert go("--steps", 3, "--out", tmp_path / "new") == 0
    assert Config.read(tmp_path / "new").reload == str(start / "model.ckpt-60")
    assert go(*flags, 4, "--reload", run / "model.ckpt-60") == 1
    assert "reload '" in capsys.readouterr().err


def test_where_the_data_came_from_does_not_count(run):
    config = Config.read(run)
    moved = Config(**{**vars(config), "data_dir": "/elsewhere"})
    assert moved == config and moved.digest == config.digest and not config.differences(moved)
    other = Config(**{**vars(config), "seed": 1, "latent_dim": 3})
    assert other != config and other.digest != config.digest
    assert config.differences(other) == ["latent_dim 20 → 3", "seed 0 → 1"]


# What 93d9e05 wrote: with a precision, which is no setting any more.
OLDER = {"dataset": "mnist", "fingerprint": "c655", "image_shape": [28, 28, 1], "num_labels": 10, "latent_dim": 20}
OLDER |= {"batch_size": 256, "learn_rate": 0.004, "schedule": "cosine", "decay_steps": 60000, "precision": "float32"}
OLDER |= {"seed": 0, "reload": None, "data_dir": ""}


def test_an_older_config_is_read_and_its_results_still_count(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(OLDER))
    older = Config.read(tmp_path)
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    later = vars(older).keys() - OLDER.keys()
    assert later and {name: getattr(older, name) for name in later} == {name: defaults[name] for name in later}
    first = {key: value for key, value in OLDER.items() if key not in ("precision", "data_dir")}
    digest = hashlib.sha256(json.dumps(first).encode()).hexdigest()[:16]
    wider = dataclasses.replace(older, width=2)
    wider_digest = hashlib.sha256(json.dumps(first | {"width": 2}).encode()).hexdigest()[:16]
    assert older.matches(digest) and older.matches(older.digest) and wider.matches(wider_digest)
    assert not wider.matches(digest) and not older.matches(wider.digest) and not older.matches("")
    assert (older.batch_size, older.learn_rate, older.decay_steps, older.reload) == (256, 0.004, 60000, None)
    older.write(tmp_path)
    assert Config.read(tmp_path) == older
    for key in ("seed", "fingerprint", "image_shape"):
        (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in OLDER.items() if k != key}))
        with pytest.raises(Failure, match=key):
            Config.read(tmp_path)


def test_a_field_at_its_default_is_not_in_the_digest(tmp_path):
    """So a field that a later version adds keeps the digests of before, and their order does not matter."""
    (tmp_path / "config.json").write_text(json.dumps(OLDER))
    older = Config.read(tmp_path)
    changed = ["batch_size", "dataset", "decay_steps", "fingerprint", "image_shape", "latent_dim", "learn_rate"]
    changed += ["num_labels", "schedule", "seed"]
    pairs = [[name, OLDER[name]] for name in changed]
    assert older.digest == hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16]


def test_a_name_for_every_label_and_no_two_the_same(tmp_path):
    for names, good in (list("abcdefghij"), True), (list("abcdefghii"), False), (list("abc"), False), ([], True):
        (tmp_path / "config.json").write_text(json.dumps(OLDER | {"label_names": names}))
        with contextlib.nullcontext() if good else pytest.raises(Failure, match="label_names"):
            assert len(Config.read(tmp_path).names) == 10


# --- what is said ------------------------------------------------------------------------------------------------


def test_a_result_is_of_this_run(digits, tmp_path, capsys):
    """Its checkpoints deleted, another seed trained to the same step: not the old result."""
    out, results = tmp_path / "run", []
    for seed in (0, 1):
        assert go(*digits, "--steps", 2, "--seed", seed, "--out", out) == 0
        results.append(json.loads((out / "metrics.json").read_text())["test"]["negative_elbo"])
        assert f"test −ELBO {results[-1]:.2f}" in capsys.readouterr().out
        for path in out.glob("model.ckpt-*"):
            path.unlink()
    assert results[0] != results[1]


def test_the_advice_can_be_followed(run, tmp_path, capsys):
    cosine = ["--dataset", "drawn", "--steps", 1, "--schedule", "cosine", "--out", tmp_path / "cosine"]
    assert go(*cosine) == 0
    for words, more in (["--dataset", "drawn", "--steps", 60, "--out", run], True), (cosine, False):
        capsys.readouterr()
        assert go(*words) == 0
        said = capsys.readouterr().out
        assert "this run is finished" in said and "--fresh" in said
        assert ("a larger --steps" in said) == more, "a cosine that has ended has no larger --steps"


def test_fresh_does_not_survive_into_the_advice(digits, tmp_path, monkeypatch, capsys):
    class Soon(train.terminal.Stop):
        signal = property(lambda self: 2, lambda self, value: None)

    monkeypatch.setattr(train.terminal, "Stop", Soon)
    assert go(*digits, "--steps", 5, "--fresh", "--out", tmp_path / "run") == 130
    advice = capsys.readouterr().out.splitlines()[-1]
    assert "go on with: python train.py --data-dir" in advice and "--f" not in advice
