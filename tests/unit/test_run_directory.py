"""A run's folder: what no run wrote is refused and never moved; what killed processes left goes."""

import os
import shutil
import time
from pathlib import Path

import pytest
from helpers import listing, settings

from engine import files
from engine.config import Config
from engine.runs import directory
from engine.terminal import Failure

FOREIGN = {  # name of the only file in a folder, and its content
    "config.json": b'{"architectures": ["BertModel"]}',  # not of a run
    "model.ckpt-3.index": b"index",
    "checkpoint": b'model_checkpoint_path: "model.ckpt-3"',  # TensorFlow's list
    "images/img_1.png": b"cat",
    "logs/events.out.tfevents.1": b"events",
    "fake1.png": b"cat",
}
RUN = """model.ckpt-0.index model.ckpt-0.data-00000-of-00001 images/img_000000_fake1.png images/img_000020_real.png
fake1.png fake2.png fake1_label_prior.png training.gif prior.npz explorer.html metrics.json label_7.png
evaluation/swap.png logs/events.out.tfevents.1 damaged/model.ckpt-7.index""".split()


def put(folder: Path, content: dict[str, bytes]) -> Path:
    for name, some in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(some)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of a run; only config.json holds what its name says."""
    folder = put(tmp_path / "run", {name: name.encode() for name in RUN})
    settings().write(folder)
    return folder


@pytest.mark.parametrize("name", FOREIGN)
def test_what_no_run_wrote_is_refused_and_untouched(name: str, tmp_path: Path):
    out = put(tmp_path / "own", {name: FOREIGN[name]})
    with pytest.raises(Failure, match=f"{out}.*choose another"):
        directory.refuse_foreign(out, settings())
    assert listing(out) == {name: FOREIGN[name]}


def test_a_folder_with_other_things_may_become_a_run(tmp_path: Path):
    own = dict.fromkeys(("notes.txt", ".lock", "judge-0.npz", "sub/config.json"), b"own")
    own |= {"label_7.png": b"3", "evaluation/misread.png": b"4"}  # by generate.py and evaluate.py, of the shipped run
    out = put(tmp_path / "out", own)
    directory.refuse_foreign(out, settings())
    assert listing(out) | {".lock": b"own"} == own


def test_metrics_of_another_run_are_not_inherited_and_damaged_ones_are_kept_aside(tmp_path: Path):
    first, other = settings(), settings(seed=1)
    put(tmp_path, {"metrics.json": b"half"})
    directory.merge_metrics(tmp_path, first, {"evaluate": {"config": first.digest}, "notes": {"by": "the user"}})
    directory.merge_metrics(tmp_path, other, {"test": {"config": other.digest}})
    assert files.read_json(tmp_path / "metrics.json") == {"notes": {"by": "the user"}, "test": {"config": other.digest}}
    directory.merge_metrics(tmp_path, other, {"evaluate": {"config": other.digest}})
    assert files.read_json(tmp_path / "metrics.json").keys() == {"notes", "test", "evaluate"}
    assert (tmp_path / "damaged" / "metrics.json").read_bytes() == b"half"


def test_the_folder_of_the_pictures_is_refused(tmp_path: Path):
    for out in tmp_path, tmp_path / "disc" / "deep" / "run":
        with pytest.raises(Failure, match="is in the folder of the pictures"):
            directory.refuse_foreign(out, settings(dataset="folder", data_dir=str(tmp_path)))
    directory.refuse_foreign(tmp_path, settings(dataset="idx", data_dir=str(tmp_path)))


def test_fresh_moves_no_file_of_somebody_elses_and_no_run_inside(folder: Path, tmp_path: Path):
    before = listing(folder)
    own = {"images/cat.png", "logs/notes.txt", "photo.png", "fake1.png.bak", "images/img_000020_real.png.orig"}
    own |= {"prior.npz2", "evaluation/plan.txt", "sub/model.ckpt-1.index", "previous-1/x"}
    put(folder, dict.fromkeys(own, b"own"))
    aside = directory.move_aside(folder)
    assert aside == folder / "previous-2" and listing(aside) == before
    left = {name: content for name, content in listing(folder).items() if not name.startswith("previous-2/")}
    assert left == dict.fromkeys(own, b"own")
    assert directory.move_aside(folder) is None
    settings().write(folder)
    inner = listing(put(folder / "evaluation", {"config.json": b"{}", "swap.png": b"of the run inside"}))
    directory.move_aside(folder)
    assert listing(folder / "evaluation") == inner


def test_killed_while_moving_aside_it_is_still_a_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Killed before any of its moves: what is left can still be recognised as a run's, and taken over."""
    before, real = listing(folder), os.rename
    for most in range(len(before)):
        run, moved = Path(shutil.copytree(folder, tmp_path / f"run{most}")), []

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
        assert listing(run / "previous-1") | listing(run / "previous-2") == before


def test_what_a_killed_process_left_is_removed(folder: Path):
    for name in ("own.partial", ".own", ".label_7.png.host.1.partial"):  # the last: a living process is writing it
        (folder / name).write_text("own")
    before = listing(folder)
    old = [f"{place}.a.png.host.2.partial" for place in ("", "images/", "evaluation/", "logs/", "damaged/")]
    old += ["model.ckpt-70.data-00000-of-00001", "model.ckpt-70_temp/part-00000-of-00001.data-00000-of-00001"]
    old += [".saved.host.2.partial/variables/variables.index", "checkpoint"]
    put(folder, dict.fromkeys(old, b"half"))
    for path in (*folder.rglob(".*.host.2.partial"), folder / ".own"):
        os.utime(path, (time.time() - 3700,) * 2)
    directory.remove_leftovers(folder)
    assert listing(folder) == before and not list(folder.glob("*_temp")) and not list(folder.glob(".saved*"))
