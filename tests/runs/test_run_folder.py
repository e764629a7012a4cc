"""A run's folder: whose it is, what is resumed from it, what happens when it is moved, removed or filled meanwhile."""

import dataclasses
import gc
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import DRAWN, go, listing, steps

from engine import files, terminal
from engine.config import Config
from engine.drawing import training_grids
from engine.latent import prior_cache
from engine.runs import options, trained_model
from engine.training.run import Run

NEW = ("--dataset", "drawn", "--devices", 1)


def error(capsys: pytest.CaptureFixture) -> str:
    """What stands on stderr: one line."""
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1, err
    return err


# --- whose it is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [[], ["--fresh"]], ids=["", "fresh"])
def test_what_no_run_wrote_and_what_another_process_writes_to_is_refused(fresh, run, tmp_path, quick_steps, capsys):
    foreign, before = tmp_path / "foreign", listing(run)
    foreign.mkdir()
    (foreign / "config.json").write_text('{"architectures": ["BertModel"]}')
    assert go(*NEW, "--steps", 1, "--out", foreign, *fresh) == 1
    err = error(capsys)
    assert str(foreign) in err and "choose another" in err
    assert [path.name for path in foreign.iterdir()] == ["config.json"], "not even a lock file"
    with files.lock(run):
        assert go(*DRAWN, "--steps", 80, "--out", run, *fresh) == 1
    assert "another run is writing to" in error(capsys) and listing(run) == before


def test_fresh_and_reload_of_the_run_that_is_moved(run, tiny_run, quick_steps, monkeypatch, capsys):
    """However its path is written: relative, absolute, by one of its files."""
    old = trained_model.load(run).model.get_weights()
    monkeypatch.chdir(run)
    flags = [*NEW, "--steps", 1, "--fresh"]
    assert go(*flags, "--reload", run / "model.ckpt-60.index", "--out", ".") == 0
    assert "is now in previous-1" in capsys.readouterr().out and steps(run) == [1, 0]
    assert listing(run / "previous-1") == listing(tiny_run)
    for before, after in zip(old, trained_model.load(run).model.get_weights(), strict=True):
        np.testing.assert_allclose(before, after, atol=1.1e-5)  # a step moves them by 1e-5
    assert go(*flags, "--reload", "model.ckpt-9", "--out", run) == 1
    assert "no such checkpoint" in error(capsys) and not (run / "previous-2").exists(), "nothing was moved"


# --- what is resumed from it -------------------------------------------------------------------------------------


def test_reload_is_asked_for_once(run, tmp_path, quick_steps, capsys):
    new, start = tmp_path / "new", tmp_path / "start"
    shutil.copytree(run, start)
    flags = [*NEW, "--out", new, "-r", "1e-3", "--steps"]
    assert go(*flags, 1, "--reload", start / "model.ckpt-60") == 0
    shutil.rmtree(start)  # what was started from it does not need it any more
    assert go(*flags, 2, "--reload", start / "model.ckpt-60") == 0
    assert go("--steps", 3, "--devices", 1, "--out", new) == 0
    assert Config.read(new).reload == str(start / "model.ckpt-60")
    assert go(*flags, 4, "--reload", run / "model.ckpt-60") == 1
    assert "reload '" in error(capsys)


def test_what_is_not_given_comes_from_the_run_to_resume(digits, tmp_path, quick_steps, monkeypatch, capsys):
    """Whatever defaults a later version has; only what is given and differs is refused."""
    settings = "--channels 3 --latent-dim 5 -b 32 -r 1e-3 --schedule cosine --seed 3 --width 2 --likelihood gaussian"
    assert go(*digits, *settings.split(), "--balance", "--steps", 2, "--out", tmp_path) == 0
    before, content = Config.read(tmp_path), listing(tmp_path)
    monkeypatch.setattr(options, "DEFAULTS", dict.fromkeys(options.DEFAULTS, 7))
    capsys.readouterr()
    assert go("--out", tmp_path) == 0
    said = capsys.readouterr().out
    assert "this run is finished: step 2 of 2" in said and Config.read(tmp_path) == before
    assert "--fresh" in said and "a larger --steps" not in said, "a cosine that has ended has no larger --steps"
    assert before.reload is None and (before.latent_dim, before.batch_size, before.decay_steps) == (5, 32, 2)
    assert listing(tmp_path) == content, "a finished run logs nothing more"
    assert go("--latent-dim", 6, "--seed", 3, "--out", tmp_path) == 1
    assert "other settings (latent_dim 5 → 6): leave them out" in error(capsys)
    assert go("--dataset", "drawn", "--out", tmp_path) == 1
    assert "dataset 'idx' → 'drawn'" in error(capsys) and listing(tmp_path) == content


def test_a_run_goes_on_with_the_replicas_that_it_was_begun_on(run, quick_steps, capsys):
    assert Config.read(run).replicas == 1
    begun = dataclasses.replace(Config.read(run), replicas=2)
    begun.write(run)
    assert go("--dataset", "drawn", "--steps", 60, "--out", run) == 0 and "on 2 CPUs, 32" in capsys.readouterr().out
    assert go(*NEW, "--steps", 60, "--out", run) == 0
    said = capsys.readouterr().out
    assert "begun on 2 replicas, now 1: the same results but for rounding" in said and "a larger --steps" in said
    assert Config.read(run) == begun and Config.read(run).replicas == 2


# --- moved, removed, filled --------------------------------------------------------------------------------------

FATES = {  # what becomes of a run's folder while a process is at work on it
    "moved": lambda out, other: out.rename(out.with_name("moved")),
    "removed": lambda out, other: shutil.rmtree(out),
    "empty": lambda out, other: (shutil.rmtree(out), out.mkdir()),
    "another": lambda out, other: (shutil.rmtree(out), shutil.copytree(other, out)),
}
CASES = [  # train.py's steps, a fate, and what is about to be called when it comes
    (62, "removed", training_grids, "write_real"),
    (62, "moved", Run, "advance"),
    (62, "another", terminal, "say"),  # just before the checkpoint
    (60, "empty", prior_cache, "fit"),
]


@pytest.mark.parametrize(("count", "fate", "owner", "name"), CASES)
def test_not_a_byte_is_written_into_what_takes_a_runs_place(
    count, fate, owner, name, run, tiny_run, tmp_path, request, monkeypatch, capfd
):
    if count > 60:
        request.getfixturevalue("quick_steps")
    if name == "fit":
        (run / "prior.npz").unlink()
    other = Path(shutil.copytree(tiny_run, tmp_path / "other"))
    (other / "config.json").write_text((run / "config.json").read_text().replace('"seed": 0', '"seed": 1'))
    real, after = getattr(owner, name), []

    def call(*args: object, **kwargs: object) -> object:
        if not after:
            FATES[fate](run, other)
            after.append(listing(run))
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)
    assert go(*DRAWN, "--steps", count, "--save-every", 1, "--out", run) == 1
    gc.collect()  # the event log's last words
    err = capfd.readouterr().err
    assert len(err.splitlines()) == 1 and str(run) in err and "moved" in err
    assert [listing(run)] == after and run.exists() == (fate not in ("removed", "moved"))
