"""The optimizer, and the compiled training loop."""

from collections.abc import Callable

import keras
import tensorflow as tf

from engine.config import Config
from engine.training import batches
from model import CVAE, ROUNDING


class FusedAdam(keras.optimizers.Adam):
    """keras.optimizers.Adam (Kingma & Ba 2014, arXiv 1412.6980) that updates each variable with one fused kernel.

    Keras uses about fifteen operations per variable, 3 to 10 % of a step at 28 × 28 (tests/MEASUREMENTS.md).
    ε is added outside the bias correction, as in the last lines of the paper's section 2.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def learning_rate(config: Config) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate: constant, or a cosine schedule that falls to 0."""
    if config.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(config.learn_rate, config.decay_steps)
    return config.learn_rate


def batch_variance(model: CVAE, x: tf.Tensor, logits: tf.Tensor) -> tf.Tensor | None:
    """Return the maximum-likelihood σ² of a batch: its mean squared error over pixels and all replicas' images.

    Its gradient is stopped, which is exact: at the best σ² the NLL's derivative with respect to σ² is 0 (Rybkin et al.
    2021, arXiv 2006.13202, section 3.3). None for a Bernoulli likelihood.
    """
    if model.likelihood == "bernoulli":
        return None
    error = tf.reduce_mean((x - tf.sigmoid(logits)) ** 2)
    error = tf.distribute.get_replica_context().all_reduce("MEAN", error)
    return tf.stop_gradient(tf.maximum(error, ROUNDING))


class Loop:
    """A training step compiled into a loop of many steps.

    Args:
        step: trains on this replica's share of a batch: (uint8 images, labels, noise) → NLL and KL in nats, summed
            over the images.
        source: where the batches come from.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, step: Callable, source: batches.Resident | batches.Streamed
    ) -> None:
        self.source = source

        def stacked(arrays: tuple[tf.Tensor, ...], i: tf.Tensor) -> tf.Tensor:
            return tf.stack(step(*source.share(arrays, i)))

        @tf.function
        def steps(arrays, start, end, totals, stop) -> tuple[tf.Tensor, ...]:
            for i in tf.range(start, end):
                sums = strategy.reduce("SUM", strategy.run(stacked, (arrays, i)), axis=None)
                totals += tf.cast(sums, tf.float64)
            # If one worker is asked to stop, all stop: they must leave the loop at the same step.
            return totals, strategy.reduce("SUM", strategy.run(tf.identity, (stop,)), axis=None)

        self.steps = steps

    def advance(self, start: int, end: int, totals: tf.Tensor, stop: bool) -> tuple[tf.Tensor, bool]:
        """Run the steps start … end − 1, at most to the next multiple of `source.steps`, in one call of the loop.

        Returns `totals`, float64 (2,), with these steps' NLL and KL added, in nats summed over the images, and whether
        any worker was asked to `stop`.
        """
        bounds = [tf.constant(n, tf.int64) for n in (start, end)]
        totals, stops = self.steps(self.source.at(start), *bounds, totals, tf.constant(int(stop)))
        return totals, bool(stops)
