"""The batches of training, functions of (seed, step) alone: from the device's memory, or read ahead from a file."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from engine import random_streams
from engine.config import Config
from engine.dataset import Split

RESIDENT = 1 << 29  # bytes of training images that every device keeps a copy of
CHUNK = 100 << 20  # bytes that are read ahead at a time

Share = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # uint8 images (b, H, W, C), labels (b,), standard normal noise (b, L)


def of(strategy: tf.distribute.Strategy, config: Config, split: Split) -> Resident | Streamed:
    """The training images of a run; the same batches either way.

    Args:
        split: its images, uint8 (N, H, W, C), in memory or memory-mapped, and labels (N,).
    """
    size = int(np.prod(split.images.shape, dtype=np.int64))
    return (Resident if size <= RESIDENT else Streamed)(strategy, config, split)


class Resident:
    """Images and labels live on every device; a batch is gathered there."""

    steps = 1 << 62  # that one call may take

    def __init__(self, strategy: tf.distribute.Strategy, config: Config, split: Split) -> None:
        self.config, self.draw = config, _drawn(config, split)
        # On its way through a function, because an eager strategy.run warns of its own slowness.
        self.arrays = tf.function(lambda x, y: strategy.run(lambda *xy: xy, (x, y)))(
            tf.constant(split.images), tf.constant(split.labels, tf.int32)
        )

    def at(self, step: int) -> tuple[tf.Tensor, ...]:
        """What `share` takes for the batches from `step` to the next multiple of `steps`."""
        return self.arrays

    def share(self, arrays: tuple[tf.Tensor, ...], i: tf.Tensor) -> Share:
        """This replica's share of batch i."""
        index = _mine(self.draw(i))
        return tf.gather(arrays[0], index), tf.gather(arrays[1], index), _noise(self.config, i)


class Streamed:
    """Each replica's shares of some batches are gathered, from a mapped file, while those before are computed."""

    def __init__(self, strategy: tf.distribute.Strategy, config: Config, split: Split) -> None:
        self.strategy, self.config = strategy, config
        self.images, self.labels = split.images, split.labels.astype(np.int32)
        one = config.batch_size * int(np.prod(split.images.shape[1:]))
        self.steps = max(1, min(100, CHUNK // one))
        draw = _drawn(config, split)
        self.draw = tf.function(lambda steps: tf.map_fn(draw, steps, fn_output_signature=tf.int32))
        self.thread, self.ahead = ThreadPoolExecutor(1), {}

    def at(self, step: int) -> tuple[tf.Tensor, ...]:
        number = step // self.steps
        if number not in self.ahead:
            self.ahead = {number: self.thread.submit(self._read, number)}
        now = self.ahead[number]
        if number + 1 not in self.ahead:
            self.ahead = {number: now, number + 1: self.thread.submit(self._read, number + 1)}
        return now.result()

    def share(self, arrays: tuple[tf.Tensor, ...], i: tf.Tensor) -> Share:
        size = self.config.batch_size // tf.distribute.get_replica_context().num_replicas_in_sync
        first = tf.cast(i % self.steps, tf.int32) * size
        images, labels = (array[first : first + size] for array in arrays)
        images = tf.ensure_shape(images, (size, *self.images.shape[1:]))
        return images, tf.ensure_shape(labels, (size,)), _noise(self.config, i)

    def _read(self, number: int) -> tuple[tf.Tensor, ...]:
        """The shares of batches number · steps and on, each replica's one after the other, on its device."""
        with tf.device("CPU:0"):
            index = self.draw(tf.range(number * self.steps, (number + 1) * self.steps, dtype=tf.int64)).numpy()
        _will_need(self.images, index.ravel().tolist())

        def mine(context: tf.distribute.ReplicaContext, array: object) -> tf.Tensor:
            shares = np.split(index, context.num_replicas_in_sync, axis=1)
            return tf.constant(array[shares[context.replica_id_in_sync_group].reshape(-1)])

        distribute = self.strategy.experimental_distribute_values_from_function
        return tuple(
            distribute(lambda context, array=array: mine(context, array)) for array in (self.images, self.labels)
        )


def _will_need(images: np.ndarray, rows: Iterable[int]) -> None:
    """Have the system read these rows of a memory-mapped array, all at once and in the background.

    Without, Linux reads half a megabyte around each of them, one after the other: where the file does not fit memory,
    a twentieth as many rows a second (measured). Does nothing for arrays in memory, and on Windows.
    """
    base = images
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, mmap.mmap) or not hasattr(base, "madvise"):
        return
    start, size = images.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data, images[0].nbytes
    for row in rows:
        first = start + row * size
        page = first // mmap.PAGESIZE * mmap.PAGESIZE
        base.madvise(mmap.MADV_WILLNEED, page, first + size - page)


def _drawn(config: Config, split: Split) -> Callable[[tf.Tensor], tf.Tensor]:
    """i → the indices (B,) of batch i, drawn with replacement; `balance`d: the labels alike."""
    count, size, seed = len(split.labels), config.batch_size, config.seed

    def evenly(i: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_uniform((size,), random_streams.key(seed, "batch", i), 0, count, tf.int32)

    if not config.balance:
        return evenly
    present, sizes = np.unique(split.labels, return_counts=True)
    order, first = np.argsort(split.labels, kind="stable").astype(np.int32), np.cumsum(sizes) - sizes

    def balanced(i: tf.Tensor) -> tf.Tensor:
        label = tf.random.stateless_uniform((size,), random_streams.key(seed, "batch", i), 0, len(present), tf.int32)
        nth = tf.random.stateless_uniform(
            (size,), random_streams.key(seed, "batch", i + (1 << 48)), 0, 1 << 30, tf.int32
        )
        return tf.gather(
            order, tf.gather(first.astype(np.int32), label) + nth % tf.gather(sizes.astype(np.int32), label)
        )

    return balanced


def _mine(whole: tf.Tensor) -> tf.Tensor:
    """This replica's equal part of (B, …)."""
    context = tf.distribute.get_replica_context()
    size = whole.shape[0] // context.num_replicas_in_sync
    first = context.replica_id_in_sync_group * size
    return tf.ensure_shape(whole[first : first + size], (size, *whole.shape[1:]))


def _noise(config: Config, i: tf.Tensor) -> tf.Tensor:
    return _mine(random_streams.normal((config.batch_size, config.latent_dim), config.seed, "noise", i))
