"""A run's settings: which of them define it, how older versions wrote them, and train.py's options."""

import dataclasses
import hashlib
import json
import math
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


def test_a_run_of_an_older_version_says_what_is_read_otherwise_now():
    before, now = settings(fingerprint="a"), settings(fingerprint="b", notes=("labels are in order",))
    assert before.differences(now)[-1] == "now labels are in order" and now.digest == settings(fingerprint="b").digest
    assert not before.differences(settings(fingerprint="a", notes=("labels are in order",)))


@pytest.mark.parametrize(("dataset", "channels", "due"), [("idx", 3, True), ("folder", 1, True), ("folder", 3, False)])
def test_grey_digits_in_a_folder_are_digits_like_others(dataset: str, channels: int, due: bool):
    about = {"dataset": dataset, "image_shape": (28, 28, channels)}
    assert settings(**about, digits=True, paper="dark").mnist_form == due
    assert settings(**about, digits=True).mnist_form == (dataset == "idx"), "as older versions had it"
    assert not settings(**about, paper="dark").mnist_form


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
    assert older.digits, "MNIST's are"
    (tmp_path / "config.json").write_text(json.dumps(OLDER | {"dataset": "idx"}))
    assert not Config.read(tmp_path).digits
    assert older.mnist_form and not settings(dataset="folder", digits=True).mnist_form, "pictures keep their form"


def test_a_field_at_its_default_is_not_in_the_digest(tmp_path: Path):
    """So a field that a later version adds keeps the digests of before, and their order does not matter."""
    (tmp_path / "config.json").write_text(json.dumps(OLDER))
    changed = ["batch_size", "dataset", "decay_steps", "fingerprint", "image_shape", "latent_dim", "learn_rate"]
    changed += ["num_labels", "schedule", "seed"]
    assert Config.read(tmp_path).digest == digest_of([[name, OLDER[name]] for name in changed])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        *(({key: None}, key) for key in ("seed", "fingerprint", "image_shape")),
        *(({"label_names": list(names)}, "label_names") for names in ("abcdefghii", "abc")),
        ({"label_names": ["a" * 301, *"bcdefghij"]}, "label_names"),
        *(({"levels": levels}, "levels") for levels in ([5.0], [5.0, 5.0], [5.0, math.nan])),
        *(({"seed": True}, "seed"), ({"balance": 1}, "balance"), ({"background": "no colour"}, "color")),
    ],
)
def test_what_is_missing_or_impossible_in_a_config_is_named(change: dict, why: str, tmp_path: Path):
    wrong = {key: value for key, value in (OLDER | change).items() if value is not None}
    (tmp_path / "config.json").write_text(json.dumps(wrong))
    with pytest.raises(Failure, match=f"damaged or not a run's.*{why}"):
        Config.read(tmp_path)


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
    config = config_for(args, data.Dataset(name, "", split, split, split, ""), False, None)
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
    config = config_for(args, dataset, False, None)
    assert (config.networks, config.latent_dim) == expected
    older = dataclasses.replace(config, networks="article", width=2, latent_dim=20)
    fill_in(again, older)
    resumed = config_for(again, dataset, False, older)
    assert (resumed.networks, resumed.width, resumed.latent_dim) == ("article", 2, 20), "an older run stays as it is"


def test_the_2017_flags_keep_working():
    for words in "--nBatch 32 --learnRate 1e-3 --saveFolder here --reload there", "-b 32 -r 1e-3 -s here -l there":
        args = train.parse(words.split())
        assert (args.batch_size, args.learn_rate, str(args.out), args.reload) == (32, 1e-3, "here", "there")
