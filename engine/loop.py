"""The compiled training loop, its watch for NaN, and Adam as one kernel."""

from __future__ import annotations

import argparse
import math
import signal
import time
from collections.abc import Callable

import keras
import tensorflow as tf

from engine.run import Run
from engine.terminal import Stop


def learning_rate(args: argparse.Namespace) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """--learn-rate, constant or falling to 0 over --steps on a cosine."""
    if args.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(args.learn_rate, args.steps)
    return args.learn_rate


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


def compiled(strategy: tf.distribute.Strategy, step: Callable, split: object) -> Callable[[Run, Stop], None]:
    """advance(run, stop): many steps in one call, up to run.next_stop(); run.step and run.totals say how far.

    Args:
        step: (images, labels, i) → this replica's summed NLL and KL of batch i, having updated the weights.
        split: its images, uint8 (N, H, W, C), and labels live on every device.

    `advance` raises Failure at a loss that is not finite, naming the step and the term.
    """
    # On its way through a function, because an eager strategy.run warns of its own slowness.
    images, labels = tf.function(lambda x, y: strategy.run(lambda *xy: xy, (x, y)))(
        tf.constant(split.images), tf.constant(split.labels, tf.int32)
    )

    def stacked(images: tf.Tensor, labels: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
        return tf.stack(step(images, labels, i))

    @tf.function
    def steps(images, labels, start, end, totals, stop) -> tuple[tf.Tensor, ...]:
        bad, terms = tf.constant(-1, tf.int64), tf.zeros(2)
        for i in tf.range(start, end):
            now = strategy.reduce("SUM", strategy.run(stacked, (images, labels, i)), axis=None)
            totals += tf.cast(now, tf.float64)
            first = tf.logical_and(bad < 0, tf.logical_not(tf.reduce_all(tf.math.is_finite(now))))
            bad, terms = tf.where(first, i + 1, bad), tf.where(first, now, terms)
        # Any worker's wish to stop is every worker's: they must all leave the loop at the same step.
        return totals, bad, terms, strategy.reduce("SUM", strategy.run(tf.identity, (stop,)), axis=None)

    def advance(run: Run, stop: Stop) -> None:
        start, end, began = run.step, run.next_stop(), time.perf_counter()
        ends = [tf.constant(n, tf.int64) for n in (start, end)]
        wish = tf.constant(int(stop.signal > 0))
        totals, bad, terms, wishes = steps(images, labels, *ends, run.totals.read_value(), wish)
        if bad >= 0:
            names = [name for name, value in zip(("NLL", "KL"), terms.numpy(), strict=True) if not math.isfinite(value)]
            run.fail_unsaved(f"{' and '.join(names)} became NaN or infinite", int(bad))
        run.totals.assign(totals)
        run.step, run.rate = end, (end - start) / (time.perf_counter() - began)
        if wishes:
            run.stopped = stop.signal or signal.SIGINT

    return advance
