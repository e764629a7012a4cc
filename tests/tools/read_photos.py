"""How many photographs of digits data/photo.py makes readable, of each kind; the others are drawn in FOLDER/wrong.png.

They are read by a CNN that is trained on MNIST once and kept in out/.

python tests/tools/make_photos.py out/photos
python tests/tools/read_photos.py out/photos
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import keras
import make_photos
import numpy as np
from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data import mnist, photo  # noqa: E402
from engine import files  # noqa: E402
from engine.classifiers import networks  # noqa: E402
from engine.terminal import Failure  # noqa: E402

READER = files.OUT / "reader-of-photos.weights.h5"
EPOCHS = 4


def reader() -> keras.Model:
    """The CNN that reads digits: kept, or trained now."""
    net = networks.convnet((28, 28, 1), 10, 0)
    if READER.exists():
        net.load_weights(READER)
        return net
    where = make_photos.mnist_folder()
    if where is None:
        raise SystemExit("the reader needs MNIST's four files in data/mnist or $MNIST_DIR")
    images, labels = list(mnist.read(where)[0].values())[:2]
    net = networks.learn(net, images.reshape(-1, 28, 28, 1), labels, EPOCHS, 0, "reader")
    net.save_weights(READER)
    return net


def sheet(photos: list[Image.Image], made: list[np.ndarray]) -> Image.Image:
    """Each photo beside what became of it, six pairs to a row."""
    side = 130
    page = Image.new("RGB", (6 * (2 * side + 12), (side + 4) * max(1, -(-len(photos) // 6))), (90, 90, 90))
    for i, (picture, digit) in enumerate(zip(photos, made, strict=True)):
        left, top = i % 6 * (2 * side + 12), i // 6 * (side + 4)
        picture = ImageOps.exif_transpose(picture).convert("RGBA")
        page.paste(ImageOps.pad(picture, (side, side), color="white"), (left, top))
        page.paste(Image.fromarray(digit).resize((side, side)), (left + side + 2, top))
    return page


def prepared(path: Path) -> np.ndarray:
    """What photo.prepare makes of a file; nothing but ink, which no digit is, if it finds none."""
    try:
        return photo.prepare(path)
    except Failure:
        return np.full((28, 28), 255, np.uint8)


def read(folder: Path) -> None:
    """Print what is read right of each kind, and which are not; draw those in wrong.png."""
    paths = sorted(path for kind in make_photos.KINDS for path in (folder / kind).glob("?-*.*"))
    kinds, labels = np.array([(path.parent.name, path.name[0]) for path in paths]).T
    made = np.stack([prepared(path) for path in paths])
    found = networks.read(reader(), made[..., None]).argmax(1).astype(str)
    right = found == labels
    for kind in make_photos.KINDS:
        print(f"{kind:16}{right[kinds == kind].sum():5} of {(kinds == kind).sum()}")
    print(f"{'all':16}{right.sum():5} of {len(right)}, {100 * right.mean():.1f} %")
    wrong = np.flatnonzero(~right)
    for i in wrong:
        print(f"{paths[i].relative_to(folder)} is read as {found[i]}")
    sheet([Image.open(paths[i]) for i in wrong], made[wrong]).save(folder / "wrong.png")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what tests/make_photos.py has written")
    read(parser.parse_args(argv).folder)


if __name__ == "__main__":
    main()
