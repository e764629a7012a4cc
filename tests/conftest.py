"""What every test shares: the repository on the path, and real MNIST where there is some."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT / "tests" / "tools", ROOT / "tests", ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from engine import startup  # noqa: E402

startup.import_tensorflow()


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the four MNIST files: data/mnist, else $MNIST_DIR (relative to the repository); else skip."""
    from data import mnist

    folders = [ROOT / "data" / "mnist"]
    if os.environ.get("MNIST_DIR"):
        folders.append(ROOT / os.environ["MNIST_DIR"])
    for folder in folders:
        if not mnist.missing(folder):
            return folder
    pytest.skip("needs MNIST's four files in data/mnist or $MNIST_DIR")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cache folder of the tests' own, for their subprocesses, too."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def two_cpus() -> None:
    """Two logical CPUs, set once per process as TensorFlow wants it, so that tests can train on one or on two.

    And collective keys of its own for every strategy: TensorFlow numbers them for one strategy per process, as in real
    life, and mixes up two that train models of different sizes.
    """
    import tensorflow as tf

    from engine.training import devices

    class OwnKeys(tf.distribute.MirroredStrategy):
        def __init__(self, *args: object) -> None:
            OwnKeys._collective_key_base += 100_000  # TensorFlow: "Only set this in tests."
            super().__init__(*args)

    tf.distribute.MirroredStrategy = OwnKeys
    devices.strategy(2, 64)


@pytest.fixture(scope="session", autouse=True)
def quick_networks() -> None:
    """Judges that see each image once an epoch."""
    from engine.classifiers import networks

    networks.EPOCH = 1000


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 60 steps on a few drawn digits, made by the real train.main. To be read, not written to."""
    import data
    import train

    folder = tmp_path_factory.mktemp("run")
    patch = pytest.MonkeyPatch()
    patch.setattr(data, "DRAWN", (1000, 100, 100))
    assert train.main(["--dataset", "drawn", "--steps", "60", "--save-every", "20", "--out", str(folder)]) == 0
    patch.undo()
    return folder
