"""The settings of a run: a validated dataclass that is stored in config.json."""

import dataclasses
import hashlib
import json
import math
import os
import shlex
from pathlib import Path
from typing import get_args, get_origin

from PIL import ImageColor

from engine import files
from engine.terminal import Failure, printable

LARGEST_MODEL = 1 << 28  # most parameters of a model: 1 GB of float32
DIGITS = ("mnist", "idx", "drawn")  # these get the article's settings, also with three channels
KNOWN_DIGITS = ("mnist", "drawn")  # certainly digits; digit_reader.are_digits inspects the images of the other sets
DATASETS = (*DIGITS, "folder", "npz", "csv", "fashion_mnist", "cifar10", "cifar100")
MOST_LABELS = 1_000
BOUNDS = {"num_labels": (1, MOST_LABELS), "latent_dim": (1, 4096), "batch_size": (1, 1 << 20)}
BOUNDS |= {"decay_steps": (0, 10**12), "seed": (0, 2**31 - 1), "replicas": (0, 1024), "stages": (1, 8)}
BOUNDS |= {"width": (1, 64), "learn_rate": (0, math.inf)}
CHOICES = {"dataset": DATASETS, "schedule": ("constant", "cosine"), "likelihood": ("bernoulli", "gaussian")}
CHOICES |= {"fit": ("crop", "pad", "stretch"), "paper": ("", "dark", "bright")}
CHOICES |= {"networks": ("article", "pictures"), "augment": ("none", "shift", "shift+flip")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of a run. A run can only be resumed with equal settings.

    Fields with compare=False describe the run and may differ. A new field needs a default that reproduces older runs,
    because their config.json lacks the field.
    """

    dataset: str
    fingerprint: str  # SHA-256 of the data, in hex
    image_shape: tuple[int, ...]  # (H, W, C)
    num_labels: int
    latent_dim: int
    batch_size: int
    learn_rate: float
    schedule: str
    decay_steps: int = 0  # length of the cosine schedule; 0 for a constant rate
    seed: int
    reload: str | None = None  # the checkpoint that the initial weights came from
    data_dir: str = dataclasses.field(default="", compare=False)  # "": the default folder
    replicas: int = dataclasses.field(default=0, compare=False)  # the original count; 0: not started yet
    stages: int = 2  # number of times the encoder halves the image and the decoder doubles it
    width: int = 1  # multiplies the networks' channel counts
    likelihood: str = "bernoulli"
    networks: str = "article"  # see model.CVAE
    augment: str = "none"  # how training images are varied: by shifts and mirroring
    balance: bool = False  # draw all labels equally often
    fit: str = "crop"  # how pictures are made square
    background: str = "white"  # colour behind transparent pixels
    label_names: tuple[str, ...] = ()  # (): the labels are numbers
    label_counts: tuple[int, ...] = dataclasses.field(default=(), compare=False)  # images per label
    digits: bool = dataclasses.field(default=False, compare=False)  # whether each label is the digit shown
    paper: str = dataclasses.field(default="", compare=False)  # around digits; "": unknown, or no digits
    report: tuple[str, ...] = dataclasses.field(default=(), compare=False)  # on the data, as train.py prints it
    notes: tuple[str, ...] = dataclasses.field(default=(), compare=False)  # how the data files were read
    levels: tuple[float, ...] = dataclasses.field(default=(), compare=False)  # see Dataset

    def __post_init__(self) -> None:
        """Check every field and the size of the model. Raises ValueError, naming the field, or Failure."""
        for field in dataclasses.fields(self):
            value, bounds = getattr(self, field.name), BOUNDS.get(field.name)
            good = _is_of(field.type, value) and (not bounds or bounds[0] <= value <= bounds[1])
            if not good or value not in CHOICES.get(field.name, (value,)):
                raise ValueError(f"{field.name}: {str(value)[:40]!r}")
        shape, names = self.image_shape, self.label_names
        if len(shape) != 3 or not 1 <= min(shape) <= max(shape) <= 1024 or shape[2] > 4:
            raise ValueError(f"image_shape: {shape}")
        if self.levels and not (len(self.levels) == 2 and -math.inf < self.levels[0] < self.levels[1]):
            raise ValueError(f"levels: {self.levels}")
        ImageColor.getrgb(self.background)  # raises ValueError, too
        plain = all(0 < len(name) <= 300 and name == printable(name) for name in names)
        if names and (not plain or len(set(names)) != self.num_labels):
            raise ValueError("label_names: not a printable one for every label")
        if self._parameters() > LARGEST_MODEL:
            raise Failure("a model of more than 1 GB: choose a smaller --latent-dim or --width")

    @property
    def architecture(self) -> dict:
        """The keyword arguments of model.CVAE."""
        keys = ("image_shape", "num_labels", "latent_dim", "stages", "width", "likelihood", "networks", "seed")
        return {key: getattr(self, key) for key in keys}

    @property
    def names(self) -> tuple[str, ...]:
        """The labels' names: label_names, else their numbers as text."""
        return self.label_names or tuple(map(str, range(self.num_labels)))

    @property
    def mnist_form(self) -> bool:
        """Whether own pictures are converted to MNIST's form before encoding; else `fit` and `background` apply."""
        return self.digits and (self.dataset != "folder" or (self.image_shape[2] == 1 and self.paper != ""))

    @property
    def example(self) -> str:
        """A label's name, quoted for the shell, for the commands that messages suggest."""
        return shlex.quote(self.names[min(7, self.num_labels - 1)])

    @property
    def digest(self) -> str:
        """A hash of the settings, 16 hex digits. Defaults are left out, so that a new field keeps old digests."""
        return _sha256(sorted(self._changed().items()))

    def matches(self, digest: str) -> bool:
        """Whether an artefact's `digest` is that of this config, computed as now or by versions up to 2026."""
        always = "dataset fingerprint image_shape num_labels latent_dim batch_size learn_rate schedule".split()
        always += ["decay_steps", "seed", "reload"]
        settings = {name: getattr(self, name) for name in always} | self._changed()
        return digest in (self.digest, _sha256(settings))

    def _changed(self) -> dict[str, object]:
        """The settings that differ from their defaults, in field order."""
        fields = [field for field in dataclasses.fields(self) if field.compare]
        return {f.name: getattr(self, f.name) for f in fields if getattr(self, f.name) != f.default}

    def differences(self, other: "Config") -> list[str]:
        """Describe what differs in `other`, as "setting mine → theirs"; settings first, data last."""
        compared = [field.name for field in dataclasses.fields(self) if field.compare]
        compared.sort(key=("fingerprint", "label_names").count)
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in compared]
        texts = [f"{name} {_short(repr(a))} → {_short(repr(b))}" for name, a, b in pairs if a != b]
        if self.fingerprint != other.fingerprint:
            if self.label_counts:
                before, now = (dict(zip(c.names, c.label_counts, strict=False)) for c in (self, other))
                changed = [name for name in before | now if before.get(name) != now.get(name)]
                counts = _short(", ".join(f"{name} {before.get(name, 0):,} → {now.get(name, 0):,}" for name in changed))
                texts.append(f"pictures of {counts}" if counts else "as many pictures, but not the same")
            texts += [f"now {note}" for note in other.notes if note not in self.notes]
        return texts

    def write(self, folder: Path) -> None:
        files.write_json(folder / "config.json", dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "Config":
        """Read the config of the run in `folder`. Unknown keys, such as those of other versions, are ignored.

        Raises Failure if there is no run, or its config.json is damaged.
        """
        path = folder / "config.json"
        if not os.path.isfile(path):
            raise Failure(f"no run in {folder}: run python train.py first, or name another folder with --run")
        values, names = files.read_json(path), {field.name for field in dataclasses.fields(cls)}
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        values.setdefault("digits", values.get("dataset") in KNOWN_DIGITS)  # an older config.json lacks it
        try:
            return cls(**{name: values[name] for name in names & values.keys()})
        except (TypeError, ValueError) as error:
            why = str(error).removeprefix("Config.__init__() ")
            remedy = "restore it from a copy, or choose another folder"
            raise Failure(f"{path} is damaged or not a run's ({why}): {remedy}") from None

    def _parameters(self) -> int:
        """Estimate the model's size in numbers: dense layers, convolutions and the maps of the label planes."""
        h, w, _ = self.image_shape
        cells = math.ceil(h / 2**self.stages) * math.ceil(w / 2**self.stages)
        last = 8 * self.width * 2**self.stages  # channels of the encoder's last feature map
        first = last // 4 if self.networks == "article" else last  # of the decoder's first one
        dense = cells * (2 * last * self.latent_dim + first * (self.latent_dim + self.num_labels))
        return dense + 25 * last**2 // 2 + 4 * h * w * self.width * self.num_labels


def default_latent_dim(shape: tuple[int, int, int]) -> int:
    """The default size of z, proportional to the side: the article's 20 for 28 × 28 grey, 128 for 64 × 64 colour.

    At 64 × 64 more than 128 improve nothing within five minutes of training; fewer blur the images (measured).
    """
    return round(math.sqrt(shape[0] * shape[1]) * (2 if shape[2] == 3 else 20 / 28))


def default_learn_rate(shape: tuple[int, int, int], stages: int, width: int, networks: str) -> float:
    """Return Adam's default rate: 2e-3, divided by how many times the encoder's last map exceeds the article's.

    Adam's step changes a unit's input sum in proportion to the number of inputs (Yang et al. 2022, arXiv 2203.03466).
    With several times the article's 7 · 7 · 32, 2e-3 ends in NaN (measured). "pictures" tolerates 1.5 times the rate.
    """
    inputs = math.prod(math.ceil(side / 2**stages) for side in shape[:2]) * 8 * width * 2**stages
    article = 7 * 7 * 32 * (1 if networks == "article" else 1.5)
    return float(f"{2e-3 * min(1, article / inputs):.2g}")


def _is_of(kind: object, value: object) -> bool:
    """Return whether a value has the type that a field is annotated with. An int is a float, too; a bool is no int."""
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is_of(get_args(kind)[0], item) for item in value)
    return isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)


def _sha256(settings: object) -> str:
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:196] + " …"
