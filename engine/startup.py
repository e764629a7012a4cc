"""Import TensorFlow quietly and quickly, with oneDNN's kernels; the command that calls this interpreter."""

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

# Lines that TensorFlow logs on every machine without a GPU, and that no user can act on. All others are replayed.
_NOISE = re.compile(
    r"^I\d{4} |^WARNING: All log messages before absl|^To enable the following instructions"
    r"|failed call to cuInit|Unable to register cu\w+ factory|^\d{4}-\d\d-\d\d .*: I "
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Capture stderr (file descriptor 2), then replay it without TensorFlow's start-up noise.

    TensorFlow's C++ runtime logs before it reads `TF_CPP_MIN_LOG_LEVEL`, so the descriptor itself is captured.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    try:
        captured = tempfile.TemporaryFile()
    except OSError:  # no temporary folder: the noise is shown
        yield
        return
    stderr = os.dup(2)
    with captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            captured.seek(0)
            for line in (raw.decode(errors="replace") for raw in captured):
                if not _NOISE.search(line):
                    sys.stderr.write(line)


def import_tensorflow() -> ModuleType:
    """Import TensorFlow and Keras quietly; return Keras. A later `import tensorflow` takes no time and logs nothing."""
    # This program needs the TensorFlow backend, whatever the user has set for other Keras programs.
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        print(f"KERAS_BACKEND={backend} is not used: this program needs TensorFlow")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # TensorFlow enables oneDNN's kernels by itself only with AVX-512 VNNI or AMX. With AVX2 they are 1.3 to 1.6 times
    # as fast as Eigen's (measured). The user's setting takes precedence.
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
            for gpu in tf.config.list_physical_devices("GPU"):  # listing the devices logs the noise
                tf.config.experimental.set_memory_growth(gpu, True)  # leave room for the GPU's other users
        gc.freeze()  # later collections skip the imported objects
        return keras
    except KeyboardInterrupt:  # before `terminal.command` can report it
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        gc.enable()


def python() -> str:
    """Return the shell command for this interpreter: "python", or its path if "python" is missing or another one."""
    on_path = shutil.which("python")
    same = on_path is not None and os.path.realpath(os.path.dirname(on_path)) == os.path.dirname(sys.executable)
    return "python" if same else shlex.quote(sys.executable)
