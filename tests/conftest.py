"""What every test shares: the repository on the path, real MNIST where there is some, a run, and shorter runs."""

import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT / "tests" / "tools", ROOT / "tests", ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import helpers  # which imports TensorFlow first

import data
import train
from data import mnist
from engine.classifiers import networks
from engine.training import devices
from engine.training.run import LOG_EVERY, Run


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the four MNIST files: data/mnist, else $MNIST_DIR (relative to the repository); else skip."""
    for name in ("data/mnist", os.environ.get("MNIST_DIR")):
        if name and len(mnist.files(ROOT / name)) == 4:
            return ROOT / name
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

    class OwnKeys(tf.distribute.MirroredStrategy):
        def __init__(self, *args: object) -> None:
            OwnKeys._collective_key_base += 100_000  # TensorFlow: "Only set this in tests."
            super().__init__(*args)

    tf.distribute.MirroredStrategy = OwnKeys
    devices.strategy(2, 64)


@pytest.fixture(scope="session", autouse=True)
def quick_networks() -> None:
    """Evaluation classifiers that see each image once an epoch."""
    networks.EPOCH = 1000


FEW = (1000, 100, 100)  # drawn digits: training, validation and test images

# --- runs --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 60 steps on a few drawn digits, made by the real train.main. To be read, not written to."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "DRAWN", FEW)
        assert helpers.go(*helpers.DRAWN, "--steps", 60, "--out", folder) == 0
    return folder


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of tiny_run, to go on with by helpers.DRAWN."""
    monkeypatch.setattr(data, "DRAWN", FEW)
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """train.py's options for a small IDX data set."""
    return ["--data-dir", str(helpers.write_data(tmp_path_factory.mktemp("digits"))), "--devices", "1"]


@pytest.fixture
def quick_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows the last step is the test result alone: no prior, no page, no GIF."""

    def finish(run: Run, dataset: data.Dataset) -> int:
        if run.is_chief:
            train.likelihood.report_test_result(run.trained, dataset)
        return 0

    monkeypatch.setattr(train, "finish", finish)


@pytest.fixture
def quick_steps(quick_finish: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that learn nothing and move each weight by 1e-5, and a quick end: for tests of what a run keeps."""

    def advance(run: Run, loop: object, stop: train.terminal.Stop, stops: tuple[int, ...]) -> None:
        regular = [(run.step // every + 1) * every for every in (LOG_EVERY, run.args.save_every)]
        end = min(step for step in (*regular, *stops, run.args.steps) if step > run.step)
        for _ in range(run.step, end):
            for weight in run.model.trainable_variables:
                weight.assign(weight + 1e-5)
        run.step, run.stopped = end, stop.signal

    monkeypatch.setattr(Run, "advance", advance)
