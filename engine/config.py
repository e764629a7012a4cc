"""What a run is: one frozen dataclass, read from config.json, checked, written. The only list of settings."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import os
import shlex
from collections.abc import Callable
from pathlib import Path

from PIL import ImageColor

from engine import files
from engine.terminal import Failure, bounded

REFERENCE = files.OUT / "reference"  # the shipped run
LARGEST_MODEL = 1 << 28  # float32 numbers: 1 GB
DIGITS = ("mnist", "idx", "drawn")
KNOWN_DIGITS = ("mnist", "drawn")  # others are looked at: engine.digit_reader.are_digits
DATASETS = (*DIGITS, "folder", "npz", "fashion_mnist", "cifar10", "cifar100")


def _checked(good: Callable[[object], bool], **kwargs: object) -> dataclasses.Field:
    return dataclasses.field(metadata={"good": good}, **kwargs)


def _whole(low: int, high: int, **kwargs: object) -> dataclasses.Field:
    return _checked(lambda value: type(value) is int and low <= value <= high, **kwargs)


def _one_of(*choices: object, **kwargs: object) -> dataclasses.Field:
    return _checked(lambda value: value in choices and type(value) is type(choices[0]), **kwargs)


def _is_shape(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(n) is int and 1 <= n <= 1024 for n in value)
        and value[2] <= 4
    )


def _list_of(good: Callable[[object], bool], **kwargs: object) -> dataclasses.Field:
    return _checked(lambda value: isinstance(value, list | tuple) and all(map(good, value)), default=(), **kwargs)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 300 and value.isprintable()


def _is_colour(value: object) -> bool:
    try:
        return isinstance(value, str) and len(value) < 99 and bool(ImageColor.getrgb(value))
    except ValueError:
        return False


# The bounds keep a hostile config.json from asking for more memory than any real run needs.
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The settings that make a run what it is: it goes on only if all of them are the same, `data_dir` aside.

    Those below `data_dir` came later: an older config.json lacks them, and at their default they are not in the digest.
    """

    dataset: str = _one_of(*DATASETS)
    fingerprint: str = _checked(lambda value: isinstance(value, str))  # SHA-256 of the data, in hex
    image_shape: tuple[int, int, int] = _checked(_is_shape)  # (H, W, C)
    num_labels: int = _whole(1, 1000)
    latent_dim: int = _whole(1, 4096)
    batch_size: int = _whole(1, 1 << 20)
    learn_rate: float = _checked(lambda value: type(value) in (int, float) and 0 <= value <= math.inf)
    schedule: str = _one_of("constant", "cosine")
    decay_steps: int = _whole(0, 10**12, default=0)  # of the cosine; 0 under a constant rate
    seed: int = _whole(0, 2**31 - 1)
    reload: str | None = _checked(lambda value: value is None or isinstance(value, str), default=None)
    data_dir: str = _checked(lambda value: isinstance(value, str), default="", compare=False)  # "": where it always is
    replicas: int = _whole(0, 1024, default=0, compare=False)  # that it was begun on; 0: not yet
    stages: int = _whole(1, 8, default=2)  # of the networks, each halving or doubling the image
    width: int = _whole(1, 64, default=1)  # a factor of their channels
    likelihood: str = _one_of("bernoulli", "gaussian", default="bernoulli")
    balance: bool = _one_of(False, True, default=False)  # labels drawn evenly
    fit: str = _one_of("crop", "pad", "stretch", default="crop")  # how a picture of another aspect becomes square
    background: str = _checked(_is_colour, default="white")
    label_names: tuple[str, ...] = _list_of(_is_name)  # (): the labels are numbers
    label_counts: tuple[int, ...] = _list_of(lambda value: type(value) is int, compare=False)  # pictures of each
    digits: bool = _one_of(False, True, default=False, compare=False)  # the labels are the digits that the images show

    @classmethod
    def of(cls, args: argparse.Namespace, dataset: object) -> Config:
        """What train.py's arguments and the data set that they name make of a run."""
        shape = dataset.train.images.shape[1:]
        pictures = dataset.name not in DIGITS and shape[-1] == 3  # that have colours of their own
        stages = max(2, math.ceil(math.log2(min(shape[:2]) / 8)))  # until the smallest map has 5 to 8 rows
        width = args.width or (2 if pictures else 1)
        # Adam moves what a unit sums up by as much as it has inputs (Yang et al. 2022, arXiv 2203.03466): the encoder's
        # last map has 7 · 7 · 32 values in the article, and with several times as many 2e-3 ends in NaN (measured).
        inputs = math.prod(math.ceil(side / 2**stages) for side in shape[:2]) * 8 * width * 2**stages
        suits = float(f"{2e-3 * min(1, 7 * 7 * 32 / inputs):.2g}")
        return cls(
            dataset=dataset.name,
            fingerprint=dataset.fingerprint,
            image_shape=shape,
            num_labels=dataset.num_labels,
            latent_dim=args.latent_dim,
            batch_size=args.batch_size,
            learn_rate=args.learn_rate or suits,
            schedule=args.schedule,
            decay_steps=args.steps if args.schedule == "cosine" else 0,
            seed=args.seed,
            reload=args.reload,
            data_dir=str(Path(os.path.expanduser(args.data_dir)).resolve()) if args.data_dir else "",
            stages=stages,
            width=width,
            likelihood=args.likelihood or ("gaussian" if pictures else "bernoulli"),
            balance=args.balance,
            fit=args.fit,
            background=args.background,
            label_names=dataset.label_names,
            label_counts=dataset.counts if dataset.label_names else (),
        )

    @property
    def architecture(self) -> dict:
        """The arguments of model.CVAE."""
        keys = ("image_shape", "num_labels", "latent_dim", "stages", "width", "likelihood", "seed")
        return {key: getattr(self, key) for key in keys}

    @property
    def names(self) -> tuple[str, ...]:
        """What the labels are called."""
        return self.label_names or tuple(map(str, range(self.num_labels)))

    @property
    def mnist_form(self) -> bool:
        """Whether pictures are brought to MNIST's form. A folder's are prepared as `fit` and `background` say."""
        return self.digits and self.dataset != "folder"

    @property
    def example(self) -> str:
        """A label's name, for messages that say what to type."""
        return shlex.quote(self.names[min(7, self.num_labels - 1)])

    @property
    def digest(self) -> str:
        """Equal for equal configs, where their data came from aside; hex."""
        settings = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.compare and (field.name in _FIRST or value != field.default):
                settings[field.name] = value
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]

    def differences(self, other: Config) -> list[str]:
        """What `other` has otherwise, as "setting mine → theirs"."""
        compared = [field.name for field in dataclasses.fields(self) if field.compare]
        pairs = [(key, getattr(self, key), getattr(other, key)) for key in compared]
        found = [
            f"{key} {_short(repr(mine))} → {_short(repr(theirs))}" for key, mine, theirs in pairs if mine != theirs
        ]
        if self.fingerprint != other.fingerprint and self.label_counts:
            mine, theirs = (dict(zip(one.names, one.label_counts, strict=False)) for one in (self, other))
            names = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
            counts = [f"{name} {mine.get(name, 0):,} → {theirs.get(name, 0):,}" for name in names]
            found.append("pictures of " + _short(", ".join(counts)) if counts else "as many pictures, but not the same")
        return found

    def write(self, folder: Path) -> None:
        files.write_json(folder / "config.json", dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Config:
        """The config of the run in `folder`. Keys that are not (or no longer) settings are ignored.

        Raises:
            Failure: there is none, or the file cannot be believed.
        """
        path = folder / "config.json"
        if not os.path.isfile(path):
            raise Failure(f"no run in {folder}: run python train.py first, or name another folder with --run")
        found, settings = files.read_json(path), {}
        found.setdefault("digits", found.get("dataset") in KNOWN_DIGITS)  # an older config.json lacks it
        for field in dataclasses.fields(cls):
            value = found.get(field.name, field.default)
            if value is dataclasses.MISSING or not field.metadata["good"](value):
                raise _damaged(path, f"{field.name}: {str(found.get(field.name))[:40]!r}")
            settings[field.name] = tuple(value) if isinstance(value, list) else value
        config = cls(**settings)
        if config.label_names and len(set(config.label_names)) != config.num_labels:
            raise _damaged(path, "label_names: not one for every label")
        if config._largest() > LARGEST_MODEL:
            raise _damaged(path, "a model of more than 1 GB")
        return config

    def _largest(self) -> int:
        """About how many numbers the model holds: its dense layers, its convolutions, the maps of the label planes."""
        h, w, _ = self.image_shape
        cells = math.ceil(h / 2**self.stages) * math.ceil(w / 2**self.stages)
        channels = (
            2 * self.width * 2**self.stages
        )  # of the decoder's first map; the encoder's last has four times these
        dense = cells * channels * (9 * self.latent_dim + self.num_labels)
        return dense + 25 * 8 * channels**2 + 4 * h * w * self.width * self.num_labels


# What a digest always has in it; of the settings that came later only those that are not at their default.
_FIRST = [field.name for field in dataclasses.fields(Config)][:11]


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:196] + " …"


def _damaged(path: Path, why: str) -> Failure:
    return Failure(f"{path} is damaged or not a run's ({why}): restore it from a copy, or choose another folder")


def or_reference(folder: Path) -> Path:
    """`folder`, or the shipped run as long as out/ holds none of the user's own."""
    unused = folder == files.OUT and not (folder / "config.json").exists()
    return REFERENCE if unused and (REFERENCE / "config.json").exists() else folder


def say_which(folder: Path) -> Path:
    """`or_reference`, and a line if it is the shipped run."""
    found = or_reference(folder)
    if found != folder:
        print("no run in out yet: using the shipped one, out/reference (python train.py makes your own)")
    return found


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """--run, --checkpoint, --data-dir and --seed, for the scripts that take a trained run."""
    add = parser.add_argument
    add("--run", type=Path, default=files.OUT, help="folder of the run (default: out, else the shipped out/reference)")
    add("--checkpoint", help="an older checkpoint, such as out/model.ckpt-5000 (default: the newest)")
    add("--data-dir", type=Path, help="where the run's data are (default: where training had them)")
    add(
        "--seed", type=bounded(int, 0, 2**31 - 2), default=0, help="same run, same seed: the same (default %(default)s)"
    )
