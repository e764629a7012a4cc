"""Draw digits with a trained run. What it writes, and where, is what it prints.

python generate.py --label 7                      64 sevens → out/label_7.png
python generate.py --label all --same-style       one z per row: each row is one hand writing ten digits
python generate.py --label 3 1 4 --count 5        a column per label, five rows
python generate.py --style-from photo.png         all ten digits in the hand of a picture, or of test:123
python generate.py --label 3 8 --interpolate      walks from z to z on the sphere while 3 turns into 8
python generate.py --label 7 --interpolate --animate     the same as a looping GIF
python generate.py --npz set.npz --count 6000     a labelled data set; --idx DIR and --each DIR as well
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np

import data
from data import export, photo
from engine import pictures, terminal
from engine.config import Config, add_run_flags, or_reference, say_which
from engine.terminal import Failure, bounded

MOST_CELLS = 10_000  # images on one sheet
MOST_BYTES = 1 << 29  # of a set's pixels: it is drawn in memory, which stays below 1 GB


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; --label as a list of numbers, --count as a number, both as the run in --run allows."""
    parser = terminal.Parser(__doc__)
    add = parser.add_argument
    whole, temperature = bounded(int, 1, 10**9), bounded(float, 0, 100)
    add("--label", nargs="+", metavar="LABEL", help="labels to draw, or all (default: all where several fit)")
    add("--count", type=whole, help="images per label (default: 64 of one, 10 of several, 1000 in a set)")
    add("--temperature", type=temperature, default=1.0, help="scales z; lower is tamer (default %(default)s)")
    add("--same-style", action="store_true", help="one z for all labels of a row, as in fake2")
    add("--scale", type=bounded(int, 1, 32), help="pixels per pixel (default 2; 3 for a style, 1 with --each)")
    add("--out", type=Path, metavar="FILE", help="the picture's file (default: named after the labels, in the run)")
    add_run_flags(parser)
    mode = parser.add_argument_group("instead of a grid").add_mutually_exclusive_group()
    choose, walk = mode.add_argument, {"type": bounded(int, 2, 1000), "nargs": "?", "const": 12, "metavar": "T"}
    choose("--style-from", metavar="PICTURE", help="draw in the hand of this picture, or of test digit test:N")
    choose("--interpolate", **walk, help="walks of T images (%(const)s), a row each")
    choose("--npz", type=Path, metavar="FILE", help="write a labelled data set for numpy.load")
    choose("--idx", type=Path, metavar="DIR", help="write a data set in MNIST's own form")
    choose("--each", type=Path, metavar="DIR", help="write one PNG per image")
    add("--style-label", type=bounded(int, 0, 999), help="what digit --style-from shows (default: inferred)")
    add("--animate", action="store_true", help="a looping GIF: of --interpolate, else of the run's fake2 grids")
    args = parser.parse_args(argv)
    args.set = args.npz or args.idx or args.each
    if args.animate and (args.style_from or args.set):
        parser.error("--animate goes with --interpolate or alone")
    if args.style_label is not None and not args.style_from:
        parser.error("--style-label goes with --style-from")
    if args.style_from and args.count:
        parser.error("--count does not go with --style-from, which draws one row")
    complete(args, parser)
    return args


def complete(args: argparse.Namespace, parser: terminal.Parser) -> None:
    """Fill in what depends on the run; a usage error (exit 2) if it has no such label, or the count is too large."""
    config = Config.read(or_reference(args.run))
    every = list(range(config.num_labels))
    if not args.label and not (args.set or args.style_from or args.animate or args.interpolate):
        parser.error("which digit? give --label 7, --label 3 1 4 or --label all")
    if not args.label or args.label == ["all"]:
        args.label = every
    else:
        try:
            args.label = [bounded(int, 0, every[-1])(word) for word in args.label]
        except argparse.ArgumentTypeError as error:
            parser.error(f"--label: {error}, nor all")
    args.title = "all" if args.label == every else "_".join(map(str, args.label))
    if (args.style_label or 0) > every[-1]:
        parser.error(f"--style-label {args.style_label}: this run's labels are 0 to {every[-1]}")
    single = len(args.label) == 1 and not args.interpolate
    args.count = args.count or (1000 if args.set else 64 if single else 10)
    if args.set:
        most = MOST_BYTES // (len(args.label) * math.prod(config.image_shape))
    else:
        most = MOST_CELLS // (args.interpolate or len(args.label))
    if args.count > most:
        limit = f"{MOST_BYTES >> 20} MB of pixels in a set" if args.set else f"{MOST_CELLS:,} images on a sheet"
        parser.error(f"--count {args.count:,} is too many here: at most {most:,}, for {limit}")


