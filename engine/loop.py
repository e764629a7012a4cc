"""The compiled training loop, its watch for NaN, and Adam as one kernel."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable

import keras
import tensorflow as tf

from engine import batches
from engine.config import Config
from engine.evaluation.likelihood import ROUNDING
from engine.run import Run
from engine.terminal import Stop
from model import CVAE


def learning_rate(config: Config) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Constant, or falling to 0 on a cosine."""
    if config.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(config.learn_rate, config.decay_steps)
    return config.learn_rate


class FusedAdam(keras.optimizers.Optimizer):
    """Adam (Kingma & Ba 2014, arXiv 1412.6980), the update of a variable as TensorFlow's one kernel.

    Equal to keras.optimizers.Adam, which takes some fifteen operations for it (tests/benchmark.py). ε stands outside
    the bias correction, as in the last lines of the paper's section 2.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        epsilon: float,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
    ) -> None:
        super().__init__(learning_rate, name="adam")
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self.moments = [
            [self.add_variable_from_reference(variable, name=name) for name in ("momentum", "velocity")]
            for variable in variables
        ]
        # update_step gets a replica's own copy of a variable: which of `variables` each of them is of.
        copies = [tf.distribute.get_strategy().experimental_local_results(variable.value) for variable in variables]
        self.places = tuple((id(copy), i) for i, some in enumerate(copies) for copy in some)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        m, v = self.moments[dict(self.places)[id(variable)]]
        t = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=m.value.handle,
            v=v.value.handle,
            beta1_power=self.beta_1**t,
            beta2_power=self.beta_2**t,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def batch_variance(model: CVAE, x: tf.Tensor, logits: tf.Tensor) -> tf.Tensor | None:
    """The Gaussian's σ² that makes a batch likeliest: its mean squared error, over pixels and all replicas' examples.

    A constant for the gradient, and exactly so: at the best σ² the NLL's derivative by σ² is 0 (Rybkin et al. 2021,
    arXiv 2006.13202, section 3.3). None for a Bernoulli likelihood.
    """
    if model.likelihood == "bernoulli":
        return None
    error = tf.reduce_mean((x - tf.sigmoid(logits)) ** 2)
    error = tf.distribute.get_replica_context().all_reduce("MEAN", error)
    return tf.stop_gradient(tf.maximum(error, ROUNDING))


def compiled(
    strategy: tf.distribute.Strategy, step: Callable, source: batches.Resident | batches.Streamed
) -> Callable[[Run, Stop], None]:
    """advance(run, stop): many steps in one call, up to run.next_stop(); run.step and run.totals say how far.

    Args:
        step: (uint8 images, labels, noise) of this replica's share of a batch → their summed NLL and KL, having updated
            the weights.
        source: of the batches.

    `advance` raises Failure at a loss that is not finite, naming the step and the term.
    """

    def stacked(arrays: tuple[tf.Tensor, ...], i: tf.Tensor) -> tf.Tensor:
        return tf.stack(step(*source.share(arrays, i)))

    @tf.function
    def steps(arrays, start, end, totals, stop) -> tuple[tf.Tensor, ...]:
        bad, terms = tf.constant(-1, tf.int64), tf.zeros(2)
        for i in tf.range(start, end):
            now = strategy.reduce("SUM", strategy.run(stacked, (arrays, i)), axis=None)
            totals += tf.cast(now, tf.float64)
            first = tf.logical_and(bad < 0, tf.logical_not(tf.reduce_all(tf.math.is_finite(now))))
            bad, terms = tf.where(first, i + 1, bad), tf.where(first, now, terms)
        # Any worker's wish to stop is every worker's: they must all leave the loop at the same step.
        return totals, bad, terms, strategy.reduce("SUM", strategy.run(tf.identity, (stop,)), axis=None)

    def advance(run: Run, stop: Stop) -> None:
        start, began = run.step, time.perf_counter()
        end = min(run.next_stop(), (start // source.steps + 1) * source.steps)
        ends = [tf.constant(n, tf.int64) for n in (start, end)]
        wish = tf.constant(int(stop.signal > 0))
        totals, bad, terms, wishes = steps(source.at(start), *ends, run.totals.read_value(), wish)
        if bad >= 0:
            names = [name for name, value in zip(("NLL", "KL"), terms.numpy(), strict=True) if not math.isfinite(value)]
            run.fail_unsaved(f"{' and '.join(names)} became NaN or infinite", int(bad))
        run.totals.assign(totals)
        run.step, run.rate = end, (end - start) / (time.perf_counter() - began)
        if wishes:
            run.stopped = stop.signal or signal.SIGINT

    return advance
