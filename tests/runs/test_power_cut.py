"""A power cut between and within any two writes of a run."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from helpers import go, tensors

import train
from engine.config import Config
from engine.runs import checkpoints, options
from engine.training import devices
from engine.training.run import Run
from model import CVAE

STEPS = 3
READ = ("config.json", "checkpoint", "model.ckpt-")  # by a restore
State = dict[str, bytes]  # the files of a folder, by their names in it


class Disk:
    """Looks at a folder after each thing that is done in it, and says what a power cut then may leave of it.

    The disk holds for certain what was synced: of a file its content, of a folder its names. Whatever else is there may
    have reached it or not, in any order; a file's content whole, in part, or not at all.

    Attributes:
        states: all that may be left, each with the step that must not be lost then (−1 before the first save); once
            where they differ in nothing that a restore reads.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.safe, self.states = folder, -1, []
        self.open: dict[int, int] = {}  # files by number; open, so that no other gets it
        self.synced: dict[int, bytes] = {}
        self.names: dict[str, int] = {}  # that were synced
        self.seen: set[int] = set()  # hashes of the states
        for module, name in ((os, "replace"), (os, "rename"), (os, "unlink"), (os, "mkdir")):
            self.watch(patch, module, name, self.look)
        self.watch(patch, checkpoints, "save", self.saved)
        self.watch(patch, os, "fsync", self.sync)
        self.watch(patch, tf.train.Checkpoint, "write", self.within_a_save)

    def watch(self, patch: pytest.MonkeyPatch, module: object, name: str, after: Callable) -> None:
        real = getattr(module, name)

        def watched(*args: object, **kwargs: object) -> object:
            result = real(*args, **kwargs)
            after(*args)
            return result

        patch.setattr(module, name, watched)

    def saved(self, state: object, folder: Path, step: int) -> None:
        self.look()
        self.safe = step

    def sync(self, number: int) -> None:
        self.look()
        number = os.fstat(number).st_ino
        if number in self.open:
            self.synced[number] = self.content(number)
        for place in (self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())):
            if place.stat().st_ino == number:
                inside = {name: n for name, n in self.now().items() if (self.folder / name).parent == place}
                kept = {name: n for name, n in self.names.items() if (self.folder / name).parent != place}
                self.names = kept | inside
        self.look()

    def close(self) -> None:
        for number in self.open.values():
            os.close(number)

    def content(self, number: int) -> bytes:
        return os.pread(self.open[number], os.fstat(self.open[number]).st_size, 0)

    def now(self) -> dict[str, int]:
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.name != ".lock"]
        numbers = {str(path.relative_to(self.folder)): path.stat().st_ino for path in files}
        for name, number in numbers.items():
            if number not in self.open:
                self.open[number] = os.open(self.folder / name, os.O_RDONLY)
        return numbers

    def look(self, *_: object) -> None:
        now = self.now()
        content = {number: self.content(number) for number in now.values()}
        unsure = {number for number in content if self.synced.get(number) != content[number]}
        for part in (1, 0.5, 0):  # killed; cut off within what was written last; nothing but names
            cut = {n: whole[: int(part * len(whole))] if n in unsure else whole for n, whole in content.items()}
            self.add({name: cut[number] for name, number in now.items()})
        certain = {name: self.synced.get(number, b"") for name, number in self.names.items()}
        self.add(certain)
        self.add({name: part for name, part in certain.items() if name in now})  # what was removed is gone already

    def within_a_save(self, *_: object) -> None:
        """TensorFlow renames the data and then writes the index in place: both are there now."""
        self.look()
        now = {name: self.content(number) for name, number in self.now().items()}
        index = max((name for name in now if name.endswith(".index")), key=lambda name: checkpoints.step_of(name[:-6]))
        rest = {name: part for name, part in now.items() if name != index}
        self.add(rest)
        self.add(rest | {index: b""})
        self.add(rest | {index: now[index][: len(now[index]) // 2]})
        data_file = index[:-6] + ".data-00000-of-00001"
        part = rest.pop(data_file)
        self.add(rest | {f"{index[:-6]}_temp/part-00000-of-00001.data-00000-of-00001": part[: len(part) // 2]})

    def add(self, state: State) -> None:
        read = sorted((name, hash(part)) for name, part in state.items() if name.startswith(READ))
        key = hash((self.safe, *read))
        if key not in self.seen:
            self.seen.add(key)
            self.states.append((state, self.safe))


def everything(folder: Path, step: int) -> dict[str, bytes]:
    """All numbers of a checkpoint."""
    return {name: value.tobytes() for name, value in tensors(str(folder / f"model.ckpt-{step}")).items()}


def put(state: State, folder: Path) -> Path:
    for name, content in state.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_power_cut_between_and_within_any_two_writes(digits, tmp_path, quick_steps, monkeypatch):
    """Whatever it leaves: the newest step that was said to be saved is there, or a later one, with the same bits; and
    from one of them training goes on to the same end."""
    monkeypatch.setattr(checkpoints, "KEEP", 2)  # of a few steps, so that some checkpoints are removed
    whole, saved, words = tmp_path / "whole", {}, [*digits, "--save-every", "1", "--steps", str(STEPS), "--out"]
    with monkeypatch.context() as patch:
        disk = Disk(whole, patch)
        disk.watch(patch, checkpoints, "save", lambda state, _, step: saved.update({step: everything(whole, step)}))
        assert go(*words, whole) == 0
    disk.close()
    assert list(saved) == list(range(STEPS + 1)) and len(disk.states) > 35
    assert any(state.get("model.ckpt-2.index") == b"" for state, _ in disk.states), "among them an index that is empty"

    args = train.parse([*words, str(whole)])
    options.fill_in(args, None)
    settings, strategy = Config.read(whole), devices.strategy(1, args.batch_size)
    with strategy.scope():
        model = CVAE(**settings.architecture)
        optimizer = keras.optimizers.Adam(2e-3, epsilon=1e-8)
        optimizer.build(model.trainable_variables)
    for i, (state, safe) in enumerate(disk.states):
        args.out = put({name: part for name, part in state.items() if name.startswith(READ)}, tmp_path / f"{i}")
        with Run.begin(args, settings) as run:
            run.restore(strategy, model, optimizer)
        assert run.saved >= safe, f"{i}: step {safe} was saved, and {run.saved} is what is left"
        if run.saved >= 0:
            assert everything(args.out, run.saved) == saved[run.saved], f"{i}: other bits at step {run.saved}"
    out = put(random.Random(0).choice(disk.states)[0], tmp_path / "again")
    assert go(*words, out) == 0
    assert everything(out, STEPS) == saved[STEPS]
