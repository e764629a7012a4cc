"""Make out/reference, the shipped run, from a trained run. generate.py uses it until users have a run of their own.

python train.py -b 256 -r 4e-3 --schedule cosine --steps 80000 --out out/best
python evaluate.py --run out/best
python tests/tools/make_reference.py out/best          weights, label prior, metrics, page and pictures of that run
python tests/tools/make_reference.py                   page and pictures anew, from the shipped weights; half a minute
python tests/tools/make_reference.py --out DIR         the same in another folder, to look at them first

It makes the grids by both priors, style.png (from the first test digit), explorer.html, and explorer.png, a screenshot
of the page in Chromium with a 2 drawn into it. It copies weights, prior.npz, config.json, metrics.json and
training.gif. icons.png and icons_reconstructed.png are not made here: they are generate.py's and evaluate.py's of
README's run on icons.
"""

import dataclasses
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from engine import startup, terminal

startup.import_tensorflow()

import tensorflow as tf

import generate
from engine.runs import checkpoints, trained_model
from engine.runs.options import REFERENCE

COPIED = ("metrics.json", "training.gif", "prior.npz")
TWO = "33 42 62 73 65 38 58 78"  # the pen's path: points "xy" on a grid of ten by ten in the drawing area
VIEW = {"width": 1080, "height": 980}
GRIDS = {
    "fake1": "--label all --prior standard",
    "fake2": "--label all --same-style --prior standard",
    "fake1_label_prior": "--label all",
    "fake2_label_prior": "--label all --same-style",
    "style": "--style-from test:0",
}


def copy(source: Path, folder: Path) -> None:
    """Write a run's weights without the optimizer, its config and the COPIED files into `folder`."""
    run = trained_model.load(source)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("model.ckpt-*"):
        old.unlink()
    tf.train.Checkpoint(model=checkpoints.trackable(run.model)).write(f"{folder}/model.ckpt-{run.step}")
    dataclasses.replace(run.config, data_dir="").write(folder)  # data/mnist, wherever this is cloned to
    for name in COPIED:
        shutil.copy(source / name, folder / name)


def photograph(page: Path, picture: Path) -> None:
    """Draw a 2 into the page and write a screenshot."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise terminal.Failure(f"{picture} needs Chromium: apt-get install chromium")
    with sync_playwright() as driver:
        tab = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page(viewport=VIEW)
        tab.goto(page.resolve().as_uri())
        box = tab.locator("#canvas").bounding_box()
        for i, (x, y) in enumerate(TWO.split()):
            tab.mouse.move(box["x"] + int(x) / 10 * box["width"], box["y"] + int(y) / 10 * box["height"], steps=9)
            if i == 0:
                tab.mouse.down()
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
    if args.out.resolve() != args.run.resolve():
        copy(args.run, args.out)
    run = ["--run", str(args.out)]
    seed = ["--seed", str(trained_model.load(args.run).config.seed)]
    data_dir = ["--data-dir", args.data_dir] if args.data_dir else []
    commands = [[*words.split(), *seed, *data_dir, "--out", f"{args.out}/{name}.png"] for name, words in GRIDS.items()]
    for words in [*commands, ["--page", f"{args.out}/explorer.html"]]:
        status = generate.main([*run, *words])
        if status:
            return status
    photograph(args.out / "explorer.html", args.out / "explorer.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
