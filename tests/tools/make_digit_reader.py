"""Train the digit reader and write its weights to engine/classifiers/digit_reader.npz: 5 minutes on two cores.

python tests/tools/make_digit_reader.py --out FILE.npz               MNIST from data/mnist, else downloaded by Keras
python tests/tools/make_digit_reader.py --data-dir DIR --epochs 1    MNIST's four files in DIR; shorter

It is trained on MNIST, augmented anew in every epoch to look like other people's digits: narrower, slanted, bent,
thicker or thinner, blurred. The constants were chosen by the accuracy that tests/tools/other_writers.py measures.
"""

import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import data
from engine import files, startup, terminal

startup.import_tensorflow()

import keras
import tensorflow as tf

from engine.classifiers import digit_reader, networks

EPOCHS, RATE, SEED = 5, 2e-3, 0
PART = 5_000  # images augmented at a time, which bounds the memory
PLAIN = 0.2  # share of the images that are not augmented
BEGUN, FLAGGED = 0.1, 0.6  # share of the images, and share of the 1s, that get an initial stroke
GROUP = 100  # images that share a displacement field
ASPECT = -1.0, 0.5  # range of ln(width factor)
TAPER = 0.9  # largest perspective: change of the homogeneous divisor over the height; half of it over the width
INK = 48  # of 255: brighter pixels belong to the bounding box of the digit


def network() -> keras.Model:
    """Build the reader as a Keras network: uint8 (N, 28, 28, 1) → logits (N, 10); 101,562 weights."""
    stack = [keras.Input((digit_reader.SIDE, digit_reader.SIDE, 1)), keras.layers.Rescaling(1 / 255)]
    for k, filters in enumerate((16, 32, 48), 1):
        stack.append(keras.layers.Conv2D(filters, 5, 2, "same", activation="relu", name=f"conv{k}"))
    stack += [keras.layers.Flatten()]
    stack += [keras.layers.Dense(64, activation="relu", name="dense"), keras.layers.Dense(10, name="logits")]
    return keras.Sequential(stack)


