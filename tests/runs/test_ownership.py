"""A run's settings: what is not given comes from the run to resume, and what it says can be followed."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from helpers import go, listing

from engine.config import Config
from engine.runs import options, trained_model

pytestmark = pytest.mark.usefixtures("few_digits", "quick_steps")
NEW = ("--dataset", "drawn", "--devices", 1)


@pytest.mark.parametrize("fresh", [[], ["--fresh"]], ids=["", "fresh"])
def test_what_no_run_wrote_is_refused_and_untouched(fresh, tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    assert go(*NEW, "--steps", 1, "--out", tmp_path, *fresh) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and str(tmp_path) in err and "choose another" in err
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"], "not even a lock file"


def test_fresh_and_reload_of_the_run_that_is_moved(run, monkeypatch, capsys):
    """However its path is written: relative, absolute, by one of its files."""
    old = trained_model.load(run).model.get_weights()
    monkeypatch.chdir(run.parent)
    flags = [*NEW, "--steps", 1, "--fresh"]
    assert go(*flags, "--reload", "./run/model.ckpt-60.index", "--out", run) == 0
    loaded = trained_model.load(run)
    for before, after in zip(old, loaded.model.get_weights(), strict=True):
        np.testing.assert_allclose(before, after, atol=1.1e-5)  # a step moves them by 1e-5
    assert loaded.step == 1
    assert go(*flags, "--reload", "run/model.ckpt-9", "--out", run) == 1
    assert "no such checkpoint" in capsys.readouterr().err and not (run / "previous-2").exists(), "nothing was moved"


def test_reload_is_asked_for_once(run, tmp_path, capsys):
    new, start = tmp_path / "new", tmp_path / "start"
    shutil.copytree(run, start)
    flags = [*NEW, "--out", new, "-r", "1e-3", "--steps"]
    assert go(*flags, 1, "--reload", start / "model.ckpt-60") == 0
    shutil.rmtree(start)  # what was started from it does not need it any more
    assert go(*flags, 2, "--reload", start / "model.ckpt-60") == 0
    assert go("--steps", 3, "--devices", 1, "--out", new) == 0
    assert Config.read(new).reload == str(start / "model.ckpt-60")
    assert go(*flags, 4, "--reload", run / "model.ckpt-60") == 1
    assert "reload '" in capsys.readouterr().err


def test_what_is_not_given_comes_from_the_run_to_resume(digits, tmp_path, monkeypatch, capsys):
    """Whatever defaults a later version has; only what is given and differs is refused."""
    settings = "--channels 3 --latent-dim 5 -b 32 -r 1e-3 --schedule cosine --seed 3 --width 2 --likelihood gaussian"
    assert go(*digits, *settings.split(), "--balance", "--steps", 2, "--out", tmp_path) == 0
    before = Config.read(tmp_path)
    monkeypatch.setattr(options, "DEFAULTS", dict.fromkeys(options.DEFAULTS, 7))
    capsys.readouterr()
    assert go("--out", tmp_path) == 0
    assert "this run is finished: step 2 of 2" in capsys.readouterr().out and Config.read(tmp_path) == before
    assert before.reload is None and (before.latent_dim, before.batch_size, before.decay_steps) == (5, 32, 2)
    files = listing(tmp_path)
    assert go("--latent-dim", 6, "--seed", 3, "--out", tmp_path) == 1
    assert "other settings (latent_dim 5 → 6): leave them out" in capsys.readouterr().err
    assert go("--dataset", "drawn", "--out", tmp_path) == 1
    assert "dataset 'idx' → 'drawn'" in capsys.readouterr().err and listing(tmp_path) == files


def test_a_run_goes_on_with_the_replicas_that_it_was_begun_on(run, capsys):
    begun = dataclasses.replace(Config.read(run), replicas=2)
    begun.write(run)
    assert go("--dataset", "drawn", "--steps", 60, "--out", run) == 0 and "on 2 CPUs, 32" in capsys.readouterr().out
    assert go(*NEW, "--steps", 60, "--out", run) == 0
    assert "begun on 2 replicas, now 1: the same results but for rounding" in capsys.readouterr().out
    assert Config.read(run) == begun and Config.read(run).replicas == 2


def test_the_advice_can_be_followed(run, tmp_path, capsys):
    cosine = [*NEW, "--steps", 1, "--schedule", "cosine", "--out", tmp_path / "cosine"]
    assert go(*cosine) == 0 and Config.read(tmp_path / "cosine").replicas == 1
    for words, more in ([*NEW, "--steps", 60, "--out", run], True), (cosine, False):
        capsys.readouterr()
        assert go(*words) == 0
        said = capsys.readouterr().out
        assert "this run is finished" in said and "--fresh" in said
        assert ("a larger --steps" in said) == more, "a cosine that has ended has no larger --steps"
