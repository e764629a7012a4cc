"""The command line: arguments, one-line errors, progress bars and signals."""

import argparse
import contextlib
import errno
import functools
import io
import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


class Failure(Exception):
    """An error that the user can fix. `command` prints it as one line on stderr and returns 1."""


def command(main: Callable[..., int | None]) -> Callable[..., int]:
    """Make `main(argv=None)` return an exit status (0, 1, 130, 141) instead of raising; argparse still exits with 2."""

    @functools.wraps(main)
    def wrapped(argv: list[str] | None = None) -> int:
        if argv is None and main.__module__ != "__main__":  # called from Python: sys.argv belongs to the caller
            argv = []
        for name in ("stdout", "stderr"):  # closed by the shell: open the null device, or a file would get its number
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, "w"))
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal or a file name that is not UTF-8
        try:
            try:
                return main(argv) or 0
            finally:
                sys.stdout.flush()
        except Failure as error:
            return fail(str(error))
        except BrokenPipeError:  # python train.py | head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would report it at exit
            return 141  # as if ended by SIGPIPE, which Windows does not have
        except OSError as error:  # a full disk, a read-only folder: the system's message names the cause
            remedy = "choose another folder with --out" if error.errno in (errno.EACCES, errno.EROFS) else ""
            return fail(": ".join(str(part) for part in (error.filename, error.strerror or error, remedy) if part))
        except UnicodeEncodeError:
            return fail("a path is not valid UTF-8, which TensorFlow needs: choose another folder")
        except MemoryError:
            return fail("out of memory: try a smaller --batch-size or --count")
        except Exception as error:
            # TensorFlow's own errors (no memory on the device, another worker lost): the first line names the cause.
            tf = sys.modules.get("tensorflow")
            if tf is None or not isinstance(error, tf.errors.OpError):
                raise
            text = re.sub(r"\{\{\w+ [^}]*\}\} ?| \[Op:\w+\].*", "", error.message)  # without names of operations
            lines = re.findall(r"^(?!Graph execution error|Detected at)[\w/.].*", text, re.MULTILINE)
            why = lines[0] if lines else type(error).__name__
            return fail(f"TensorFlow: {why}; what was saved is safe, run the same command again to go on")
        except KeyboardInterrupt:
            print("\ninterrupted: files saved before are intact", file=sys.stderr)
            return 130

    return wrapped


def fail(message: str) -> int:
    """Print an error as one line on stderr. Returns 1, the exit status."""
    print(f"{os.path.basename(sys.argv[0]) or 'python'}: error: {shortened(message)}", file=sys.stderr, flush=True)
    return 1


def printable(message: str) -> str:
    """Replace line breaks and control characters, which quoted files and arguments may contain, by spaces."""
    joiners = "\u200c\u200d"  # zero-width: some writing systems and emoji need them
    return "".join(c if c.isprintable() or c in joiners else " " for c in message)


def shortened(message: str) -> str:
    """Make a message printable, and leave out the middle of a long one: the remedy is at the end."""
    return printable(message if len(message) <= 1000 else f"{message[:600]} … {message[-400:]}")


class Parser(argparse.ArgumentParser):
    """An argument parser with a script's docstring as its help, one-line errors and no abbreviated flags."""

    def __init__(self, description: str | None) -> None:
        form = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, formatter_class=form, allow_abbrev=False)

    def mode(self, args: argparse.Namespace, modes: dict[str, set[str]]) -> str | None:
        """Return the first flag of `modes` that was given, or None. Exits if another given flag has no effect with it.

        `modes` maps each flag that selects what the script does, such as --page, to the flags that go with it.
        """
        given = [f"--{name.replace('_', '-')}" for name, value in vars(args).items() if value != self.get_default(name)]
        chosen = next((mode for mode in modes if mode in given), None)
        for flag in [flag for flag in given if chosen and flag not in {chosen, "--run"} | modes[chosen]]:
            partners = [mode for mode in modes if flag in modes[mode]] + ["nothing else"] * (flag in modes)
            self.error(f"{flag} does not go with {chosen}; it goes with {', '.join(partners)}")
        return chosen

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {shortened(message)} (--help lists all options)\n")


