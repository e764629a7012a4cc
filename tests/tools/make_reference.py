"""Make out/reference, the run that generate.py uses before there is one of your own, from a trained run.

python train.py -b 256 -r 4e-3 --schedule cosine --steps 80000 --out out/best
python evaluate.py --run out/best
python tests/tools/make_reference.py out/best          weights, label prior, metrics, page and pictures of that run
python tests/tools/make_reference.py                   page and pictures anew, from the shipped weights; half a minute
python tests/tools/make_reference.py --out DIR         the same in another folder, to look at them first

Made are the grids by both priors, style.png (of the first test digit), explorer.html, and explorer.png, a 2 drawn into
the page in Chromium. Weights, prior.npz, config.json, metrics.json and training.gif are copied. shapes.png is of a
run on shapes: README, "Your own pictures".
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from engine import startup, terminal  # noqa: E402

startup.import_tensorflow()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from hands import curve  # noqa: E402

import generate  # noqa: E402
from engine.runs import checkpoints, trained_model  # noqa: E402
from engine.runs.options import REFERENCE  # noqa: E402

COPIED = ("metrics.json", "training.gif", "prior.npz")
TWO = "33 42 62 73 65 38 58 78"  # points "xy" of a pen's way, on a grid of ten by ten in the drawing area
VIEW = {"width": 1080, "height": 980}


def copy(source: Path, folder: Path) -> None:
    """Write a run's weights without the optimizer, its config and what else is kept of it into `folder`."""
    run = trained_model.load(source)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("model.ckpt-*"):
        old.unlink()
    tf.train.Checkpoint(model=checkpoints.trackable(run.model)).write(str(folder / f"model.ckpt-{run.step}"))
    dataclasses.replace(run.config, data_dir="").write(folder)  # data/mnist, wherever this is cloned to
    for name in COPIED:
        shutil.copy(source / name, folder / name)


def photograph(page: Path, picture: Path) -> None:
    """A picture of the page in which a 2 has been drawn."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise terminal.Failure(f"{picture} needs Chromium: apt-get install chromium")
    with sync_playwright() as driver:
        tab = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page(viewport=VIEW)
        tab.goto(page.resolve().as_uri())
        box = tab.locator("#canvas").bounding_box()
        way = curve(np.array([[int(x), int(y)] for x, y in TWO.split()])) / 10 * [box["width"], box["height"]]
        way += [box["x"], box["y"]]
        tab.mouse.move(*way[0])
        tab.mouse.down()
        for point in way[1:]:
            tab.mouse.move(*point)
        tab.mouse.up()
        while not tab.evaluate("state.picture && state.picture.own !== null && jobs.size === 0"):
            tab.wait_for_timeout(100)
        tab.mouse.move(0, 0)
        tab.screenshot(path=picture)


@terminal.command
def main(argv: list[str] | None = None) -> int:
    parser = terminal.Parser(__doc__)
    parser.add_argument("run", nargs="?", type=Path, default=REFERENCE, help="a trained run (default: the shipped one)")
    parser.add_argument("--out", type=Path, default=REFERENCE, help="folder (default %(default)s)")
    parser.add_argument("--data-dir", default=os.environ.get("MNIST_DIR"), help="of MNIST's files (default $MNIST_DIR)")
    args = parser.parse_args(argv)
    folder, seed = args.out, str(trained_model.load(args.run).config.seed)
    if folder.resolve() != args.run.resolve():
        copy(args.run, folder)
    data_dir = ["--data-dir", args.data_dir] if args.data_dir else []
    grids = {
        "fake1": ["--label", "all", "--prior", "standard"],
        "fake2": ["--label", "all", "--same-style", "--prior", "standard"],
        "fake1_label_prior": ["--label", "all"],
        "fake2_label_prior": ["--label", "all", "--same-style"],
        "style": ["--style-from", "test:0", *data_dir],
    }
    status = 0
    for name, words in grids.items():
        path = folder / f"{name}.png"
        status = status or generate.main(["--run", str(folder), "--seed", seed, *words, "--out", str(path)])
    status = status or generate.main(["--run", str(folder), "--page", str(folder / "explorer.html")])
    if not status:
        photograph(folder / "explorer.html", folder / "explorer.png")
    return status


if __name__ == "__main__":
    sys.exit(main())
