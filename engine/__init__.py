"""What a reader of the article never needs to open: runs, training, the label prior, drawing, evaluation, export."""

import sys
from importlib.util import find_spec

for package in "numpy", "PIL", "tensorflow", "keras":
    if find_spec(package) is None:
        remedy = "activate the virtual environment, or: pip install -r requirements.txt"
        sys.exit(f"{package} is not installed for {sys.executable}: {remedy}")
