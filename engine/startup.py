"""Import TensorFlow quietly, with oneDNN's kernels and without garbage collections; the name of this interpreter."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType

# What TensorFlow logs on every machine that has no GPU, and what nobody can act upon. All other lines are replayed.
_NOISE = re.compile(
    r"^I\d{4} |^WARNING: All log messages before absl|^To enable the following instructions"
    r"|failed call to cuInit|Unable to register cu\w+ factory|^\d{4}-\d\d-\d\d .*: I "
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, then replay it without TensorFlow's start-up noise.

    TensorFlow's C++ runtime logs before `TF_CPP_MIN_LOG_LEVEL` is read, so only the descriptor itself helps.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    try:
        held = tempfile.TemporaryFile()
    except OSError:  # there is no folder for it: the noise is shown
        yield
        return
    stderr = os.dup(2)
    with held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in (raw.decode(errors="replace") for raw in held):
                if not _NOISE.search(line):
                    sys.stderr.write(line)


def import_tensorflow() -> ModuleType:
    """Import TensorFlow and Keras quietly; returns Keras. After it, `import tensorflow` costs and logs nothing."""
    # The program is TensorFlow's, whatever other programs of this user have set for theirs.
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        print(f"KERAS_BACKEND={backend} is not used: this program needs TensorFlow")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # By itself TensorFlow takes oneDNN's kernels only with AVX-512 VNNI or AMX. With AVX2 they are 1.3 to 1.6 times as
    # fast as its own (measured). A user's own setting wins.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    gc.disable()  # collections during the import cost 14 % of it and free hardly anything
    try:
        with quiet():
            import keras  # loads TensorFlow, too
            import tensorflow as tf

            keras.config.set_floatx("float32")
            keras.config.set_dtype_policy("float32")
            keras.config.set_image_data_format("channels_last")
            tf.get_logger().setLevel("ERROR")
            for gpu in tf.config.list_physical_devices("GPU"):  # the first look at the devices is what is noisy
                tf.config.experimental.set_memory_growth(gpu, True)  # leave room for the GPU's other users
        gc.freeze()  # later collections skip what the import made
        return keras
    except KeyboardInterrupt:  # outside of `terminal.command`, which would have reported it
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        gc.enable()


def python() -> str:
    """How to call this interpreter: python, or its path where that is another one or none."""
    here = shutil.which("python")
    same = here is not None and os.path.realpath(os.path.dirname(here)) == os.path.dirname(sys.executable)
    return "python" if same else shlex.quote(sys.executable)
