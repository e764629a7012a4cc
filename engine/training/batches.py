"""Training batches as pure functions of (seed, step): gathered in device memory, or read ahead from a file."""

import functools
import mmap
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from engine import random_streams
from engine.config import Config
from engine.dataset import Split

RESIDENT = 1 << 29  # bytes: a training set up to this size is copied to every device
CHUNK = 100 << 20  # bytes of images that are read ahead at a time


def of(strategy: tf.distribute.Strategy, config: Config, split: Split) -> "Resident | Streamed":
    """Return the source of batches for a split: Resident if it fits on the device, else Streamed; the same batches."""
    return (Resident if split.images.nbytes <= RESIDENT else Streamed)(strategy, config, split)


class Resident:
    """Batches gathered on each device, which has a copy of all images and labels."""

    steps = 1 << 62  # most steps per call: no limit

    def __init__(self, strategy: tf.distribute.Strategy, config: Config, split: Split) -> None:
        self.config, self.draw = config, _sampler(config, split)
        # In a tf.function, because an eager strategy.run warns that it is slow.
        copied = tf.function(lambda *arrays: strategy.run(lambda *copies: copies, arrays))
        self.arrays = copied(tf.constant(split.images), tf.constant(split.labels, tf.int32))

    def at(self, step: int) -> tuple[tf.Tensor, ...]:
        """Return the arrays that `share` needs for the batches from `step` to the next multiple of `steps`."""
        return self.arrays

    def share(self, arrays: tuple[tf.Tensor, ...], i: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return this replica's share of batch i: uint8 images (b, H, W, C), labels (b,), normal noise (b, L)."""
        index = _replica_share(self.draw(i))
        images = _augment(self.config, tf.gather(arrays[0], index), i)
        return images, tf.gather(arrays[1], index), _noise(self.config, i)


class Streamed:
    """Batches read ahead from a memory-mapped file: a thread gathers the next ones while a step computes."""

    def __init__(self, strategy: tf.distribute.Strategy, config: Config, split: Split) -> None:
        self.strategy, self.config = strategy, config
        self.images, self.labels = split.images, split.labels.astype(np.int32)
        self.steps = max(1, min(100, CHUNK // (config.batch_size * split.images[0].nbytes)))
        self.draw = tf.function(functools.partial(tf.map_fn, _sampler(config, split), fn_output_signature=tf.int32))
        self.thread, self.ahead = ThreadPoolExecutor(1), {}

    def at(self, step: int) -> tuple[tf.Tensor, ...]:
        first = step // self.steps
        numbers = (first, first + 1)
        self.ahead = {number: self.ahead.get(number) or self.thread.submit(self._read, number) for number in numbers}
        return self.ahead[first].result()

    def share(self, arrays: tuple[tf.Tensor, ...], i: tf.Tensor) -> tuple[tf.Tensor, ...]:
        images, labels = (array[i % self.steps] for array in arrays)
        return _augment(self.config, images, i), labels, _noise(self.config, i)

    def _read(self, number: int) -> tuple[tf.Tensor, ...]:
        """Read each replica's shares of the `steps` batches from number · steps on, (steps, b, …), to its device."""
        with tf.device("CPU:0"):
            index = self.draw(tf.range(number * self.steps, (number + 1) * self.steps, dtype=tf.int64)).numpy()
        _will_need(self.images, index.ravel().tolist())

        def gather(context: tf.distribute.ReplicaContext) -> tuple[tf.Tensor, tf.Tensor]:
            rows = np.split(index, context.num_replicas_in_sync, axis=1)[context.replica_id_in_sync_group]
            return tf.constant(self.images[rows]), tf.constant(self.labels[rows])

        return self.strategy.experimental_distribute_values_from_function(gather)


def _will_need(images: np.ndarray, rows: Iterable[int]) -> None:
    """Prefetch these rows of a memory-mapped array in the background (madvise); does nothing on Windows.

    Otherwise Linux reads half a megabyte around each row, one row after the other: 20 times slower (measured).
    """
    base = images
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, mmap.mmap) or not hasattr(base, "madvise"):
        return
    start, size = images.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data, images[0].nbytes
    for row in rows:
        first = start + row * size
        into_page = first % mmap.PAGESIZE
        base.madvise(mmap.MADV_WILLNEED, first - into_page, size + into_page)


def _sampler(config: Config, split: Split) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function i → image indices (B,) of batch i, with replacement; config.balance: all labels equally."""

    def uniform(i: tf.Tensor, most: int) -> tf.Tensor:
        key = random_streams.key(config.seed, "batch", i)
        return tf.random.stateless_uniform((config.batch_size,), key, 0, most, tf.int32)

    if not config.balance:
        return lambda i: uniform(i, len(split.labels))
    sizes = np.unique(split.labels, return_counts=True)[1].astype(np.int32)
    first = np.cumsum(sizes, dtype=np.int32) - sizes
    order = np.argsort(split.labels, kind="stable").astype(np.int32)

    def balanced(i: tf.Tensor) -> tf.Tensor:
        label, nth = uniform(i, len(sizes)), uniform(i + (1 << 48), 1 << 30)
        return tf.gather(order, tf.gather(first, label) + nth % tf.gather(sizes, label))

    return balanced


def _augment(config: Config, images: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
    """Shift and mirror this replica's images of batch i at random, as config.augment says. uint8 (b, H, W, C)

    Shifts are up to a twentieth of the side in each direction. Beyond its border an image is reflected.
    """
    if config.augment == "none":
        return images
    key = random_streams.key(config.seed, "batch", i + (2 << 48))
    draws = _replica_share(tf.random.stateless_uniform((config.batch_size, 3), key))  # (b, 3) in 0–1
    for axis in 1, 2:
        side = images.shape[axis]
        most = max(1, side // 20)
        shift = tf.cast(draws[:, axis - 1] * (2 * most + 1), tf.int32) - most
        at = tf.abs(tf.range(side) + shift[:, None])
        at = side - 1 - tf.abs(side - 1 - at)  # (b, side)
        if axis == 2 and config.augment == "shift+flip":
            at = tf.where(draws[:, 2:] < 0.5, at, at[:, ::-1])
        images = tf.gather(images, at, axis=axis, batch_dims=1)
    return images


def _replica_share(batch: tf.Tensor) -> tf.Tensor:
    """Return this replica's share of a batch (B, …). All shares have the same size."""
    context = tf.distribute.get_replica_context()
    size = batch.shape[0] // context.num_replicas_in_sync
    first = context.replica_id_in_sync_group * size
    return tf.ensure_shape(batch[first : first + size], (size, *batch.shape[1:]))


def _noise(config: Config, i: tf.Tensor) -> tf.Tensor:
    return _replica_share(random_streams.normal((config.batch_size, config.latent_dim), config.seed, "noise", i))
