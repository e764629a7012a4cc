"""Command-line options: the flags that select a trained run, and the defaults of train.py's options."""

import argparse
import math
from pathlib import Path

import numpy as np

from engine import files
from engine.config import DIGITS, Config, default_latent_dim, default_learn_rate
from engine.dataset import Dataset, report
from engine.terminal import bounded, local_path

REFERENCE = files.OUT / "reference"  # the shipped run
# Values of train.py's options that neither the command line nor the run to resume gives.
DEFAULTS = {"dataset": "auto", "batch_size": 64, "schedule": "constant", "seed": 0, "width": 1}
DEFAULTS |= {"balance": False, "fit": "crop", "background": "white"}


def fill_in(args: argparse.Namespace, existing: Config | None) -> None:
    """Set each of train.py's options that was not given (None) from the run to resume, else to its default.

    For a new run, options whose default depends on the data stay None: steps, channels, size, latents, …
    """
    values = DEFAULTS
    if existing:
        if args.dataset in (None, existing.dataset) and args.data_dir is None:
            args.dataset, args.data_dir = existing.dataset, existing.data_dir or None
        values = DEFAULTS | vars(existing) | {"dataset": DEFAULTS["dataset"], "data_dir": None}
        values |= {"channels": existing.image_shape[2], "steps": existing.decay_steps or None}
        values["size"] = existing.image_shape[0] if existing.dataset == "folder" else None
    for name in vars(args).keys() & values.keys():
        if getattr(args, name) is None:
            setattr(args, name, values[name])


def config_for(args: argparse.Namespace, dataset: Dataset, digits: bool, existing: Config | None) -> Config:
    """Build the config of a run from train.py's arguments, after `fill_in`, and defaults that depend on the data set.

    Also sets args.steps and args.save_every if they were not given.
    """
    shape = dataset.train.images.shape[1:]
    colour_pictures = dataset.name not in DIGITS and shape[-1] == 3
    stages = existing.stages if existing else max(2, math.ceil(math.log2(min(shape[:2]) / 8)))  # leaves 5 to 8 rows
    networks = existing.networks if existing else "pictures" if colour_pictures else "article"
    if args.steps is None:
        pictures = 100 * round(30 * max(1, len(dataset.train.labels) / 2_500) ** 0.5)  # 3,000: minutes on two cores
        args.steps = 15_000 if networks == "article" else min(pictures, 15_000)  # S8
    if args.save_every is None:
        args.save_every = 5_000 if networks == "article" else max(100, (args.steps or 5_000) // 10)
    paper = "bright" if np.median(dataset.train.images[:1000, 0]) > 127 else "dark"  # judged by the top rows
    return Config(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        image_shape=shape,
        num_labels=dataset.num_labels,
        latent_dim=args.latent_dim or (20 if dataset.name in DIGITS else default_latent_dim(shape)),
        batch_size=args.batch_size,
        learn_rate=args.learn_rate or default_learn_rate(shape, stages, args.width, networks),
        schedule=args.schedule,
        decay_steps=args.steps if args.schedule == "cosine" else 0,
        seed=args.seed,
        reload=args.reload,
        data_dir=str(Path(args.data_dir).resolve()) if args.data_dir else "",
        replicas=existing.replicas if existing else 0,
        stages=stages,
        width=args.width,
        networks=networks,
        likelihood=args.likelihood or ("gaussian" if colour_pictures else "bernoulli"),
        augment=args.augment or ("shift" if colour_pictures else "none"),
        balance=args.balance,
        fit=args.fit,
        background=args.background,
        label_names=dataset.label_names,
        label_counts=dataset.counts if dataset.label_names else (),
        digits=digits,
        paper=paper if digits else "",
        report=tuple(report(dataset)),
        notes=dataset.notes,
        levels=dataset.levels,
    )


def or_reference(folder: Path, say: bool = False) -> Path:
    """Return the shipped run's folder if `folder` is out/ and no run is there yet, else `folder`."""
    if folder.resolve() != files.OUT or (folder / "config.json").exists():
        return folder
    if say:
        print("no run in out yet: using the shipped one, out/reference (python train.py makes your own)")
    return REFERENCE


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of scripts that load a trained run."""
    add = parser.add_argument
    add("--run", type=local_path, default=files.OUT, help="its folder (default: out, else the shipped out/reference)")
    add("--checkpoint", help="an older checkpoint, such as out/model.ckpt-5000 (default: the run's best or newest)")
    add("--data-dir", type=local_path, help="where the run's data set is (default: where it was during training)")
    add("--seed", type=bounded(int, 0, 2**31 - 2), default=0, help="same seed, same results (default %(default)s)")
