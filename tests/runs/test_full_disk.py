"""No room left on the disk: one line that names the file, and what was there is as it was."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from helpers import DRAWN, check_whole, go, listing, small_files, steps

import evaluate
import generate
from engine import files, idx


@pytest.mark.parametrize("size", [2_000, 400_000])  # too small for a picture; for a checkpoint
def test_training_stops_and_goes_on_once_there_is_room(size, run, quick_steps, capsys):
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


def test_files_stay_bounded(digits, tmp_path, quick_steps):
    words = [*digits, "--save-every", 1, "--out", tmp_path]
    for end in (6, 8):  # a resumed run removes what an earlier process saved
        assert go(*words, "--steps", end) == 0
        assert steps(tmp_path) == [end, end - 1, end - 2, end - 3, end - 4]
    assert len(list(tmp_path.glob("model.ckpt-*"))) == 10
    assert go(*words, "--steps", 8) == 0
    assert len(list((tmp_path / "logs").iterdir())) == 2, "a finished run logs nothing more"


WRITERS = {
    "a grid": (generate.main, ["--label", "7", "--out", "new/7.png"]),
    "an animation": (generate.main, ["--label", "7", "--interpolate", "2", "--animate", "--out", "new/7.gif"]),
    "the label prior": (generate.main, ["--label", "7", "--fit-prior"]),
    "a page": (generate.main, ["--page", "new/page.html"]),
    "an archive": (generate.main, ["--npz", "new/set.npz", "--count", "6"]),
    "IDX files": (generate.main, ["--idx", "new/set", "--count", "6"]),
    "a file per image": (generate.main, ["--each", "new/each", "--label", "7", "--count", "2"]),
    "a SavedModel": (generate.main, ["--savedmodel", "new/saved"]),
    "an evaluation": (evaluate.main, ["--quick"]),
}


@pytest.mark.parametrize(("main", "words"), WRITERS.values(), ids=WRITERS)
def test_no_room_for(main, words, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "measure", lambda *_: {})
    words = [str(tmp_path / word) if word.startswith("new/") else word for word in words]
    before = listing(tmp_path)
    with small_files(0):
        assert main([*words, "--run", str(run)]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and "File too large" in err and ("new/" in err or str(run) in err), err
    assert listing(tmp_path) == before and not list(tmp_path.rglob("*.partial"))


def test_no_room_for_the_third_idx_file(run, tmp_path, monkeypatch, capsys):
    """Two of the four would be in the way of the next attempt."""
    real, written = idx.write, []

    def write(path: Path, *rest: object) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        real(path, *rest)

    monkeypatch.setattr(idx, "write", write)
    words = ["--run", str(run), "--idx", str(tmp_path / "set"), "--count", "6", "--prior", "standard"]
    assert generate.main(words) == 1 and "No space left" in capsys.readouterr().err
    assert written and not list((tmp_path / "set").iterdir())
