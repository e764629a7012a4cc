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
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import data
from data import files, mnist, photo, pictures, runs
from data.console import Failure, Parser, Progress, command, number, tensorflow

if TYPE_CHECKING:
    import tensorflow as tf

    from model import CVAE

# Every use of randomness has a stream of its own: a pure function of (seed, stream, counter), so nothing needs saving.
STREAMS = ("batch", "noise", "validation", "test", "grid", "set", "style", "evaluate")
ROOT = Path(__file__).resolve().parent
BATCH = 1000  # images decoded at a time: bounds the memory, whatever --count says
MOST = {"pictures": 10_000, "set": 1_000_000}  # --count × labels on one sheet, --count per label in a data set


class Run(NamedTuple):
    """A trained model and where it comes from."""

    model: CVAE
    config: dict
    folder: Path
    step: int

    def about(self, **more: object) -> dict[str, object]:
        """What the text metadata of this run's pictures says."""
        return {"run": self.folder.resolve().name, "step": self.step, "dataset": self.config["dataset"], **more}


def build(config: dict) -> CVAE:
    """The model that a config.json describes, with fresh weights."""
    tensorflow()
    from model import CVAE

    shape, labels, size = (config[key] for key in ("image_shape", "num_labels", "latent_dim"))
    return CVAE(tuple(shape), labels, size, config["seed"], config["precision"])


def or_reference(folder: Path) -> Path:
    """`folder`, or the shipped run as long as out/ holds none of the user's own."""
    reference = ROOT / "out" / "reference"
    if folder != ROOT / "out" or (folder / "config.json").exists() or not (reference / "config.json").exists():
        return folder
    print("no run in out yet: using the shipped one, out/reference (python train.py makes your own)")
    return reference


def load_run(folder: Path, checkpoint: str | None = None) -> Run:
    """The newest checkpoint in `folder` that reads whole, or the one named.

    Raises:
        Failure: no run there, no checkpoint, the one named is damaged, or it is of another architecture.
    """
    config = runs.read_config(folder)
    prefixes = [runs.prefix_of(checkpoint)] if checkpoint else runs.checkpoints(folder)
    model = build(config)
    state = tensorflow().train.Checkpoint(model=runs.weights(model))
    for prefix in prefixes:
        try:
            runs.restore(state, prefix, model, partly=True)
            return Run(model, config, folder, runs.step_of(prefix))
        except runs.Damaged as error:
            if checkpoint:
                raise Failure(f"{prefix} is damaged or missing ({error}): name another --checkpoint") from None
            print(f"{prefix} is damaged ({error}): trying the one before", file=sys.stderr)
    raise Failure(f"no checkpoint in {folder}: run python train.py first")


def normal(shape: Sequence[int], seed: int, stream: str, counter: int | tf.Tensor = 0) -> tf.Tensor:
    """Standard normal float32 noise, the same on every machine and device."""
    return tensorflow().random.stateless_normal(shape, key(seed, stream, counter))


def key(seed: int, stream: str, counter: int | tf.Tensor = 0) -> tf.Tensor:
    """The seed that tf.random.stateless_* takes, for one use of randomness."""
    tf = tensorflow()
    return tf.stack([tf.cast(len(STREAMS) * seed + STREAMS.index(stream), tf.int64), tf.cast(counter, tf.int64)])


def latents(
    seed: int, rows: int, columns: int, latent_dim: int, temperature: float = 1.0, same_style: bool = False
) -> np.ndarray:
    """z ~ N(0, temperature²·I), a pure function of the seed. (rows, columns, L); same_style: one z per row (S9, S10)"""
    z = temperature * normal((rows, 1 if same_style else columns, latent_dim), seed, "grid").numpy()
    return np.broadcast_to(z, (rows, columns, latent_dim))


def pixels(images: tf.Tensor | np.ndarray) -> np.ndarray:
    """Images in 0–1 → uint8, rounded (S3)."""
    return np.rint(255 * np.asarray(images)).astype(np.uint8)


