"""Checkpoints: written before older ones go, and whatever byte of them changes, the same numbers or Damaged."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers import listing, settings, steps

from engine import files
from engine.runs import checkpoints
from engine.terminal import Failure
from model import CVAE

DATA, INDEX = "model.ckpt-60.data-00000-of-00001", "model.ckpt-60.index"


@pytest.fixture(scope="module")
def net() -> CVAE:
    return CVAE(**settings().architecture)


@pytest.fixture(scope="module")
def saved(net: CVAE, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of `net`. To be read, not written to."""
    folder = tmp_path_factory.mktemp("saved")
    checkpoints.save(tf.train.Checkpoint(model=checkpoints.trackable(net)), folder, 60)
    return folder


def test_the_newest_is_the_one_of_the_highest_step(tmp_path: Path):
    for name in ("9", "10", "100000", "99999", "x", "7.old", "-1"):
        (tmp_path / f"model.ckpt-{name}.index").touch()
    assert steps(tmp_path) == [100000, 99999, 10, 9]


def test_the_newest_five_are_kept_and_of_an_old_one_the_index_goes_first(tmp_path: Path, monkeypatch):
    """When a checkpoint is on the disk, tests/runs/test_power_cut.py says."""
    removed, unlink = [], Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **more: (removed.append(path.name), unlink(path, **more)))
    for step in range(7):
        checkpoints.save(tf.train.Checkpoint(step=tf.Variable(0)), tmp_path, step)
    assert steps(tmp_path) == [6, 5, 4, 3, 2] and len(listing(tmp_path)) == 10
    assert removed == [f"model.ckpt-{step}.{end}" for step in (0, 1) for end in ("index", "data-00000-of-00001")]


def test_every_flipped_byte_is_seen(net: CVAE, saved: Path, tmp_path: Path):
    """Whatever byte changes, a restore gives the very same numbers or says Damaged."""
    state, rng = tf.train.Checkpoint(model=checkpoints.trackable(net)), np.random.default_rng(3)
    weights = [w.numpy().tobytes() for w in net.weights]
    size = {DATA: sum(map(len, weights)), INDEX: (saved / INDEX).stat().st_size}  # the data begin with the weights
    seen = 0
    for name in 20 * (DATA, INDEX):
        shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
        content = bytearray((saved / name).read_bytes())
        content[int(rng.integers(size[name]))] ^= 0x10
        (tmp_path / name).write_bytes(content)
        try:
            checkpoints.restore(state, str(tmp_path / "model.ckpt-60"), net)
            assert [w.numpy().tobytes() for w in net.weights] == weights, name
        except checkpoints.Damaged:
            seen += 1
    assert seen > 33
    checkpoints.restore(state, str(saved / "model.ckpt-60"), net)


def test_another_architecture_is_named_by_its_first_difference_and_weights_alone_are_no_training_state(net, saved):
    other = CVAE(**settings(latent_dim=21).architecture)
    for model, more, why in (
        (other, {}, r"of another architecture: a/bias is \(20,\) there and \(21,\) here"),
        (net, {"step": tf.Variable(0, dtype=tf.int64)}, "written by another version"),
    ):
        state = tf.train.Checkpoint(model=checkpoints.trackable(model), **more)
        with pytest.raises(Failure, match=why):
            checkpoints.restore(state, str(saved / "model.ckpt-60"), model)


def test_a_path_that_tensorflow_takes_for_a_pattern_is_refused_in_words(net: CVAE, saved: Path, tmp_path: Path):
    folder = shutil.copytree(saved, tmp_path / "a[1]")
    state = tf.train.Checkpoint(model=checkpoints.trackable(net))
    with pytest.raises(Failure, match="move it to a path without them"):
        checkpoints.restore(state, str(folder / "model.ckpt-60"), net)


def test_a_damaged_checkpoint_is_set_aside_as_it_is(saved: Path, tmp_path: Path):
    shutil.copytree(saved, tmp_path / "run")
    files.move(checkpoints.files_of(str(tmp_path / "run" / "model.ckpt-60")), tmp_path / "run" / "damaged")
    assert listing(tmp_path / "run" / "damaged") == listing(saved) and not steps(tmp_path / "run")


def test_a_file_shorter_than_its_index_says_takes_no_memory(net: CVAE, saved: Path, tmp_path: Path):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    os.truncate(tmp_path / DATA, 9)
    with pytest.raises(checkpoints.Damaged, match="names more numbers than its files have bytes"):
        checkpoints.restore(tf.train.Checkpoint(model=checkpoints.trackable(net)), str(tmp_path / "model.ckpt-60"), net)
