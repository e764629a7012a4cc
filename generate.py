"""Draw images with a trained run. Each command prints the path of the file it writes.

python generate.py --label 7                      64 sevens → out/label_7.png
python generate.py --label all --same-style       one style per row: all ten digits in one handwriting
python generate.py --label 3 1 4 --count 5        a column per label, five rows; labels may be names: --label rose
python generate.py --style-from photo.png         all ten digits in the handwriting of a photo, or of test:123
python generate.py --label 3 8 --interpolate      from 3 to 8 in small steps, one walk per row; with --animate as a GIF
python generate.py --npz set.npz --count 6000     a labelled data set; or --idx DIR, --each DIR
python generate.py --page                         an interactive page for any browser; --savedmodel DIR for TensorFlow
"""

import argparse
import functools
import math
import sys
from pathlib import Path

from engine import startup, terminal
from engine.config import Config
from engine.drawing import labels
from engine.runs.options import add_run_flags, or_reference
from engine.terminal import bounded, local_path, named

MOST_CELLS = 10_000  # limit on the images of one sheet
MOST_BYTES = 1 << 29  # limit on a data set's pixels: it is built in memory, which stays below 1 GB
MODEL = {"--checkpoint", "--data-dir", "--prior"}
IMAGES = MODEL | {"--label", "--seed"}
SET = IMAGES | {"--count", "--temperature"}
MODES = {  # the flag that chooses a mode, the most specific first: the flags that may go with it
    "--style-from": IMAGES | {"--style-label", "--scale", "--out"},
    "--interpolate": SET | {"--scale", "--out", "--animate"},
    "--npz": SET,
    "--idx": SET,
    "--each": SET | {"--scale"},
    "--page": MODEL,
    "--savedmodel": MODEL,
    "--label": SET | {"--scale", "--out", "--same-style"},
}


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; add args.mode (a key of MODES), title and in_set. Label and count depend on the run."""
    parser = terminal.Parser(__doc__)
    add = parser.add_argument
    add("--label", nargs="+", metavar="LABEL", help="labels by name or number, or all (needed for a grid, else: all)")
    add("--count", type=bounded(int, 1, 10**9), help="images per label (64 of one, 10 of several, 1000 in a set)")
    add("--temperature", type=bounded(float, 0, 100), default=1.0, help="scales the spread of z (default %(default)s)")
    add("--same-style", action="store_true", help="one style for all labels of a row, as in fake2")
    add("--prior", choices=("label", "standard"), help="p(z|y), or the article's N(0, I) (default: label if available)")
    add("--scale", type=bounded(int, 1, 32), help="pixels per pixel (default: by image size; 1 with --each)")
    add("--out", type=named(".png", ".gif"), metavar="FILE", help="image file (default: in the run, named by label)")
    add_run_flags(parser)
    choose = parser.add_argument_group("instead of a grid").add_mutually_exclusive_group().add_argument
    choose("--style-from", metavar="PICTURE", help="draw in the style of this picture, or of test image test:N")
    choose("--interpolate", type=bounded(int, 2, 1000), nargs="?", const=12, metavar="T", help="walks of T images (12)")
    choose("--npz", type=named(".npz"), metavar="FILE", help="write a labelled data set for numpy.load")
    choose("--idx", type=local_path, metavar="DIR", help="write a data set in MNIST's file format")
    choose("--each", type=local_path, metavar="DIR", help="write one PNG per image, in a folder per label")
    page = {"type": named(".html"), "nargs": "?", "const": Path(), "metavar": "FILE"}
    choose("--page", **page, help="write an interactive page for any browser (default explorer.html in the run)")
    choose("--savedmodel", type=local_path, metavar="DIR", help="write a SavedModel, which needs none of this code")
    add("--style-label", metavar="LABEL", help="the label that --style-from shows (default: it is recognised)")
    add("--animate", action="store_true", help="write --interpolate as a looping GIF")
    args = parser.parse_args(argv)
    args.mode = parser.mode(args, MODES)
    if args.out and str(args.out).lower().endswith(".gif") != args.animate:
        parser.error(f"--out {args.out}: with --animate name a .gif, without it a .png")
    config = Config.read(or_reference(args.run))
    if args.mode is None:
        parser.error(f"which label? give --label {config.example} or --label all")
    try:
        args.label = labels.find_all(args.label or ["all"], config.names)
        if args.style_label is not None:
            args.style_label = labels.find(args.style_label, config.names)
    except ValueError as error:
        parser.error(str(error))
    args.title = labels.title(args.label, config.names)
    args.in_set = bool(args.npz or args.idx or args.each)
    most = MOST_BYTES // math.prod(config.image_shape) if args.in_set else MOST_CELLS  # limit on all images
    most_each = most // (args.interpolate or len(args.label))
    usual = 64 if args.mode == "--label" and len(args.label) == 1 else max(1, min(10, 1000 // len(args.label)))
    args.count = args.count or (1000 if args.in_set else usual)
    if args.count > most_each:
        parser.error(f"--count {args.count:,} is too many here: at most {most_each:,}, for {most:,} images in all")
    return args


if __name__ == "__main__":
    terminal.check_early(parse)  # usage errors and --help do not wait two seconds for TensorFlow
startup.import_tensorflow()

import numpy as np

import data
from engine.classifiers import digit_reader
from engine.drawing import sheets
from engine.drawing.sampling import Generator, load  # noqa: F401 (load is for notebooks: from generate import load)
from engine.export import datasets, savedmodel
from engine.export.page import build
from engine.latent import prior_cache
from engine.latent.prior import STANDARD_NORMAL, Prior
from engine.runs import trained_model
from engine.runs.trained_model import Trained


def draw(run: Trained, prior: Prior, args: argparse.Namespace, metadata: dict[str, object]) -> None:
    """Write the images of --label, --interpolate or --style-from: a sheet as PNG, or walks as a GIF."""
    names, generator = [run.config.names[label] for label in args.label], Generator(run, prior)
    if args.mode == "--style-from":
        picture = data.picture_for(run.config, args.style_from, args.data_dir)
        label, sure = args.style_label, "as told"
        if label is None:
            label, sure = digit_reader.reading(run, prior, picture, args.seed)
        shown = run.config.names[label]
        images = np.concatenate([picture[None], generator.restyle(picture, shown, names)])[None]
        titles, what = ["you", *names], f"read as {shown} ({sure})"
        metadata = metadata | {"style_from": Path(args.style_from).name}
    elif args.interpolate:
        images = generator.walks(args.label, args.count, args.interpolate, args.seed, args.temperature)
        titles, what = [" > ".join(names)], f"{args.count} walks of {args.interpolate} images"
    else:
        images = generator.generate(names, args.count, args.seed, args.temperature, args.same_style)
        images = sheets.square(images[:, 0]) if len(names) == 1 else images
        titles, what = names, f"{args.count} × {'all' if args.title == 'all' else ' '.join(names)}"
    name = args.mode[2:].removesuffix("-from")
    path = args.out or args.run / f"{name}_{args.title}.{'gif' if args.animate else 'png'}"
    scale = args.scale or sheets.scale_for(run.model.image_shape) + (args.mode == "--style-from")
    if args.animate:  # a frame shows all walks at one point; they play to and fro
        frames = [sheets.sheet(sheets.square(images[:, i]), titles, scale) for i in range(images.shape[1])]
        sheets.write_gif(path, frames + frames[-2:0:-1], 100)
    else:
        sheets.write_png(path, sheets.sheet(images, titles, scale), metadata)
    print(f"{what}, from step {run.step:,} → {path}")


def write_set(run: Trained, prior: Prior, args: argparse.Namespace, metadata: dict[str, object]) -> None:
    """Write the labelled data set of --npz, --idx or --each, with --count images per label."""
    names = run.config.label_names
    make = functools.partial(Generator(run, prior).labelled_set, args.label, temperature=args.temperature)
    if args.idx:
        datasets.check_folder(args.idx)
        datasets.check_idx(run.model.image_shape[-1], run.model.num_labels)
        datasets.write_idx(args.idx, make(args.count, args.seed), make(max(1, args.count // 6), args.seed + 1), names)
    elif args.npz:
        datasets.write_npz(args.npz, *make(args.count, args.seed), names)
    else:
        datasets.check_folder(args.each)
        datasets.write_each(args.each, *make(args.count, args.seed), run.config.names, metadata, args.scale or 1)
    print(f"{len(args.label)} × {args.count:,} images, from step {run.step:,} → {args.npz or args.idx or args.each}")


@terminal.command
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    run = trained_model.load(or_reference(args.run, say=True), args.checkpoint)
    prior, needed = STANDARD_NORMAL, args.prior == "label"
    if args.prior != "standard":  # N(0, I) also if the run's data are not here, unless the label prior is asked for
        dataset = functools.partial(data.of_run, run.config, args.data_dir, download=needed)
        prior = prior_cache.load_or_fit(run, dataset, needed)
    metadata = run.about(label=args.title, seed=args.seed, temperature=args.temperature, prior=prior.name)
    if args.in_set:
        write_set(run, prior, args, metadata)
    elif args.savedmodel:
        savedmodel.write(run, prior, args.savedmodel)
        print(f"step {run.step:,} as a SavedModel: tf.saved_model.load, or TensorFlow Serving → {args.savedmodel}")
    elif args.page:
        path = args.page if args.page.name else args.run / "explorer.html"
        size = build.write(run, prior, path)
        print(f"step {run.step:,} as a page of {size / 1000:,.0f} kB → {path}")
    else:
        draw(run, prior, args, metadata)
    return 0


if __name__ == "__main__":
    sys.exit(main())
