"""Random numbers as pure functions of (seed, stream, counter), so that there is no generator state to save."""

from collections.abc import Sequence

import tensorflow as tf

# Frozen: the length multiplies the seed, so a new stream would change the numbers of every seed but 0. A new use takes
# unused counters of an existing stream.
STREAMS = ("batch", "noise", "validation", "test", "grid", "set", "style", "evaluate")

# First counters of the uses of the stream "evaluate", far apart so that no two uses share numbers. A likelihood's draws
# begin at 0.
PRIOR, PROBE, HELD_OUT = (use << 32 for use in (2, 3, 5))


def key(seed: int, stream: str, counter: int | tf.Tensor = 0) -> tf.Tensor:
    """Return the seed (2,) to pass to tf.random.stateless_*."""
    return tf.stack([tf.cast(len(STREAMS) * seed + STREAMS.index(stream), tf.int64), tf.cast(counter, tf.int64)])


def normal(shape: Sequence[int], seed: int, stream: str, counter: int | tf.Tensor = 0) -> tf.Tensor:
    """Draw standard normal float32 noise, the same on every machine and device."""
    return tf.random.stateless_normal(shape, key(seed, stream, counter))


def uniform(count: int, seed: int, stream: str, counter: int = 0) -> tf.Tensor:
    """Draw float32 numbers in 0–1, (count,). The counter is offset, so that they are independent of `normal`'s."""
    return tf.random.stateless_uniform((count,), key(seed, stream, counter + (1 << 48)))
