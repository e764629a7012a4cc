"""A run's folder while train.py has it: locked, restored, logged into, saved into."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import shlex
from collections.abc import Iterator
from typing import NoReturn

import tensorflow as tf

from engine import checkpoints, devices, files, grids, metrics, ownership, prior_cache, reader
from engine.config import Config
from engine.evaluation import likelihood
from engine.evaluation.task import subset
from engine.log import EventLog, weights_and_latents
from engine.page import build
from engine.terminal import Failure, Progress, say
from engine.trained import Trained
from model import CVAE

LOG_EVERY = 100  # steps between scalars; also the most that one call of the compiled loop takes
KEEP = 5  # checkpoints
VALIDATION = 5_000  # images at most: MNIST's, and as many of a larger set
FRAMES = (10, 20, 50, 100, 200, 300, 500, 700, 1000, 1500, 2000, 3000)  # early fake2 grids, for training.gif


class Run:
    """The run of this process, the only one or the chief: it alone writes and speaks.

    Attributes:
        step: steps taken so far.
        totals: NLL and KL in nats, summed over the images since the last multiple of LOG_EVERY.
        rate: steps/s of the last call of the loop.
        stopped: the signal that ended training early, or 0.
    """

    def __init__(self, args: argparse.Namespace, config: Config, reload: str = "") -> None:
        self.args, self.config, self.folder, self.reload = args, config, args.out, reload
        self.step, self.rate, self.stopped, self.saved = 0, 20.0, 0, -1  # saved: the step of the newest checkpoint
        self.events = EventLog(self.folder / "logs")

    @classmethod
    @contextlib.contextmanager
    def begin(cls, args: argparse.Namespace, dataset: object) -> Iterator[Run]:
        """Make args.out this run's until the block ends: go on with the run there, or start one and write its config.

        Raises:
            Failure: a run with other settings is there (the text lists the differences), or what is no run's; another
                process has the folder; --reload names nothing.
        """
        config = Config.of(args, dataset)
        if not devices.is_chief():
            print("following the chief, who writes and speaks")
            yield Follower(args, config, checkpoints.prefix_of(args.reload or ""))
            return
        ownership.refuse_foreign(args.out, config)
        with files.lock(args.out):
            run = cls(args, *ownership.adopt(args, config))
            print(dataset)
            yield run

    def restore(self, strategy: tf.distribute.Strategy, model: CVAE, optimizer: tf.Module) -> None:
        """Read the newest checkpoint that reads whole, else --reload's weights, else nothing; move damaged ones aside.

        Raises:
            Failure: a checkpoint is of another architecture, or the workers are not of one run.
        """
        self.model = model
        self.counter, self.totals = tf.Variable(0, dtype=tf.int64), tf.Variable(tf.zeros(2, tf.float64))
        self.state = tf.train.Checkpoint(
            model=checkpoints.weights(model), optimizer=optimizer, step=self.counter, totals=self.totals
        )
        self.state.save_counter  # noqa: B018 - made at first use, and a checkpoint has it
        if self._restore_newest(strategy):
            self.step = self.saved = int(self.counter)
        elif self.reload:
            try:
                weights = tf.train.Checkpoint(model=checkpoints.weights(model))
                checkpoints.restore(weights, self.reload, model, partly=True)
            except checkpoints.Damaged as error:
                raise Failure(f"--reload {self.reload} is damaged ({error}): name another checkpoint") from None
        self._introduce(strategy)

    def _restore_newest(self, strategy: tf.distribute.Strategy) -> bool:
        """Whether there was a checkpoint to go on from. Damaged ones are kept in damaged/."""
        restored = False
        for prefix in checkpoints.newest_first(self.folder):
            try:
                checkpoints.restore(self.state, prefix, self.model)
                restored = True
                break
            except checkpoints.Damaged as error:
                aside = checkpoints.set_aside(prefix)
                print(f"{prefix} is damaged ({error}): moved to {aside}, trying the one before")
        checkpoints.rewrite_list(self.folder)
        self.manager = tf.train.CheckpointManager(self.state, str(self.folder), KEEP, checkpoint_name="model.ckpt")
        if devices.several_workers():
            devices.told_by_chief(strategy, int(self.counter) + 1 if restored else 0)
            if devices.total(strategy, 0):
                raise Failure("the other workers' settings or data differ from the chief's: their messages say in what")
        return restored

    def _introduce(self, strategy: tf.distribute.Strategy) -> None:
        replicas, steps = strategy.num_replicas_in_sync, self.args.steps
        kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        print(
            f"{self.model.count_params():,} parameters on {replicas} {kind}{'s' if replicas > 1 else ''}, "
            f"{self.args.batch_size // replicas} images each a step; writing to {self.folder}"
        )
        if steps and self.step >= steps:
            more = "" if self.config.schedule == "cosine" else "go on with a larger --steps, or "  # a cosine has ended
            print(f"this run is finished: step {self.step:,} of {steps:,}; {more}start anew with --fresh")
        elif self.step:
            print(f"going on from step {self.step:,}")
        if not self.config.replicas:
            self.config = dataclasses.replace(self.config, replicas=replicas)
            self.config.write(self.folder)
        elif self.config.replicas != replicas:
            print(f"begun on {self.config.replicas} replicas, now {replicas}: the same results but for rounding")

    def next_stop(self) -> int:
        """Where the loop next hands over: the nearest log, picture, save or end, half a second away at most.

        So signals are heard between two calls. Several workers must all take the same number of steps.
        """
        most = LOG_EVERY if devices.several_workers() else max(1, min(LOG_EVERY, int(self.rate / 2)))
        regular = [(self.step // every + 1) * every for every in (LOG_EVERY, self.args.save_every)]
        single = [step for step in (*FRAMES, self.args.steps) if step > self.step]
        return min(self.step + most, *regular, *single)

    def log(self, bar: Progress) -> None:
        """Show the loss on the bar; write scalars every LOG_EVERY steps, and an early fake2 grid at FRAMES."""
        self._raise_if_moved()
        nll, kl = self.totals.numpy() / (self.args.batch_size * ((self.step - 1) % LOG_EVERY + 1))
        bar.advance(self.step - bar.done, f"loss {nll + kl:.1f} = NLL {nll:.1f} + KL {kl:.1f}  {self.rate:.0f} steps/s")
        if self.step % LOG_EVERY == 0:
            self.events.write(self.step, {"train/loss": nll + kl, "train/nll": nll, "train/kl": kl})
            self.totals.assign(tf.zeros_like(self.totals))
        if self.step in FRAMES:
            grids.write_fake(self._trained(), self.args.seed, same_style=True, newest=False)

    def save(self, dataset: object, pictures: bool = True) -> None:
        """Write grids, validation and log, then the checkpoint: a run killed in between does them again. Once a step.

        Args:
            pictures: False for a run that was stopped between two saves: the checkpoint only.

        Raises:
            Failure: the weights or the validation loss are not finite, or the folder is gone; nothing is written.
        """
        pictures = pictures or self.step % self.args.save_every == 0 or self.step == self.args.steps
        if self.saved == self.step and (not pictures or grids.path_of(self.folder, self.step, "fake1").exists()):
            return
        self._raise_if_moved()
        if not all(tf.reduce_all(tf.math.is_finite(weight)) for weight in self.model.trainable_variables):
            self.fail_unsaved("the weights are not finite", self.step)
        if self.config.likelihood == "gaussian":
            self.model.variance.assign(likelihood.best_variance(self.model, dataset.train, self.args.seed))
        if pictures:
            found = likelihood.elbo(self.model, subset(dataset.validation, VALIDATION, 0), self.args.seed, "validation")
            if not math.isfinite(found["negative_elbo"]):
                self.fail_unsaved("the validation loss is not finite", self.step)
            grids.write_fake(self._trained(), self.args.seed, same_style=True)
            grids.write_fake(self._trained(), self.args.seed, same_style=False)
            grids.write_real(self._trained(), dataset.validation, self.args.seed)
            scalars = {f"validation/{key}": value for key, value in found.items()}
            self.events.write(self.step, scalars, weights_and_latents(self.model, dataset.validation))
            say(f"step {self.step:>7,}  validation −ELBO {found['negative_elbo']:.2f} nats")
        self.counter.assign(self.step)
        checkpoints.save(self.manager, self.step)
        self.saved = self.step

    def fail_unsaved(self, why: str, step: int) -> NoReturn:
        raise Failure(f"step {step:,}: {why}; nothing of it was saved. Try a smaller --learn-rate.")

    def _raise_if_moved(self) -> None:
        files.check_held(self.folder)
        self._trained().into(self.folder)

    def _trained(self) -> Trained:
        """This run as it is now, for drawing."""
        return Trained(self.model, self.config, self.folder, self.step)

    def finish(self, dataset: object) -> int:
        """Write the test result, the label prior (each once per step), the reader, pictures; say what to do next.

        Returns the exit status.
        """
        if self.stopped:
            # A word that abbreviates --fresh would move the run aside that the advice is to go on with.
            words = [word for word in self.args.words if not (len(word) > 2 and "--fresh".startswith(word))]
            say(f"stopped at step {self.step:,}, saved; go on with: python train.py {shlex.join(words)}".rstrip())
            return 128 + self.stopped
        metrics.test(self._trained(), dataset, self.args.seed)
        grids.write_training_gif(self.folder)
        prior = prior_cache.load_or_fit(self._trained(), lambda: dataset, needed=False)
        grids.write_readable(self._trained(), self.args.seed, prior)
        net = reader.keep_or_train(self._trained(), lambda: dataset)
        build.write(self._trained(), prior, self.folder / "explorer.html", reader=net)
        print(f"look at {self.folder / 'fake1.png'} and fake2.png; open explorer.html, beside them, to play with it")
        where = "" if self.folder == files.OUT else f" --run {self.folder}"
        print(f"then: python generate.py --label {self.config.example}{where}")
        return 0


class Follower(Run):
    """The run of a worker that is not the chief: it computes its share, reads what the chief saved, writes nothing."""

    def _restore_newest(self, strategy: tf.distribute.Strategy) -> bool:
        step = devices.told_by_chief(strategy, 0) - 1
        try:
            chiefs = Config.read(self.folder)
            mine = dataclasses.replace(self.config, reload=self.config.reload or chiefs.reload)
            wrong = "; ".join(chiefs.differences(mine))
        except Failure:
            wrong = f"no config.json in {self.folder}"
        if devices.total(strategy, int(wrong != "")):
            told = wrong or "none here: another worker's message says it"
            raise Failure(f"workers need the chief's settings and data, in one --out that all share; differing: {told}")
        if step >= 0:
            try:
                checkpoints.restore(self.state, str(self.folder / f"model.ckpt-{step}"), self.model)
            except checkpoints.Damaged as error:
                raise Failure(f"workers need one --out that all share: no step {step} there ({error})") from None
        return step >= 0

    def _introduce(self, strategy: tf.distribute.Strategy) -> None:
        pass

    def log(self, bar: Progress) -> None:
        pass

    def save(self, dataset: object, pictures: bool = True) -> None:
        pass

    def finish(self, dataset: object) -> int:
        return 128 + self.stopped if self.stopped else 0
