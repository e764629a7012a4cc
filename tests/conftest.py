"""What every test shares: the repository on the path, and real MNIST where there is some."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


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
