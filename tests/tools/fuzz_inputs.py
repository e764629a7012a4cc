"""The inputs of fuzz.py: what is whole, and for each kind, what is damaged and which command is to read it."""

from __future__ import annotations

import gzip
import math
import os
import random
import shutil
import sys
import types
import zipfile
from pathlib import Path
from typing import NamedTuple

import damage
import make_pictures
import numpy as np
import stress  # the repository on the path, TensorFlow imported

import data
import evaluate
import generate
import train
from data import decode
from engine import terminal
from engine.config import Config
from engine.latent import prior_cache

RUN = ["--out", "run", "--data-dir", "data", "--latent-dim", "4", "--batch-size", "16", "--devices", "1"]
NEVER = ["--reload", "none"]  # ends a training that has read its data
NOWHERE = ["--checkpoint", "none"]  # ends the other two when they have read the run's config


class Base(NamedTuple):
    """What is whole, made once: every input is a copy of it, damaged."""

    folder: Path

    def copy(self, *names: str) -> None:
        for name in names:
            place = self.folder / name
            shutil.copytree(place, name) if place.is_dir() else shutil.copy(place, name)


def make_base(folder: Path) -> Base:
    """An IDX data set, a finished run of it, the same as .npz, a folder of pictures and its cache, two bombs."""
    stress.write_data(folder / "data", train=200, test=24)
    images, labels = data.drawn.digits(60, seed=1)
    np.savez_compressed(folder / "set.npz", images=images, labels=labels % 3, label_names=np.array(["a", "b", "c"]))
    make_pictures.shapes(folder / "pictures", 5, 0)
    with gzip.open(folder / "bomb.gz", "wb", 1) as file:
        file.write(b"\0\0\x08\x01" + (1 << 30).to_bytes(4, "big"))
        damage.write_zeros(file, 1 << 30)
    shape = (10_000, 512, 512)
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("labels.npy", damage.npy(np.arange(10_000) % 3))
        with archive.open("images.npy", "w", force_zip64=True) as file:
            file.write(damage.npy(np.zeros(0, np.uint8), shape=shape))
            damage.write_zeros(file, math.prod(shape))
    words = ["--steps", "20", "--save-every", "10"]
    cached = ["--data-dir", str(folder / "pictures"), "--size", "28", "--out", "made", *NEVER]
    for argv, expected in ([*RUN, *words], 0), (cached, 1):
        pid = os.fork()
        if not pid:
            os.chdir(folder)
            os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
            sys.stdout = sys.stderr = open(folder / "made.log", "w", 1)
            os._exit(train.main(argv))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == expected, (folder / "made.log").read_text()
    for name in ("fake1.png", "fake2.png", "explorer.html"):  # copied ten thousand times, never read
        (folder / "run" / name).unlink()
    return Base(folder)


# --- the kinds: each damages something in the working directory, and says which command is to read it --------------


def words(rng: random.Random, flags: dict[str, str], most: int) -> list[str]:
    """Flags, each with values that suit it (its text, by spaces; "-" is none), or with any."""
    found = []
    for flag in rng.choices([*flags], k=rng.randint(2, most)):
        good = flags[flag].split()
        found.append(flag)
        if rng.random() < 0.7 or good == ["-"]:
            found += [] if good == ["-"] and rng.random() < 0.9 else [rng.choice(good)]
        else:
            endless = ["0"] if flag == "--steps" else []
            any_word = [
                word for word in damage.WORDS if word not in endless and "\0" not in word
            ]  # no shell passes a 0
            found += rng.choices(any_word, k=rng.choice((0, 1, 1, 1, 2)))
    return found


