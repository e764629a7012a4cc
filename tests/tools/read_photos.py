"""How many photographs of digits data/digit_photo.py makes readable, of each kind; the others go into FOLDER/wrong.png.

python tests/tools/make_photos.py out/photos
python tests/tools/read_photos.py out/photos    half a minute for 360 photographs; the first time one more

They are read by a CNN that is trained on MNIST once, and kept beside them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import data  # noqa: E402
from data import digit_photo  # noqa: E402
from engine import startup, terminal  # noqa: E402

startup.import_tensorflow()

import keras  # noqa: E402

from engine.classifiers import networks  # noqa: E402

EPOCHS = 4
SIDE = 130  # pixels of a photo in wrong.png


def classifier(path: Path, data_dir: str | None) -> keras.Model:
    """The CNN that reads digits: loaded from its file, or trained and written there."""
    net = networks.convnet((28, 28, 1), 10, 0)
    if path.exists():
        net.load_weights(path)
    else:
        networks.learn(net, *data.load("mnist", data_dir).train, EPOCHS, 0, "classifier")
        net.save_weights(path)
    return net


def prepared(path: Path) -> np.ndarray:
    """What digit_photo.prepare makes of a file; nothing but ink, which no digit is, if it finds none."""
    try:
        return digit_photo.prepare(path)
    except terminal.Failure:
        return np.full((28, 28), 255, np.uint8)


def sheet(paths: list[Path], made: np.ndarray) -> Image.Image:
    """Each photo beside what became of it, six pairs to a row."""
    page = Image.new("RGB", (6 * (2 * SIDE + 12), (SIDE + 4) * max(1, -(-len(paths) // 6))), (90, 90, 90))
    for i, (path, digit) in enumerate(zip(paths, made, strict=True)):
        left, top = i % 6 * (2 * SIDE + 12), i // 6 * (SIDE + 4)
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGBA")
        page.paste(ImageOps.pad(picture, (SIDE, SIDE), color="white"), (left, top))
        page.paste(Image.fromarray(digit).resize((SIDE, SIDE)), (left + SIDE + 2, top))
    return page


@terminal.command
def main(argv: list[str] | None = None) -> int:
    parser = terminal.Parser(__doc__)
    parser.add_argument("folder", type=Path, help="what make_photos.py has written")
    parser.add_argument("--data-dir", default=os.environ.get("MNIST_DIR"), help="of MNIST's files (default $MNIST_DIR)")
    args = parser.parse_args(argv)
    paths = sorted(args.folder.glob("*/?-*.*"))
    if not paths:
        raise terminal.Failure(f"{args.folder} has no photographs: make some with tests/tools/make_photos.py")
    kinds, labels = np.array([(path.parent.name, path.name[0]) for path in paths]).T
    made = np.stack([prepared(path) for path in paths])
    net = classifier(args.folder / "classifier.weights.h5", args.data_dir)
    read_as = networks.read(net, made[..., None]).argmax(1).astype(str)
    right = read_as == labels
    for kind in dict.fromkeys(kinds):
        print(f"{kind:16}{right[kinds == kind].sum():5} of {(kinds == kind).sum()}")
    print(f"{'all':16}{right.sum():5} of {len(right)}, {100 * right.mean():.1f} %")
    wrong = np.flatnonzero(~right)
    for i in wrong:
        print(f"{paths[i].relative_to(args.folder)} is read as {read_as[i]}")
    sheet([paths[i] for i in wrong], made[wrong]).save(args.folder / "wrong.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
