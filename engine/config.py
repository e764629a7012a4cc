"""What a run is: one frozen dataclass, read from config.json, checked, written. The only list of settings."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

from engine import files
from engine.terminal import Failure, bounded

REFERENCE = files.OUT / "reference"  # the shipped run
LARGEST_MODEL = 1 << 28  # float32 numbers: 1 GB


def _checked(good: Callable[[object], bool], **kwargs: object) -> dataclasses.Field:
    return dataclasses.field(metadata={"good": good}, **kwargs)


def _whole(low: int, high: int, **kwargs: object) -> dataclasses.Field:
    return _checked(lambda value: type(value) is int and low <= value <= high, **kwargs)


def _one_of(*choices: str) -> dataclasses.Field:
    return _checked(lambda value: value in choices)


def _is_shape(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(n) is int and 1 <= n <= 1024 for n in value)
        and value[2] <= 4
    )


# The bounds keep a hostile config.json from asking for more memory than any real run needs.
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The settings that make a run what it is: it goes on only if all of them are the same, `data_dir` aside."""

    dataset: str = _one_of("mnist", "idx", "drawn")
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

    @classmethod
    def of(cls, args: argparse.Namespace, dataset: object) -> Config:
        """What train.py's arguments and the data set that they name make of a run."""
        return cls(
            dataset=dataset.name,
            fingerprint=dataset.fingerprint,
            image_shape=dataset.train.images.shape[1:],
            num_labels=10,
            latent_dim=args.latent_dim,
            batch_size=args.batch_size,
            learn_rate=args.learn_rate,
            schedule=args.schedule,
            decay_steps=args.steps if args.schedule == "cosine" else 0,
            seed=args.seed,
            reload=args.reload,
            data_dir=str(Path(os.path.expanduser(args.data_dir)).resolve()) if args.data_dir else "",
        )

    @property
    def architecture(self) -> dict:
        """The arguments of model.CVAE."""
        return {key: getattr(self, key) for key in ("image_shape", "num_labels", "latent_dim", "seed")}

    @property
    def digest(self) -> str:
        """Equal for equal configs, where their data came from aside; hex."""
        settings = {key: value for key, value in dataclasses.asdict(self).items() if key != "data_dir"}
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]

    def differences(self, other: Config) -> list[str]:
        """What `other` has otherwise, as "setting mine → theirs"."""
        compared = [field.name for field in dataclasses.fields(self) if field.compare]
        pairs = [(key, getattr(self, key), getattr(other, key)) for key in compared]
        return [f"{key} {mine!r} → {theirs!r}" for key, mine, theirs in pairs if mine != theirs]

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
        for field in dataclasses.fields(cls):
            value = found.get(field.name, field.default)
            if value is dataclasses.MISSING or not field.metadata["good"](value):
                raise _damaged(path, f"{field.name}: {str(found.get(field.name))[:40]!r}")
            settings[field.name] = tuple(value) if field.name == "image_shape" else value
        config = cls(**settings)
        h, w, _ = config.image_shape
        dense = math.ceil(h / 4) * math.ceil(w / 4) * (72 * config.latent_dim + 8 * config.num_labels)
        if dense + 4 * h * w * config.num_labels > LARGEST_MODEL:
            raise _damaged(path, "a model of more than 1 GB")
        return config


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
    add("--data-dir", type=Path, help="folder of the run's IDX files (default: where training had them)")
    add(
        "--seed", type=bounded(int, 0, 2**31 - 2), default=0, help="same run, same seed: the same (default %(default)s)"
    )