TRAIN = {"--out": "run new here", "--fresh": "-", "--reload": "run/model.ckpt-20 run", "--steps": "1 2", "-b": "1 7 16"}
TRAIN |= {
    "--save-every": "1 3",
    "--seed": "0 5",
    "--data-dir": "data set.npz pictures",
    "--dataset": "idx npz cifar10 drawn",
}
TRAIN |= {"--channels": "1 3", "--size": "28 32", "--fit": "crop pad", "--background": "red #12", "--balance": "-"}
TRAIN |= {
    "--latent-dim": "1 3",
    "--width": "1 2",
    "--likelihood": "gaussian",
    "-r": "1e-3 1e6 1e-12",
    "--devices": "1 2",
}
TRAIN |= {"--schedule": "cosine constant", "--nonsense": "-", "--nBatch": "4", "-s": "new", "-l": "x"}
READS = {
    "--run": "run . here",
    "--checkpoint": "run/model.ckpt-10 run/config.json model.ckpt-20",
    "--data-dir": "data pictures",
}
READS |= {"--seed": "0 9"}
DRAW = READS | {
    "--label": "0 9 all",
    "--count": "1 3",
    "--temperature": "0 0.5 100",
    "--same-style": "-",
    "--prior": "label",
}
DRAW |= {"--fit-prior": "-", "--scale": "1 32", "--out": "a.png b.gif run", "--style-from": "test:0 photo.png run"}
DRAW |= {"--interpolate": "2 3", "--npz": "a.npz", "--idx": "a data run", "--each": "a data run", "--page": "a.html"}
DRAW |= {"--savedmodel": "a run file", "--style-label": "0 x", "--animate": "-"}
JUDGE = READS | {"--quick": "-", "--full": "-"}


def prepare_words(base: Base) -> None:
    base.copy("run", "data", "set.npz", "pictures")
    Path("here").mkdir()
    Path("readonly").mkdir(0o555)
    Path("folder.npz").mkdir()
    Path("file").write_text("mine")
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")


