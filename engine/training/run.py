"""The state of a run during training: its step, its checkpoints, its log. Evaluation and drawing are elsewhere."""

import argparse
import contextlib
import dataclasses
import math
import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from typing import NoReturn

import tensorflow as tf

from engine import files
from engine.config import Config, default_learn_rate
from engine.runs import checkpoints, directory
from engine.runs.tensorboard import EventLog
from engine.runs.trained_model import Trained
from engine.startup import python
from engine.terminal import Failure, Progress, Stop, number, say
from engine.training import devices
from engine.training.loop import Loop
from model import CVAE

LOG_EVERY = 100  # steps between two logged losses; also the most steps per call of the compiled loop


class Run:
    """The run that this process trains, alone or as one of several workers. Only the chief writes and prints.

    Attributes:
        step: steps taken so far.
        saved: the step of the newest checkpoint; −1: none.
        timed: the same if --save-minutes caused that checkpoint, which the next one then replaces; else −1.
        stopped: the signal that ended training early, or 0.
        totals: NLL and KL in nats, summed over the images since the last multiple of LOG_EVERY.
        rate: steps/s of the last call of the loop.
        is_chief: whether this process writes and prints. Other workers only compute their share of each batch.
    """

    def __init__(self, args: argparse.Namespace, config: Config, reload: str = "", is_chief: bool = True) -> None:
        self.args, self.config, self.folder, self.reload, self.is_chief = args, config, args.out, reload, is_chief
        self.step, self.saved, self.timed, self.stopped = 0, -1, -1, 0
        self.rate, self.saved_at = 20.0, time.monotonic()  # rate: steps/s assumed for the first call
        self.events = EventLog(self.folder / "logs")

    @classmethod
    @contextlib.contextmanager
    def begin(cls, args: argparse.Namespace, config: Config) -> Iterator["Run"]:
        """Start or resume the run in args.out: lock the folder until the block ends, and write the config.

        Raises Failure as directory.refuse_foreign, files.lock and directory.adopt do.
        """
        if not devices.is_chief():
            print("following the chief, which writes and prints")
            yield cls(args, config, checkpoints.prefix_of(args.reload or ""), is_chief=False)
            return
        directory.refuse_foreign(args.out, config)
        with files.lock(args.out):
            yield cls(args, config, directory.adopt(args, config))

    def restore(self, strategy: tf.distribute.Strategy, model: CVAE, optimizer: tf.Module) -> None:
        """Restore the newest intact checkpoint, else --reload's weights, else nothing; move damaged ones to damaged/.

        Raises Failure if a checkpoint is of another architecture, or the workers differ in settings, data or step.
        """
        self.model, self.strategy = model, strategy
        self.counter, self.totals = tf.Variable(0, dtype=tf.int64), tf.Variable(tf.zeros(2, tf.float64))
        weights = checkpoints.trackable(model)
        self.state = tf.train.Checkpoint(model=weights, optimizer=optimizer, step=self.counter, totals=self.totals)
        for prefix in checkpoints.newest_first(self.folder):
            try:
                checkpoints.restore(self.state, prefix, model)
                self.step = self.saved = int(self.counter)
                break
            except checkpoints.Damaged as error:
                if self.is_chief:
                    files.move(checkpoints.files_of(prefix), self.folder / "damaged")
                    print(f"{error}: moved to {self.folder / 'damaged'}, trying the one before")
        if self.saved < 0 and self.reload:
            checkpoints.restore(tf.train.Checkpoint(model=weights), self.reload, model)
        differing = "" if self.is_chief else self._differences()
        if not devices.same_for_all(strategy, -1 if differing else self.step):
            told = differing or "another worker's message says in what"
            raise Failure(f"workers need the chief's settings and data, in one --out that all share; differing: {told}")
        if self.is_chief:
            self._print_start()

    def _differences(self) -> str:
        """Describe how this worker's config differs from the chief's, which was written before the workers meet."""
        try:
            return "; ".join(Config.read(self.folder).differences(self.config))
        except Failure:
            return f"no config.json in {self.folder}"

    def _print_start(self) -> None:
        replicas, steps = self.strategy.num_replicas_in_sync, self.args.steps
        kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        size = f"{self.model.latent_dim} latents, {self.model.count_params():,} parameters"
        where = f"on {replicas} {kind}{'s' * (replicas > 1)}, {self.config.batch_size // replicas} images each a step"
        print(f"{size} {where}; writing to {self.folder}")
        if steps and self.step >= steps:
            more = "" if self.config.schedule == "cosine" else "go on with a larger --steps, or "  # a cosine has an end
            print(f"this run is finished: step {self.step:,} of {steps:,}; {more}start anew with --fresh")
        elif self.step:
            print(f"going on from step {self.step:,}")
        if not self.config.replicas:
            self.config = dataclasses.replace(self.config, replicas=replicas)
            self.config.write(self.folder)
        elif self.config.replicas != replicas:
            print(f"begun on {self.config.replicas} replicas, now {replicas}: the same results but for rounding")
        if self.config.networks == "pictures" and steps > self.step:
            self._print_duration(steps - self.step)

    def _print_duration(self, left: int) -> None:
        """Print the time that `left` steps take: each as long as three forward passes of a replica (measured)."""
        images, forward = self.config.batch_size // self.config.replicas, tf.function(self.model)
        noise = tf.zeros((images, self.config.latent_dim))
        example = tf.random.uniform((images, *self.config.image_shape)), tf.zeros(images, tf.int32), noise
        forward(*example)
        began = time.perf_counter()
        for _ in range(3):
            forward(*example)
        minutes = left * (time.perf_counter() - began) / 60
        print(f"{left:,} steps, about {max(1, round(minutes)):,} min; --steps makes it shorter or longer")

    @property
    def trained(self) -> Trained:
        """The model at the current step, for evaluation and drawing."""
        return Trained(self.model, self.config, self.folder, self.step)

    def advance(self, loop: Loop, stop: Stop, stops: Sequence[int]) -> None:
        """Train for about half a second, but not beyond the next log, save, end or step in `stops`.

        Raises Failure if the loss is not finite.
        """
        # Signals are handled between two calls. Several workers must all take the same number of steps.
        most = LOG_EVERY if devices.several_workers() else max(1, min(LOG_EVERY, int(self.rate / 2)))
        next_multiples = [(self.step // n + 1) * n for n in (LOG_EVERY, self.args.save_every, loop.source.steps)]
        ends = [self.step + most, *next_multiples, *stops, self.args.steps]
        end = min(step for step in ends if step > self.step)
        began = time.perf_counter()
        totals, stopped = loop.advance(self.step, end, self.totals.read_value(), stop.signal > 0)
        self.totals.assign(totals)
        self.rate = (end - self.step) / (time.perf_counter() - began)
        self.step = end
        if not tf.reduce_all(tf.math.is_finite(totals)):
            self.fail_diverged("the loss became NaN or infinite")
        if stopped:
            self.stopped = stop.signal or signal.SIGINT

    def log(self, bar: Progress) -> None:
        """Show the mean loss since the last multiple of LOG_EVERY; at a multiple also write it to TensorBoard."""
        if not self.is_chief:
            return
        files.check_held(self.folder)
        nll, kl = self.totals.numpy() / (self.config.batch_size * ((self.step - 1) % LOG_EVERY + 1))
        loss = f"loss {number(nll + kl, 1)} = NLL {number(nll, 1)} + KL {kl:.1f}"
        bar.advance(self.step - bar.done, f"{loss}  {self.rate:.0f} steps/s")
        if self.step % LOG_EVERY == 0:
            self.events.write("train", self.step, {"loss": nll + kl, "nll": nll, "kl": kl})
            self.totals.assign(tf.zeros_like(self.totals))

    def save_timed(self) -> None:
        """Write a checkpoint if --save-minutes have passed since the last one; the next one replaces it."""
        late = time.monotonic() - self.saved_at > 60 * self.args.save_minutes
        if late and self.is_chief and self.step % self.args.save_every:  # else a full save follows
            self.save_checkpoint()
            self.timed = self.step

    def save_checkpoint(self) -> None:
        """Write the checkpoint of this step, unless it is saved already. Raises Failure if a weight is not finite."""
        if self.saved == self.step:
            return
        self.check_weights()
        self.counter.assign(self.step)
        checkpoints.save(self.state, self.folder, self.step, replaced=self.timed)
        self.saved, self.timed, self.saved_at = self.step, -1, time.monotonic()

    def check_weights(self) -> None:
        """Raise Failure if a weight is not finite."""
        if not all(tf.reduce_all(tf.math.is_finite(weight)) for weight in self.model.trainable_variables):
            self.fail_diverged("the weights are not finite")

    def note_validation(self, negative_elbo: float) -> None:
        """Raise Failure if the validation loss is not finite. Note the lowest in best.json, for "pictures" only."""
        if not math.isfinite(negative_elbo):
            self.fail_diverged("the validation loss is not finite")
        if self.config.networks == "pictures":
            checkpoints.note_validation(self.folder, self.step, negative_elbo)

    def fail_diverged(self, why: str) -> NoReturn:
        """Raise Failure with the command that starts anew with a smaller learning rate."""
        config = self.config
        usual = default_learn_rate(config.image_shape, config.stages, config.width, config.networks)
        rate = min(config.learn_rate / 3, usual)
        words = shlex.join([*self.args.words, "--fresh", "--learn-rate", f"{rate:.1g}"])
        raise Failure(f"step {self.step:,}: {why}; nothing of it was saved. Try: {python()} train.py {words}")

    def say_stopped(self) -> None:
        """Print the command that resumes the run."""
        command = f"{python()} train.py {shlex.join(self.args.words)}".rstrip()
        say(f"stopped at step {self.step:,}, saved; go on with: {command}")

    def say_finished(self, prior: str) -> None:
        """Print which pictures to look at, and the next command. `prior` is the name of the prior that draws best."""
        ending = "_label_prior.png" if prior == "label" else ".png"
        grids = f"{self.folder / 'fake1'}{ending} and fake2{ending}"
        print(f"look at {grids}; open explorer.html in the same folder to explore the model")
        where = "" if self.folder == files.OUT else f" --run {shlex.quote(str(self.folder))}"
        print(f"then: {python()} generate.py --label {self.config.example}{where}")
