"""The library behind the scripts: runs, training, latent variables and priors, drawing, evaluation, export."""

import sys
from importlib.util import find_spec

for package in "numpy", "PIL", "tensorflow", "keras":
    if find_spec(package) is None:
        remedy = "activate the virtual environment, or: pip install -r requirements.txt"
        sys.exit(f"{package} is not installed for {sys.executable}: {remedy}")