def train_words(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    prepare_words(base)
    ends = NEVER if rng.random() < 0.9 else []
    return "train", ["--data-dir", "data", "--out", "new", "--steps", "2", *words(rng, TRAIN, 6), *ends]


def generate_words(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    prepare_words(base)
    ends = NOWHERE if rng.random() < 0.8 else []
    return "generate", ["--run", "run", *words(rng, DRAW, 5), *ends]


def evaluate_words(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    prepare_words(base)
    ends = NOWHERE if rng.random() < 0.98 else []
    return "evaluate", ["--run", "run", "--quick", *words(rng, JUDGE, 4), *ends]


def use_run(rng: random.Random, cheaply: float = 0.97) -> tuple[str, list[str]]:
    """A command that reads the run; mostly one that ends before it needs TensorFlow."""
    if rng.random() < cheaply:
        resume = rng.choice((["--latent-dim", "5"], ["--fresh", *NEVER]))
        return rng.choice((("generate", ["--run", "run", "--label", "3", *NOWHERE]), ("train", [*RUN, *resume])))
    draw = ["--run", "run", *rng.choice((["--label", "3"], ["--style-from", "test:0"], ["--animate"], ["--page"]))]
    more = ["--steps", "22", *rng.choice(([], ["--fresh"]))]
    choices = ("generate", draw), ("generate", draw), ("train", [*RUN, *more]), ("train", [*RUN, "--steps", "20"])
    return (
        rng.choice((*choices, ("evaluate", ["--run", "run", "--quick"]))) if rng.random() < 0.1 else rng.choice(choices)
    )


def config(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    base.copy("run", "data")
    damage.json_file(rng, Path("run/config.json"))
    return use_run(rng)


def metrics(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    base.copy("run", "data")
    damage.json_file(rng, Path("run/metrics.json"))
    if rng.random() < 0.02:
        return "train", [*RUN, "--steps", "20"]
    for path in Path("run").glob("[cimp]*[!m]*"):  # metrics.json alone: whose is the folder?
        if path.is_file() and path.name != "metrics.json":
            path.unlink()
    shutil.rmtree("run/images")
    shutil.rmtree("run/logs")
    return "train", [*RUN, *NEVER]


def prior(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    base.copy("run")
    damage.npz_file(rng, Path("run/prior.npz"))
    return ("generate", ["--run", "run", "--label", "3"]) if rng.random() < 0.02 else ("prior", ["run"])


def checkpoint(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    base.copy("run", "data")
    for _ in range(rng.randint(1, 2)):
        path = rng.choice(sorted(path for path in Path("run").glob("*c*kp*") if path.is_file()))
        damage.file(rng, path)
    choice = rng.random()
    if choice < 0.9:
        return "generate", ["--run", "run", "--label", "3", *rng.choice(([], ["--checkpoint", "run/model.ckpt-20"]))]
    reload = ["--out", "new", "--steps", "1", "--reload", "run/model.ckpt-20"]
    return "train", [*RUN, *(["--steps", "21"] if choice < 0.95 else reload)]


def rest(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    """Whatever else is in a run's folder, its lock and its pictures."""
    base.copy("run", "data")
    paths = sorted(path for path in Path("run").rglob("*") if path.is_file() and not path.name.startswith("model"))
    path = rng.choice(paths)
    damage.file(rng, path)
    return use_run(rng, 0.9)


def cache(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    base.copy("cache")
    path = rng.choice(sorted(Path("cache/conditional-vae").iterdir()))
    damage.npz_file(rng, path) if path.suffix == ".npz" else damage.file(rng, path)
    return "train", ["--out", "new", "--data-dir", str(base.folder / "pictures"), "--size", "28", *NEVER]


def ends(rng: random.Random, *place: str) -> tuple[str, list[str]]:
    more = ["--steps", "1"] if rng.random() < 0.01 else NEVER
    return "train", ["--out", "new", "--data-dir", *place, *rng.choice(([], ["--channels", "3"])), *more]


def npz(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    base.copy("set.npz")
    if rng.random() < 0.003:
        Path("set.npz").unlink()
        Path("set.npz").symlink_to(base.folder / "bomb.npz")
    else:
        damage.npz_file(rng, Path("set.npz"))
    return ends(rng, "set.npz")


def idx(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    base.copy("data")
    for _ in range(rng.choice((1, 1, 2, 4))):
        path = rng.choice(sorted(Path("data").iterdir()))
        if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK) and 3 < path.stat().st_size < 1 << 24:
            damage.idx_file(rng, path, base.folder / "bomb.gz")
    return ends(rng, "data")


def folder(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    base.copy("pictures")
    damage.folder(rng, Path("pictures"))
    return ends(rng, "pictures", *rng.choice(([], ["--fit", "pad"], ["--size", "28"])))


def photo(rng: random.Random, base: Base) -> tuple[str, list[str]]:
    base.copy("run")
    path = f"photo{rng.choice(damage.SUFFIXES)}"
    damage.picture(rng, Path(path))
    if rng.random() < 0.02:
        return "generate", ["--run", "run", "--style-from", path]
    return rng.choice(("digit", "picture")), [path]


KINDS = {
    train_words: 22,
    generate_words: 14,
    evaluate_words: 6,
    config: 12,
    metrics: 5,
    prior: 6,
    checkpoint: 2,
    rest: 2,
}
KINDS |= {cache: 5, npz: 8, idx: 8, folder: 4, photo: 6}


@terminal.command
def read_prior(argv: list[str]) -> None:
    """As generate.py reads it, without the model's second."""
    run = types.SimpleNamespace(folder=Path(argv[0]), config=Config.read(Path(argv[0])), step=20)
    try:
        prior_cache.read(run)
    except prior_cache.Unusable as error:
        raise terminal.Failure(str(error)) from None


@terminal.command
def read_digit(argv: list[str]) -> None:
    """As generate.py reads --style-from for a run on digits."""
    data.picture_for(Config.read(Path("run")), argv[0])


@terminal.command
def read_picture(argv: list[str]) -> None:
    """The same for a run on other pictures."""
    decode.prepare(argv[0], 28, 3)


MAINS = {"train": train.main, "generate": generate.main, "evaluate": evaluate.main}
MAINS |= {"prior": read_prior, "digit": read_digit, "picture": read_picture}
