"""Write the grids of a training run: fake1 (S9), fake2 (S10), real, and training.gif, an animation of fake2."""

from pathlib import Path

import numpy as np
from PIL import Image

from engine.dataset import Split
from engine.drawing import sheets
from engine.drawing.sampling import Generator
from engine.latent.prior import STANDARD_NORMAL, Prior
from engine.runs.trained_model import Trained
from engine.terminal import say

EARLY = (10, 20, 50, 100, 200, 300, 500, 700, 1000, 1500, 2000, 3000)  # steps of extra fake2 grids for training.gif


def path_of(folder: Path, step: int, name: str) -> Path:
    return folder / "images" / f"img_{step:06d}_{name}.png"


def are_written(folder: Path, step: int) -> bool:
    """Return whether the grids of this step's save exist. The real images are written last, so they are tested."""
    return path_of(folder, step, "real").exists()


def write_fake(run: Trained, name: str, prior: Prior = STANDARD_NORMAL) -> None:
    """Draw a grid, with a z per cell (S9) if its name is fake1, or per row (S10) if it is fake2.

    With z ~ N(0, I) it is written as images/img_<step>_<name>.png and <name>.png, else as <name>_label_prior.png.
    """
    images = Generator(run, prior).generate("all", _rows(run), run.config.seed, same_style=name == "fake2")
    paths = [run.folder / f"{name}_label_prior.png"]
    if prior is STANDARD_NORMAL:
        paths = [path_of(run.folder, run.step, name), run.folder / f"{name}.png"]
    _write(run, images, *paths, prior=prior.name)


def write_real(run: Trained, split: Split) -> None:
    """Write images/img_<step>_real.png: images of the split, a column per label; cells without an image are black."""
    grid = np.zeros((_rows(run), run.config.num_labels, *run.config.image_shape), np.uint8)
    for label in range(run.config.num_labels):
        images = split.images[np.flatnonzero(split.labels == label)[: len(grid)]]
        grid[: len(images), label] = images
    _write(run, grid, path_of(run.folder, run.step, "real"))


def _rows(run: Trained) -> int:
    """Return the number of rows of a grid with a column per label: ten, or fewer to stay within 500 images."""
    return max(1, min(10, 500 // run.config.num_labels))


def _write(run: Trained, images: np.ndarray, *paths: Path, **metadata: object) -> None:
    sheet = sheets.sheet(images, run.config.names)
    for path in paths:
        sheets.write_png(path, sheet, run.about(label="all", seed=run.config.seed, temperature=1.0, **metadata))


def write_training_gif(folder: Path) -> None:
    """Write training.gif from the readable fake2 grids in images/, if there are two."""
    paths = sorted((folder / "images").glob("img_[0-9]*_fake2.png"), key=lambda path: (len(path.name), path.name))
    frames = []
    for path in (*paths[: -1 : max(1, len(paths) // 60)], *paths[-1:]):
        try:
            with Image.open(path) as image:
                frames.append(image.copy())
        except Exception:  # Pillow's decoders raise nearly anything on a damaged file
            say(f"{path} is damaged: left out of training.gif")
    if len(frames) > 1:
        sheets.write_gif(folder / "training.gif", frames, [300] * (len(frames) - 1) + [2000])
