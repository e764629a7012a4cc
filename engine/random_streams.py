"""All randomness: every use has a stream of its own, a pure function of (seed, stream, counter); nothing is saved."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

# The length of this list multiplies the seed: another stream would change the bits of every seed but 0. New uses take
# new counters of a stream that is there.
STREAMS = ("batch", "noise", "validation", "test", "grid", "set", "style", "evaluate")

# Counters of the stream "evaluate", far apart: every use of randomness has numbers of its own.
DRAWS, PRIOR, PROBE, GENERATED, HELD_OUT = (use << 32 for use in (0, 2, 3, 4, 5))


def key(seed: int, stream: str, counter: int | tf.Tensor = 0) -> tf.Tensor:
    """The seed that tf.random.stateless_* takes, for one use of randomness."""
    return tf.stack([tf.cast(len(STREAMS) * seed + STREAMS.index(stream), tf.int64), tf.cast(counter, tf.int64)])


def normal(shape: Sequence[int], seed: int, stream: str, counter: int | tf.Tensor = 0) -> tf.Tensor:
    """Standard normal float32 noise, the same on every machine and device."""
    return tf.random.stateless_normal(shape, key(seed, stream, counter))


def uniform(count: int, seed: int, stream: str, counter: int = 0) -> tf.Tensor:
    """float32 in 0–1 (count,), of counters of its own: by those of `normal` it would be the same randomness."""
    return tf.random.stateless_uniform((count,), key(seed, stream, counter + (1 << 48)))