def draw(model: CVAE, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Decode any number of z under their labels. (…, L) and (…) or mixtures (…, N) → uint8 (…, H, W, C)"""
    shape = z.shape[:-1]
    z = z.reshape(-1, z.shape[-1])
    y = np.broadcast_to(y, shape).reshape(-1) if y.ndim <= len(shape) else y.reshape(len(z), -1)
    parts = [pixels(model.generate(z[i : i + BATCH], y[i : i + BATCH])) for i in range(0, len(z), BATCH)]
    return np.concatenate(parts).reshape(*shape, *model.image_shape)


def fakes(run: Run, seed: int, same_style: bool) -> np.ndarray:
    """fake1 (S9) or fake2 (S10): ten rows, a column per label. uint8 (10, N, H, W, C)"""
    z = latents(seed, 10, run.model.num_labels, run.model.latent_dim, 1.0, same_style)
    return draw(run.model, z, np.arange(run.model.num_labels))


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Walk from a to b (…, L) along the great circle, at t in 0–1 (T,) → (…, T, L).

    A Gaussian in many dimensions lives near a sphere; a straight line would leave it for the blurred middle.
    """
    a, b = a[..., None, :], b[..., None, :]  # (…, 1, L)
    lengths = np.linalg.norm(a, axis=-1, keepdims=True), np.linalg.norm(b, axis=-1, keepdims=True)
    cosine = np.sum(a * b, axis=-1, keepdims=True) / np.maximum(lengths[0] * lengths[1], 1e-12)
    angle = np.maximum(np.arccos(np.clip(cosine, -1, 1)), 1e-6)
    t = t[:, None]  # (T, 1)
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def interpolate(run: Run, labels: Sequence[int], args: argparse.Namespace) -> np.ndarray:
    """Walks through z, one a row; several labels turn into one another on the way. uint8 (rows, T, H, W, C)"""
    z = latents(args.seed, args.count, 2, run.model.latent_dim, args.temperature)
    t = np.linspace(0, 1, args.interpolate)
    at = t * (len(labels) - 1)  # between which labels, and how far
    mixed = np.maximum(1 - np.abs(at[:, None] - np.arange(len(labels))), 0)  # (T, len(labels))
    y = mixed @ np.eye(run.model.num_labels, dtype=np.float32)[list(labels)]  # (T, N)
    y = np.broadcast_to(y, (args.count, *y.shape)).astype(np.float32)
    return draw(run.model, slerp(z[:, 0], z[:, 1], t).astype(np.float32), y)


def label_log_likelihoods(model: CVAE, x: np.ndarray, seed: int, samples: int = 50) -> np.ndarray:
    """ln p(x|y) of images in 0–1 (B, H, W, C) under every label: importance-weighted bounds in nats, (B, N)."""
    tf = tensorflow()
    n = model.num_labels
    images, labels = np.repeat(x, n, axis=0), np.tile(np.arange(n), len(x))
    weight = tf.function(model.log_weight)
    weights = [
        weight(images, labels, normal((len(labels), model.latent_dim), seed, "style", k)) for k in range(samples)
    ]
    return (tf.reduce_logsumexp(weights, axis=0) - np.log(samples)).numpy().reshape(-1, n)


def given_style(run: Run, args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, str]:
    """The picture as the model sees it, uint8 (H, W, C), its z (L,), and what was found about its label."""
    h, w, c = run.model.image_shape
    if args.style_from.startswith("test:"):
        test = data.load(run.config["dataset"], args.data_dir or run.config["data_dir"] or None, c).test
        try:
            picture = test.images[number(int, 0, len(test.labels) - 1)(args.style_from[5:])]
        except argparse.ArgumentTypeError as error:
            raise Failure(f"--style-from {args.style_from}: {error}") from None
    elif h != w:
        raise Failure(f"this run's images are {h}×{w}; --style-from takes pictures for square ones only")
    else:
        picture = np.repeat(photo.prepare(args.style_from, h)[..., None], c, axis=-1)
    x = picture[None] / np.float32(255)  # (1, H, W, C)
    label, found = args.style_label, "as told"
    if label is None:
        log_p = label_log_likelihoods(run.model, x, args.seed)[0]
        label = int(log_p.argmax())
        found = f"{np.exp(log_p[label] - np.logaddexp.reduce(log_p)):.1%} sure; --style-label tells it otherwise"
    mean, _ = run.model.encode(x, np.array([label]))
    return picture, mean.numpy()[0], f"read as a {label} ({found})"


def samples(run: Run, labels: Sequence[int], args: argparse.Namespace) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`args.count` images per label in batches, labels in turn: uint8 (B, H, W, C) and uint8 (B,)."""
    total, progress = args.count * len(labels), Progress(args.count * len(labels), "images")
    for done in range(0, total, BATCH):
        y = np.array(labels, np.uint8)[np.arange(done, min(done + BATCH, total)) % len(labels)]
        z = args.temperature * normal((BATCH, run.model.latent_dim), args.seed, "set", done // BATCH)
        yield draw(run.model, z.numpy()[: len(y)], y), y
        progress.update(done + len(y))
    progress.close()


def write_npz(path: Path, run: Run, labels: Sequence[int], args: argparse.Namespace) -> None:
    """`images` uint8 (N, H, W) or (N, H, W, 3) and `labels` uint8 (N,) for numpy.load; never all in memory."""
    h, w, c = run.model.image_shape
    total, kept = args.count * len(labels), []

    def member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], parts: Iterator[np.ndarray]) -> None:
        with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                file.write(part.tobytes())

    def images() -> Iterator[np.ndarray]:
        for x, y in samples(run, labels, args):
            kept.append(y)
            yield x

    with files.whole(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        member(archive, "images", (total, h, w) if c == 1 else (total, h, w, c), images())
        member(archive, "labels", (total,), iter(kept))


def write_idx(folder: Path, run: Run, labels: Sequence[int], args: argparse.Namespace) -> None:
    """The four files of MNIST's names: --count per label for training, a sixth of it (another seed) for the test.

    Raises:
        Failure: the images are not grey, or the folder holds such files already.
    """
    h, w, c = run.model.image_shape
    if c != 1:
        raise Failure("--idx holds grey images only, and this run's have colour: use --npz or --each")
    if taken := [name for name in mnist.FILES if mnist.find(folder, name)]:
        raise Failure(f"{folder / taken[0]} exists: choose another folder for --idx")
    for part, count, seed in ("train", args.count, args.seed), ("t10k", max(1, args.count // 6), args.seed + 1):
        some = argparse.Namespace(**{**vars(args), "count": count, "seed": seed})
        total = count * len(labels)
        with (
            files.whole(folder / f"{part}-images-idx3-ubyte") as images_path,
            files.whole(folder / f"{part}-labels-idx1-ubyte") as labels_path,
            open(images_path, "wb") as images_file,
            open(labels_path, "wb") as labels_file,
        ):
            images_file.write(mnist.idx_header((total, h, w)))
            labels_file.write(mnist.idx_header((total,)))
            for x, y in samples(run, labels, some):
                images_file.write(x.tobytes())
                labels_file.write(y.tobytes())


def write_each(folder: Path, run: Run, labels: Sequence[int], args: argparse.Namespace) -> None:
    """One PNG per sample: <label>_<number>.png."""
    drawn = 0
    for x, y in samples(run, labels, args):
        for image, label in zip(x, y, strict=True):
            about = run.about(label=label, seed=args.seed, temperature=args.temperature)
            picture = pictures.sheet(image[None, None], scale=args.scale or 1, gap=0)
            pictures.write_png(folder / f"{label}_{drawn // len(labels):05d}.png", picture, about)
            drawn += 1


def animate_training(folder: Path) -> Path | None:
    """training.gif: the fake2 grids that training left in images/, from noise to digits. None if there are not two."""
    paths = sorted((folder / "images").glob("img_*_fake2.png"), key=lambda path: int(path.name.split("_")[1]))
    if len(paths) < 2:
        return None
    every = max(1, len(paths) // 60)
    frames = [photo.Image.open(path) for path in (*paths[:-1:every], paths[-1])]
    pictures.write_gif(folder / "training.gif", frames, [300] * (len(frames) - 1) + [2000])
    return folder / "training.gif"


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, Parser]:
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--label", nargs="+", metavar="LABEL", help="labels to draw, or all (default: all where several fit)")
    add(
        "--count",
        type=number(int, 1, 10**9),
        help="images per label (default 64 for one, 10 for several, 1000 in a set)",
    )
    add("--seed", type=number(int, 0, 2**31 - 2), default=0, help="same run, same seed: the same picture (default 0)")
    add(
        "--temperature",
        type=number(float, 0, 100),
        default=1.0,
        help="scales z; lower is tamer (default 1.0)",
    )
    add("--same-style", action="store_true", help="one z for all labels of a row, as in fake2")
    add("--scale", type=number(int, 1, 32), help="pixels per pixel (default 2; 1 with --each)")
    add("--out", type=Path, metavar="FILE", help="the picture's file (default: named after the labels, in the run)")
    add(
        "--run", type=Path, default=ROOT / "out", help="folder of the run (default out, else the shipped out/reference)"
    )
    add("--checkpoint", help="an older checkpoint, such as out/model.ckpt-5000 (default: the newest)")
    add(
        "--data-dir", type=Path, help="where the IDX files of --style-from test:N are (default: where the run had them)"
    )
    mode = parser.add_argument_group("instead of a grid").add_mutually_exclusive_group()
    mode.add_argument("--style-from", metavar="PICTURE", help="draw in the hand of this picture, or test digit test:N")
    steps = number(int, 2, 1000)
    mode.add_argument(
        "--interpolate", type=steps, nargs="?", const=12, metavar="T", help="walks of T images (12), a row each"
    )
    mode.add_argument("--npz", type=Path, metavar="FILE", help="write a labelled data set for numpy.load")
    mode.add_argument("--idx", type=Path, metavar="DIR", help="write a data set in MNIST's own form")
    mode.add_argument("--each", type=Path, metavar="DIR", help="write one PNG per image")
    add("--style-label", type=number(int, 0, 999), help="what digit the picture of --style-from is (default: inferred)")
    add(
        "--animate", action="store_true", help="a looping GIF: of --interpolate, else training.gif from the run's grids"
    )
    args = parser.parse_args(argv)
    if args.animate and (args.style_from or args.npz or args.idx or args.each):
        parser.error("--animate goes with --interpolate or alone")
    if args.style_label is not None and not args.style_from:
        parser.error("--style-label goes with --style-from")
    if args.style_from and args.count:
        parser.error("--count does not go with --style-from, which draws one row")
    return args, parser


def labels_of(args: argparse.Namespace, config: dict, parser: Parser) -> list[int]:
    """The labels asked for; a usage error (exit 2) if the run does not know one."""
    last = config["num_labels"] - 1
    several = args.npz or args.idx or args.each or args.style_from or args.animate or args.interpolate
    if not args.label and not several:
        parser.error("which digit? give --label 7, --label 3 1 4 or --label all")
    if not args.label or args.label == ["all"]:
        return list(range(last + 1))
    try:
        return [int(number(int, 0, last)(word)) for word in args.label]
    except argparse.ArgumentTypeError as error:
        parser.error(f"--label: {error}, nor all")


@command
def main(argv: list[str] | None = None) -> int:
    args, parser = parse(argv)
    target, args.run = args.run, or_reference(args.run)
    labels = labels_of(args, runs.read_config(args.run), parser)
    one, as_set = len(labels) == 1, bool(args.npz or args.idx or args.each)
    args.count = args.count or (1000 if as_set else 64 if one and not args.interpolate else 10)
    most = MOST["set"] if as_set else MOST["pictures"] // (args.interpolate or len(labels))
    if args.count > most:
        parser.error(f"--count {args.count:,} is too many here: at most {most:,}")
    if args.animate and not args.interpolate:
        path = animate_training(args.run)
        if not path:
            raise Failure(f"{args.run}/images holds no grids to animate: run python train.py, or add --interpolate")
        print(f"the fake2 grid, from noise to digits → {path}")
        return 0

    run = load_run(args.run, args.checkpoint)
    if (args.style_label or 0) >= run.model.num_labels:
        parser.error(f"--style-label {args.style_label}: this run's labels are 0 to {run.model.num_labels - 1}")
    names = "all" if labels == list(range(run.model.num_labels)) else "_".join(map(str, labels))
    about = run.about(label=names, seed=args.seed, temperature=args.temperature)
    if as_set:
        path = args.npz or args.idx or args.each
        write = write_npz if args.npz else write_idx if args.idx else write_each
        write(path, run, labels, args)
        print(f"{args.count * len(labels):,} images of step {run.step:,}, {args.count:,} per label → {path}")
        return 0
    scale, titles, what = args.scale or 2, labels, f"{args.count} × {names.replace('_', ' ')}"
    if args.style_from:
        picture, z, what = given_style(run, args)
        images = np.concatenate([picture[None], draw(run.model, np.tile(z, (len(labels), 1)), np.array(labels))])[None]
        titles, name, scale = ["you", *labels], f"style_{names}", args.scale or 3
        about["style_from"] = Path(args.style_from).name
    elif args.interpolate:
        images = interpolate(run, labels, args)
        titles, name, what = [" > ".join(map(str, labels))], f"interpolate_{names}", f"{args.count} walks, {names}"
    else:
        columns = len(labels)
        images = draw(
            run.model,
            latents(args.seed, args.count, columns, run.model.latent_dim, args.temperature, args.same_style),
            np.array(labels),
        )
        images, name = pictures.square(images[:, 0]) if one else images, f"label_{names}"
    if args.animate:
        path = args.out or target / f"{name}.gif"
        walk = [pictures.sheet(pictures.square(images[:, i]), titles, scale) for i in range(images.shape[1])]
        pictures.write_gif(path, walk + walk[-2:0:-1], 100)
    else:
        path = args.out or target / f"{name}.png"
        pictures.write_png(path, pictures.sheet(images, titles, scale), about)
    print(f"{what}, from step {run.step:,} → {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
