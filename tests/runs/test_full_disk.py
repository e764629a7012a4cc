"""No room left on the disk: one line that names the file, and what was there is as it was."""

import errno
from pathlib import Path

import pytest
from helpers import DRAWN, call, check_whole, go, is_one_line, listing, small_files, steps

import evaluate
from engine import files


@pytest.mark.parametrize("size", [2_000, 400_000])  # too small for a picture; for a checkpoint
def test_training_stops_and_goes_on_once_there_is_room(size, run, quick_steps):
    before = listing(run)
    words = [*DRAWN, "--steps", 80, "--out", run]
    with small_files(size):
        failed = call("train", *words)
    assert failed.status == 1 and is_one_line(failed.err)
    assert steps(run)[-4:] == [60, 40, 20, 0] and all(listing(run)[n] == before[n] for n in before if "ckpt" in n)
    check_whole(run)
    assert go(*words) == 0 and steps(run) == [80, 60, 40, 20, 0]
    assert not [p for p in run.rglob("*") if p.name.endswith((files.PARTIAL, "_temp", "_tmp"))]


WRITERS = (
    "generate --label 7 --out new/7.png",
    "generate --label 7 --interpolate 2 --animate --out new/7.gif",
    "generate --page new/page.html",
    "generate --npz new/set.npz --count 6",
    "generate --idx new/set --count 6",
    "generate --each new/each --label 7 --count 2",
    "generate --savedmodel new/saved",
    "evaluate --quick",
)


@pytest.mark.parametrize("command", WRITERS)
def test_no_room_for(command, run, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "measure", lambda *_: {})
    words = [str(tmp_path / word) if word.startswith("new/") else word for word in command.split()]
    before = listing(tmp_path)
    with small_files(0):
        status, _, err = call(*words, "--run", run)
    assert status == 1 and is_one_line(err) and "File too large" in err and ("new/" in err or str(run) in err), err
    assert listing(tmp_path) == before and not list(tmp_path.rglob("*.partial"))


def test_no_room_for_the_third_idx_file(run, tmp_path, monkeypatch):
    """Two of the four would be in the way of the next attempt."""
    real, written = Path.write_bytes, []

    def write(path: Path, content: bytes) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        real(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)
    failed = call("generate", "--run", run, "--idx", tmp_path / "set", "--count", 6, "--prior", "standard")
    assert failed.status == 1 and "No space left" in failed.err
    assert written and not (tmp_path / "set").exists()
