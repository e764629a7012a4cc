"""What differs on Windows, simulated: no flock, fewer signals, folders that cannot be synced, open files that stay."""

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import call, flowers, go, numbered

from engine import files

if not Path("/proc/self/maps").exists():
    pytest.skip("needs Linux' list of open files", allow_module_level=True)


def check_closed(path: object) -> None:
    """As Windows does, refuse to move or delete what this process has open or mapped, and folders that hold it."""
    real_path = os.path.realpath(path)
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    maps = Path("/proc/self/maps").read_text().splitlines()
    mapped = [line.split(maxsplit=5)[5].strip() for line in maps if "/" in line]
    for name in [*(os.path.realpath(link) for link in links), *mapped]:
        if name == real_path or name.startswith(real_path + os.sep):
            raise PermissionError(13, "The process cannot access the file because it is being used", str(path))


def checked(real: Callable[..., None], path: object, *args: object, **options: object) -> None:
    if "dir_fd" not in options and not os.path.basename(path).startswith("tmp"):  # Windows deletes those by itself
        check_closed(path)
    real(path, *args, **options)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rename", "replace", "unlink", "remove"):
        monkeypatch.setattr(os, name, functools.partial(checked, getattr(os, name)))

    def open_file(path: object, *args: object, real=os.open, **options: object) -> int:
        if os.path.isdir(path) and "dir_fd" not in options:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.delattr(os, "sched_getaffinity")
    for name in ("SIGHUP", "SIGUSR1", "SIGPIPE"):
        monkeypatch.delattr(signal, name)


def test_own_pictures_are_trained_resumed_changed_and_drawn(windows: None, quick_finish: None, tmp_path: Path):
    root, out = flowers(tmp_path / "flowers"), tmp_path / "run"
    words = ["--data-dir", root, "--out", out, "--devices", "1", "--latent-dim", "4", "-b", "8", "--save-every", "2"]
    assert go(*words, "--steps", 4) == go(*words, "--steps", 6) == 0
    numbered(99).save(root / "rose" / "more.png")
    assert go(*words, "--steps", 2, "--fresh") == 0 and (out / "previous-1" / "config.json").exists()
    for extra in (
        ["--page"],
        ["--npz", tmp_path / "set.npz"],
        ["--savedmodel", tmp_path / "saved"],
        ["--label", "rose"],
    ):
        assert call("generate", "--run", out, *extra).status == 0, extra