def bounded(kind: type, low: float, high: float = math.inf) -> Callable[[str], float]:
    """Return an argparse type: a finite int or float from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or math.isinf(value):
            sort = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {sort} from {low:,} to {high:,}")
        return value

    return parse


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_path(text: str) -> Path:
    """An argparse type: a path on this machine. Expands "~", which shells leave as it is in --out=~/run."""
    if re.match(r"\w+://", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not on this machine: copy it here, or mount it as a folder")
    return Path(os.path.expanduser(text))


def named(*endings: str) -> Callable[[str], Path]:
    """Return an argparse type: a path with one of these endings, so that no other kind of file is overwritten."""

    def parse(text: str) -> Path:
        if not text.lower().endswith(endings):
            raise argparse.ArgumentTypeError(f"{text!r} does not end in {' or '.join(endings)}")
        return local_path(text)

    return parse


class Progress(contextlib.AbstractContextManager):
    """A progress bar, removed when its block ends. Redirected output gets a plain line at most every ten seconds.

    Args:
        total: number of units; 0: unknown.
        what: the text in front of the bar.
        start: units done before, by a resumed run; they do not count towards the speed.
    """

    def __init__(self, total: int, what: str, start: int = 0) -> None:
        self.total, self.what, self.start, self.done = total, what, start, start
        self.tty = sys.stdout.isatty()
        self.began, self.shown = None, 0.0 if self.tty else time.monotonic()

    def __exit__(self, *_: object) -> None:
        say("", end="")

    def advance(self, units: int = 1, text: str = "") -> None:
        """Add `units` to those done; show the progress and `text`, at a limited rate."""
        self.done += units
        now = time.monotonic()
        if self.began is None:  # the time before the first report includes compiling: it does not count
            self.began, self.start = now, self.done
        if now - self.shown < (0.1 if self.tty else 10.0) and not (self.tty and self.done == self.total):
            return
        self.shown = now
        of = left = bar = ""
        if self.total:
            full = round(20 * min(self.done / self.total, 1))
            of, bar = f"/{self.total:,}", f"{'━' * full}{'╌' * (20 - full)} "
        if self.total and self.done > self.start:
            seconds = round((now - self.began) / (self.done - self.start) * (self.total - self.done))
            left = f"  {seconds // 60}:{seconds % 60:02d} left"
        if self.tty:
            width = min(os.get_terminal_size(sys.stdout.fileno()).columns or 80, 120) - 1
            say(f"{self.what} {bar}{self.done:,}{of}{left}  {text}"[:width], end="")
        else:
            say(f"{self.what} {self.done:,}{of}  {text}{left}")


def say(text: str, end: str = "\n") -> None:
    """Print a line, in place of a progress bar that is shown; nothing if the terminal is gone, so a run goes on."""
    try:
        print(("\r\x1b[K" if sys.stdout.isatty() else "") + text, end=end, flush=True)
    except OSError as error:
        if error.errno != errno.EIO:
            raise


def number(value: float, digits: int = 2) -> str:
    """Format a number with the sign "−" (U+2212) of "−ELBO"."""
    return f"{value:.{digits}f}".replace("-", "−")


def check_early(parse: Callable[[], object]) -> None:
    """Parse the command line before TensorFlow is imported, which takes two seconds; exit if it is wrong."""
    status = command(lambda argv: parse() and None)()
    if status:
        sys.exit(status)


class Stop(contextlib.ExitStack):
    """Record a signal in `signal`, which the training loop checks; a second signal ends the process at once.

    Handles Ctrl-C, kill, a closed terminal (SIGHUP) and SLURM's warning (SIGUSR1). Signals that are ignored, as under
    nohup, stay so. Only Python's main thread may handle signals; elsewhere this does nothing.
    """

    signal = 0

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):
                signum = getattr(signal, name, None)  # Windows has the first two
                if signum and signal.getsignal(signum) != signal.SIG_IGN:
                    self.callback(signal.signal, signum, signal.signal(signum, self.record))  # restores the old one
        return self

    def record(self, signum: int, _: object) -> None:
        if self.signal:
            os._exit(128 + signum)
        self.signal = signum
