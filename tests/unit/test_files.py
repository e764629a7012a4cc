"""Files that are whole at every moment, and locks."""

import errno
import os
from pathlib import Path

import pytest
from helpers import listing

from engine import files
from engine.terminal import Failure


def test_moving_replaces_nothing(tmp_path: Path):
    for content in ("1", "2", "3"):
        (tmp_path / "a").write_text(content)
        files.move([tmp_path / "a"], tmp_path / "damaged")
    assert listing(tmp_path) == {"damaged/a": b"1", "damaged/a.1": b"2", "damaged/a.2": b"3"}


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, name, full)
    with pytest.raises(OSError) as error:
        files.write_json(path, {"new": 2})
    assert error.value.filename == str(path), "of a write, the system does not say it"
    assert listing(tmp_path) == {"a.json": b'{\n  "old": 1\n}\n'}


def test_a_file_is_whole_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """At each call that a write makes to the system, the name shows all of the old content or all of the new."""
    path, old, new, seen = tmp_path / "a.json", b'{\n  "a": 0\n}\n', b'{\n  "a": 1\n}\n', []
    files.write_json(path, {"a": 0})
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, real=real: (seen.append(path.read_bytes()), real(*args)))
    files.write_json(path, {"a": 1})
    assert seen == [old, old, new] and path.read_bytes() == new, "content to the disk, then the name, then the folder"


def test_a_folder_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(RuntimeError), files.whole(tmp_path / "saved") as partial:
        partial.mkdir()
        (partial / "half").write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    synced, real_sync, real_rename = set(), os.fsync, os.replace

    def rename(source: Path, target: Path) -> None:
        assert {path.stat().st_ino for path in (source, *source.rglob("*"))} <= synced, "the content before the name"
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", lambda number: (real_sync(number), synced.add(os.fstat(number).st_ino)))
    monkeypatch.setattr(os, "replace", rename)
    with files.whole(tmp_path / "saved") as partial:
        partial.mkdir()
        (partial / "all").write_text("all")
        assert not (tmp_path / "saved").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["saved", "all"]


def test_two_processes_that_write_one_file_leave_it_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "prior.npz"
    with files.whole(path) as partial:
        partial.write_text("ours")
        monkeypatch.setattr(os, "getpid", lambda: 1)
        with files.whole(path) as other:
            other.write_text("theirs")
        assert path.read_text() == "theirs"
    assert path.read_text() == "ours" and os.listdir(tmp_path) == ["prior.npz"]


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path):
    (tmp_path / ".lock").write_text("somebody's")
    with files.lock(tmp_path):
        with pytest.raises(Failure, match="another run is writing to"), files.lock(tmp_path):
            pass
        files.check_held(tmp_path / "a")
    with files.lock(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == "somebody's"
    with pytest.raises(Failure, match="choose another folder with --out"), files.lock(tmp_path / ".lock" / "run"):
        pass


def test_a_file_system_without_locks_gets_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with files.lock(tmp_path / "run"):
        said = capsys.readouterr().out
    assert f"no lock on {tmp_path / 'run'} (No locks available): do not start a second run there" in said


@pytest.mark.parametrize("anew", [False, True])
def test_an_owner_whose_folder_is_gone_or_another_is_told(anew: bool, tmp_path: Path):
    folder = tmp_path / "run"
    with files.lock(folder):
        folder.rename(tmp_path / "moved")
        if anew:
            folder.mkdir()
            (folder / ".lock").touch()
        with pytest.raises(Failure, match="moved, removed or made anew"), files.whole(folder / "a.json"):
            pass
    assert folder.exists() == anew


def test_a_user_without_a_home_has_a_cache_for_temporary_files(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a number that names no user
    assert files.user_cache().is_absolute()
