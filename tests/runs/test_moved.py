"""A run's folder that is moved, removed, filled or used by two at once while a process is at work on it."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import pytest
from helpers import DRAWN, Command, check_whole, go, listing, steps

import evaluate
import generate
from engine import files, terminal
from engine.drawing import sampling, training_grids
from engine.export.page import build
from engine.latent import prior_cache
from engine.runs import trained_model
from engine.training.run import Run


def test_two_runs_into_one_folder(run, capsys):
    before = listing(run)
    with files.lock(run):
        for more in ([], ["--fresh"]):
            assert go(*DRAWN, "--steps", 80, "--out", run, *more) == 1
            err = capsys.readouterr().err
            assert "another run is writing to" in err and len(err.splitlines()) == 1
    assert listing(run) == before


def test_two_that_fit_the_prior_and_make_the_page_of_a_run_leave_both_whole(digits, tmp_path, quick_steps):
    out = tmp_path / "run"
    assert go(*digits, "--steps", 1, "--out", out) == 0
    before = listing(out)
    for child in [Command("generate", "--page", "--fit-prior", "--run", out) for _ in range(2)]:
        status, said, err = child.finish()
        assert status == 0, said + err
    after = listing(out)
    assert after.keys() == before.keys() | {"prior.npz", "explorer.html"} and before.items() <= after.items()
    assert after["explorer.html"].endswith(b"</html>\n")
    prior_cache.read(trained_model.load(out))  # raises nothing


def test_a_moved_run_goes_on(run, tmp_path, quick_steps, capsys):
    there = tmp_path / "elsewhere" / "its new name"
    there.parent.mkdir()
    run.rename(there)
    assert go(*DRAWN, "--steps", 61, "--out", there) == 0
    assert "going on from step 60" in capsys.readouterr().out
    assert steps(there) == [61, 60, 40, 20, 0] and not run.exists()


def test_a_run_moved_away_while_it_trains(digits, tmp_path, quick_steps, monkeypatch, capsys):
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


def test_fresh_in_the_current_folder(run, tiny_run, quick_steps, monkeypatch, capsys):
    monkeypatch.chdir(run)
    assert go(*DRAWN, "--steps", 1, "--fresh", "--out", ".") == 0
    assert "is now in previous-1" in capsys.readouterr().out
    assert steps(run) == [1, 0] and listing(run / "previous-1") == listing(tiny_run)
    assert generate.main(["--label", "7", "--prior", "standard", "--run", "."]) == 0 and (run / "label_7.png").exists()


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


def check_untouched(fate: str, out: Path, after: list[dict], err: str) -> None:
    assert len(err.splitlines()) == 1 and str(out) in err
    assert "another run is in" in err if fate == "filled" else "moved" in err
    assert [listing(out)] == after and out.exists() == (fate != "removed")


@pytest.mark.parametrize(
    ("fate", "owner", "name"),
    [
        ("removed", training_grids, "write_real"),
        ("filled", Run, "advance"),
        ("another", terminal, "say"),  # just before the checkpoint
    ],
)
def test_a_run_made_anew_while_it_trains(
    fate, owner, name, digits, tiny_run, tmp_path, quick_steps, monkeypatch, capfd
):
    """Whenever it happens: one line, status 1, and not a byte into what is there now."""
    after = befall(fate, tmp_path / "run", tiny_run, owner, name, monkeypatch)
    assert go(*digits, "--steps", 2, "--save-every", 1, "--out", tmp_path / "run") == 1
    gc.collect()  # the event log's last words
    check_untouched(fate, tmp_path / "run", after, capfd.readouterr().err)


@pytest.mark.parametrize(("fate", "owner", "name"), [("empty", prior_cache, "fit"), ("filled", build, "_page")])
def test_a_run_made_anew_at_its_end(fate, owner, name, run, tiny_run, tmp_path, monkeypatch, capfd):
    other = Path(shutil.copytree(tiny_run, tmp_path / "other"))
    (other / "config.json").write_text((run / "config.json").read_text().replace('"seed": 0', '"seed": 1'))
    (run / "prior.npz").unlink()
    after = befall(fate, run, other, owner, name, monkeypatch)
    assert go(*DRAWN, "--steps", 60, "--out", run) == 1
    check_untouched(fate, run, after, capfd.readouterr().err)


@pytest.mark.parametrize(
    ("fate", "main", "words", "owner", "name"),
    [
        ("removed", generate.main, ["--label", "7", "--fit-prior"], prior_cache, "fit"),
        ("another", generate.main, ["--label", "7", "--fit-prior"], prior_cache, "fit"),
        ("another", generate.main, ["--label", "7"], sampling, "render"),
        ("removed", generate.main, ["--page"], build, "_page"),
        ("another", evaluate.main, ["--quick"], evaluate, "measure"),
    ],
)
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