if __name__ == "__main__":
    terminal.check_early(parse)  # a typing error or --help need not wait for TensorFlow's two seconds
terminal.import_tensorflow()

from engine import drawing, grids, trained
from engine.evaluation import likelihood
from engine.trained import Trained


def draw_grid(run: Trained, args: argparse.Namespace) -> np.ndarray:
    """A column per label, or one label's images in a square. uint8 (rows, columns, H, W, C)"""
    labels = np.array(args.label)
    z = drawing.latents(args.seed, args.count, len(labels), run.model.latent_dim, args.temperature, args.same_style)
    images = drawing.render(run.model, z, labels)
    return pictures.square(images[:, 0]) if len(labels) == 1 else images


def draw_styles(run: Trained, args: argparse.Namespace) -> tuple[np.ndarray, str]:
    """The picture of --style-from as the model sees it, its hand under every label; and what its label was read as.

    Raises:
        Failure: there is no such picture, or no digit on it; test:N is not in the run's own test set.
    """
    h, w, c = run.model.image_shape
    if args.style_from.startswith("test:"):
        test = data.of_run(run.config, args.data_dir).test
        try:
            picture = test.images[bounded(int, 0, len(test.labels) - 1)(args.style_from[5:])]
        except argparse.ArgumentTypeError as error:
            raise Failure(f"--style-from {args.style_from}: {error}") from None
    elif h != w:
        raise Failure(f"this run's images are {h}×{w}; --style-from takes pictures for square ones only")
    else:
        picture = np.repeat(photo.prepare(args.style_from, h)[..., None], c, axis=-1)
    label, found = args.style_label, "as told"
    if label is None:
        log_p = likelihood.label_log_likelihoods(run.model, picture[None], args.seed)[0]
        label = int(log_p.argmax())
        found = f"{np.exp(log_p[label] - np.logaddexp.reduce(log_p)):.1%} sure; --style-label tells it otherwise"
    row = np.concatenate([picture[None], drawing.styles(run.model, picture, label, args.label)])
    return row[None], f"read as a {label} ({found})"


def write_set(run: Trained, args: argparse.Namespace) -> None:
    """--npz, --idx or --each: a labelled data set, --count images per label."""

    def labelled(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return drawing.labelled_set(run.model, args.label, count, seed, args.temperature)

    if args.npz:
        export.write_npz(args.npz, *labelled(args.count, args.seed))
    elif args.idx:
        export.check_idx_folder(args.idx, run.model.image_shape[-1])
        train, test = labelled(args.count, args.seed), labelled(max(1, args.count // 6), args.seed + 1)
        export.write_idx(args.idx, train, test)
    else:

        def about(label: int) -> dict[str, object]:
            return run.about(label=label, seed=args.seed, temperature=args.temperature)

        export.write_each(args.each, *labelled(args.count, args.seed), about, args.scale or 1)
    total = args.count * len(args.label)
    print(f"{total:,} images of step {run.step:,}, {args.count:,} per label → {args.set}")


@terminal.command
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    folder = say_which(args.run)
    if args.animate and not args.interpolate:
        path = grids.write_training_gif(folder)
        if not path:
            raise Failure(f"{folder}/images holds no grids to animate: run python train.py, or add --interpolate")
        print(f"the fake2 grid, from noise to digits → {path}")
        return 0
    run = trained.load(folder, args.checkpoint)
    if args.set:
        write_set(run, args)
        return 0

    about = run.about(label=args.title, seed=args.seed, temperature=args.temperature)
    columns, name, scale = args.label, f"label_{args.title}", args.scale or 2
    if args.style_from:
        images, what = draw_styles(run, args)
        columns, name, scale = ["you", *args.label], f"style_{args.title}", args.scale or 3
        about["style_from"] = Path(args.style_from).name
    elif args.interpolate:
        images = drawing.walks(run.model, args.label, args.count, args.interpolate, args.seed, args.temperature)
        columns, name = [" > ".join(map(str, args.label))], f"interpolate_{args.title}"
        what = f"{args.count} walks, {args.title}"
    else:
        images, what = draw_grid(run, args), f"{args.count} × {args.title.replace('_', ' ')}"
    path = args.out or args.run / f"{name}.{'gif' if args.animate else 'png'}"
    if args.animate:
        pictures.write_walk_gif(path, images, columns, scale)
    else:
        pictures.write_png(path, pictures.sheet(images, columns, scale), about)
    print(f"{what}, from step {run.step:,} → {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