def augmented(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Augment digits, uint8 (N, H, W, C), bright on black, to look like other hands; size and position as MNIST's."""
    out = images.copy()
    changed = rng.uniform(size=len(images)) >= PLAIN
    images, labels, parts = images[changed], labels[changed], []
    for i in range(0, len(images), PART):
        x = _begun(images[i : i + PART], labels[i : i + PART], rng).astype(np.float32)
        for step in (_bent, _written, _redrawn, _softened):
            x = step(x, rng)
        parts.append(x)
    out[changed] = np.concatenate(parts)
    return out


def _begun(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add an initial stroke that leads up to the topmost ink to BEGUN of the digits, and to FLAGGED of the 1s."""
    count, height, width, _ = images.shape
    chosen = np.flatnonzero(rng.uniform(size=count) < np.where(labels == 1, FLAGGED, BEGUN))
    ink = images[chosen].max(axis=-1) > 127
    top = ink.any(axis=2).argmax(axis=1)
    tip = np.stack([top, ink[np.arange(len(chosen)), top].argmax(axis=1)], -1)
    turn = np.radians(rng.uniform(15, 75, len(chosen)))
    length = rng.uniform(2, 12, (len(chosen), 1, 1)).astype(np.float32)
    pen = rng.uniform(0.6, 1.3, (len(chosen), 1, 1)).astype(np.float32)  # half of the stroke's width
    towards = np.stack([np.sin(turn), -np.cos(turn)], -1)[:, None, None].astype(np.float32)  # down and to the left
    away = np.stack(np.mgrid[:height, :width], -1).astype(np.float32) - tip[:, None, None].astype(np.float32)
    along = (away * towards).sum(-1)
    square = (away**2).sum(-1) - along**2 + (along - along.clip(0, length)) ** 2  # squared distance to the stroke
    line = 255 * np.clip(pen + 0.5 - np.sqrt(np.maximum(square, 0)), 0, 1)
    begun = images.copy()
    begun[chosen] = np.maximum(images[chosen], line[..., None].astype(np.uint8))
    return begun


def _bent(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Warp images (N, H, W, C) by a smooth random displacement field; GROUP images share one."""
    count, height, width, channels = x.shape
    groups = -(-count // GROUP)
    flow = tf.image.resize(rng.normal(0, 0.5, (groups, 4, 4, 2)), (height, width), "bicubic").numpy()
    down = (np.arange(height)[:, None] + flow[..., 0]).clip(0, height - 1.001)
    across = (np.arange(width) + flow[..., 1]).clip(0, width - 1.001)
    corner = (down.astype(int) * width + across.astype(int)).reshape(groups, -1)
    down, across = ((at % 1).reshape(groups, -1, 1).astype(np.float32) for at in (down, across))
    flat = x.reshape(count, height * width, channels)
    out = np.empty_like(flat)
    for i in range(groups):
        chosen, at = flat[i * GROUP : (i + 1) * GROUP], corner[i]
        above = chosen[:, at] + across[i] * (chosen[:, at + 1] - chosen[:, at])
        below = chosen[:, at + width] + across[i] * (chosen[:, at + width + 1] - chosen[:, at + width])
        out[i * GROUP : (i + 1) * GROUP] = above + down[i] * (below - above)
    return out.reshape(x.shape)


def _written(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change aspect, perspective, slant and angle, then normalise as MNIST does: float32 (N, H, W, C).

    That is, scale each digit to a box of about 20/28 of the side and move its centre of mass near the middle.
    """
    count, height, width, _ = x.shape
    turn, slant, aspect = np.radians(rng.normal(0, 6, count)), rng.normal(0, 0.2, count), rng.uniform(*ASPECT, count)
    taper = rng.uniform(-TAPER, TAPER, (2, count)) / [[2 * width], [height]]
    cos, sin, none, one = np.cos(turn), np.sin(turn), np.zeros(count), np.ones(count)
    turned = _matrices(cos, -sin, none, sin, cos, none, none, none, one)
    ahead = turned @ _matrices(np.exp(aspect), -slant, none, none, one, none, *taper, one)

    ink = x.max(axis=-1).reshape(count, -1)
    down, across = np.mgrid[:height, :width].reshape(2, -1) - [[(height - 1) / 2], [(width - 1) / 2]]
    at = ahead.astype(np.float32) @ np.stack([across, down, np.ones_like(down)]).astype(np.float32)  # (N, 3, H·W)
    at = at[:, :2] / at[:, 2:]
    inked = (ink > INK)[:, None]
    box = np.where(inked, at, -np.inf).max(axis=2) - np.where(inked, at, np.inf).min(axis=2) + 1  # (N, 2)
    scale = rng.uniform(0.92, 1.05, count) * 20 / 28 * height / box.max(axis=1).clip(1)
    middle = np.einsum("nk,nck->cn", ink, at) / ink.sum(axis=1).clip(1)
    left, top = rng.uniform(-0.5, 1.5, (2, count)) - scale * middle
    placed = _matrices(scale, none, left, none, scale, top, none, none, one)

    centre = _matrices(1, 0, (width - 1) / 2, 0, 1, (height - 1) / 2, 0, 0, 1)
    back = centre @ np.linalg.inv(placed @ ahead) @ np.linalg.inv(centre)  # TensorFlow maps output to input pixels
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=x,
        transforms=(back / back[:, 2:, 2:]).reshape(count, 9)[:, :8].astype(np.float32),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    ).numpy()


def _matrices(*entries: np.ndarray | float) -> np.ndarray:
    """Build 3 × 3 matrices from nine entries, numbers or arrays (N,): (N, 3, 3), or (1, 3, 3)."""
    return np.stack(np.broadcast_arrays(*np.atleast_1d(*entries)), -1).reshape(-1, 3, 3)


def _redrawn(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thicken strokes by up to a pixel, or thin them a little."""
    pen = rng.uniform(-0.4, 1, (len(x), 1, 1, 1)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    out = np.empty_like(x)
    for chosen, extreme in ((pen.ravel() > 0, np.maximum), (pen.ravel() <= 0, np.minimum)):
        pair = extreme(padded[chosen, 1:], padded[chosen, :-1])
        out[chosen] = x[chosen] + np.abs(pen[chosen]) * (extreme(pair[:, :, 1:], pair[:, :, :-1]) - x[chosen])
    return out


def _softened(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur some of the images by up to a pixel and scale the strongest ink to 255: uint8 (N, H, W, C)."""
    kernel = np.outer([1, 2, 1], [1, 2, 1])[:, :, None, None].astype(np.float32) / 16
    soft = tf.nn.depthwise_conv2d(x, np.tile(kernel, (1, 1, x.shape[-1], 1)), [1, 1, 1, 1], "SAME").numpy()
    blur = rng.uniform(-0.7, 1, (len(x), 1, 1, 1)).astype(np.float32)
    x = x + np.maximum(blur, 0) * (soft - x)
    full = np.maximum(x.max(axis=(1, 2, 3), keepdims=True), 1)
    return np.rint(255 * x.clip(0) / full).astype(np.uint8)


@terminal.command
def main(argv: list[str] | None = None) -> int:
    parser = terminal.Parser(__doc__)
    add = parser.add_argument
    add("--data-dir", default=os.environ.get("MNIST_DIR"), help="folder of MNIST's four files (default $MNIST_DIR)")
    add("--out", type=terminal.named(".npz"), metavar="FILE", default=digit_reader.WEIGHTS, help="(%(default)s)")
    add("--epochs", type=terminal.bounded(int, 1, 100), default=EPOCHS, help="(default %(default)s)")
    args = parser.parse_args(argv)
    mnist = data.load("mnist", args.data_dir)
    keras.utils.set_random_seed(SEED)  # for the initial weights
    net = network()
    networks.shifted = lambda images, rng: augmented(images, mnist.train.labels, rng)  # in place of shifts by a pixel
    networks.learn(net, *mnist.train, args.epochs, SEED, "digit reader", RATE)
    weights = {f"{layer.name}/{w.name}": w.numpy().astype(np.float16) for layer in net.layers for w in layer.weights}
    with files.whole(args.out) as partial, open(partial, "wb") as file:
        np.savez(file, data=np.str_(mnist.fingerprint), **weights)
    images, labels = mnist.test
    reader = {name: value.astype(np.float32) for name, value in weights.items()}
    share = np.mean(digit_reader.logits(reader, images).argmax(axis=1) == labels)
    print(f"reads {share:.2%} of {len(labels):,} test digits → {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
