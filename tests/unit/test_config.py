"""A run's settings: which of them define it, how older versions wrote them, and train.py's options."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import settings

import data
import train
from engine.config import Config
from engine.runs.options import config_for, fill_in
from engine.terminal import Failure

# What 93d9e05 wrote: with a precision, which is no setting any more.
OLDER = {"dataset": "mnist", "fingerprint": "c655", "image_shape": [28, 28, 1], "num_labels": 10, "latent_dim": 20}
OLDER |= {"batch_size": 256, "learn_rate": 0.004, "schedule": "cosine", "decay_steps": 60000, "precision": "float32"}
OLDER |= {"seed": 0, "reload": None, "data_dir": ""}


def digest_of(settings: object) -> str:
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


def test_where_the_data_came_from_does_not_count():
    config, moved = settings(), settings(data_dir="/elsewhere")
    assert moved == config and moved.digest == config.digest and not config.differences(moved)
    other = settings(seed=1, latent_dim=3)
    assert other != config and other.digest != config.digest
    assert config.differences(other) == ["latent_dim 20 → 3", "seed 0 → 1"]


def test_what_changed_in_a_folder_of_pictures_is_said():
    before, less, other = (
        settings(dataset="folder", num_labels=2, label_names=("disc", "frame"), label_counts=counts, fingerprint=digest)
        for counts, digest in (((36, 36), "a"), ((35, 36), "b"), ((36, 36), "c"))
    )
    assert before.differences(less)[-1] == "pictures of disc 36 → 35"
    assert before.differences(other)[-1] == "as many pictures, but not the same"


def test_an_older_config_is_read_and_its_results_still_count(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(OLDER))
    older = Config.read(tmp_path)
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    later = vars(older).keys() - OLDER.keys() - {"digits"}
    assert later and {name: getattr(older, name) for name in later} == {name: defaults[name] for name in later}
    first = {key: value for key, value in OLDER.items() if key not in ("precision", "data_dir")}
    wider = dataclasses.replace(older, width=2)
    assert older.matches(digest_of(first)) and older.matches(older.digest)
    assert wider.matches(digest_of(first | {"width": 2})) and not wider.matches(digest_of(first))
    assert not older.matches(wider.digest) and not older.matches("")
    older.write(tmp_path)
    assert Config.read(tmp_path) == older


@pytest.mark.parametrize("key", ["seed", "fingerprint", "image_shape"])
def test_a_config_without_a_setting_is_refused_by_its_name(key: str, tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in OLDER.items() if k != key}))
    with pytest.raises(Failure, match=key):
        Config.read(tmp_path)


def test_a_field_at_its_default_is_not_in_the_digest(tmp_path: Path):
    """So a field that a later version adds keeps the digests of before, and their order does not matter."""
    (tmp_path / "config.json").write_text(json.dumps(OLDER))
    changed = ["batch_size", "dataset", "decay_steps", "fingerprint", "image_shape", "latent_dim", "learn_rate"]
    changed += ["num_labels", "schedule", "seed"]
    assert Config.read(tmp_path).digest == digest_of([[name, OLDER[name]] for name in changed])


@pytest.mark.parametrize(("names", "good"), [("abcdefghij", True), ("abcdefghii", False), ("abc", False), ("", True)])
def test_a_name_for_every_label_and_no_two_the_same(names: str, good: bool, tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(OLDER | {"label_names": list(names)}))
    with contextlib.nullcontext() if good else pytest.raises(Failure, match="label_names"):
        assert len(Config.read(tmp_path).names) == 10


@pytest.mark.parametrize(
    ("name", "shape", "flags", "expected"),
    [  # stages, width, likelihood, learn_rate, decay_steps
        ("mnist", (28, 28, 1), "", (2, 1, "bernoulli", 0.002, 0)),
        ("mnist", (28, 28, 3), "--schedule cosine --steps 70 -r 4e-3", (2, 1, "bernoulli", 0.004, 70)),
        ("folder", (64, 64, 3), "", (3, 1, "gaussian", 0.0011, 0)),
        ("folder", (64, 64, 3), "-r 1e-3 --width 2 --likelihood bernoulli", (3, 2, "bernoulli", 0.001, 0)),
        ("folder", (128, 128, 1), "", (4, 1, "bernoulli", 0.00038, 0)),
        ("cifar10", (32, 32, 3), "", (2, 1, "gaussian", 0.002, 0)),
    ],
)
def test_settings_suit_the_images_unless_somebody_chose(name: str, shape: tuple, flags: str, expected: tuple):
    split = data.Split(np.zeros((2, *shape), np.uint8), np.zeros(2, np.uint8))
    args = train.parse(flags.split())
    fill_in(args, None)
    config = config_for(args, data.Dataset(name, "", split, split, split, ""))
    chosen = config.stages, config.width, config.likelihood, config.learn_rate, config.decay_steps
    assert chosen == expected and config.architecture["seed"] == config.seed


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("mnist", (28, 28, 3), ("article", 20)),
        ("fashion_mnist", (28, 28, 1), ("article", 20)),
        ("folder", (28, 28, 3), ("pictures", 56)),
        ("folder", (64, 64, 3), ("pictures", 128)),
        ("folder", (64, 64, 1), ("article", 46)),
        ("folder", (128, 128, 3), ("pictures", 256)),
    ],
)
def test_own_pictures_in_colour_get_their_networks_and_latents_by_size(name: str, shape: tuple, expected: tuple):
    split = data.Split(np.zeros((2, *shape), np.uint8), np.zeros(2, np.uint8))
    dataset = data.Dataset(name, "", split, split, split, "")
    args, again = train.parse([]), train.parse([])
    fill_in(args, None)
    config = config_for(args, dataset)
    assert (config.networks, config.latent_dim) == expected
    older = dataclasses.replace(config, networks="article", width=2, latent_dim=20)
    fill_in(again, older)
    resumed = config_for(again, dataset, existing=older)
    assert (resumed.networks, resumed.width, resumed.latent_dim) == ("article", 2, 20), "an older run stays as it is"


def test_the_2017_flags_keep_working():
    for words in "--nBatch 32 --learnRate 1e-3 --saveFolder here --reload there", "-b 32 -r 1e-3 -s here -l there":
        args = train.parse(words.split())
        assert (args.batch_size, args.learn_rate, str(args.out), args.reload) == (32, 1e-3, "here", "there")


@pytest.mark.parametrize("name", ["run[1]", "run?", "r*"])
def test_a_folder_name_is_no_pattern(name: str, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit, match="2"):
        train.parse(["--dataset", "drawn", "--out", name])
    assert len(capsys.readouterr().err.splitlines()) == 1
