"""Make out/reference, the run that generate.py uses before there is one of your own, from a trained run.

python train.py -b 256 -r 4e-3 --schedule cosine --steps 80000 --out out/best
python evaluate.py --run out/best
python tests/tools/make_reference.py out/best

Weights without the optimizer, the label prior, config.json, metrics.json, training.gif, the grids by both
priors, style.png (the first test digit) and the page.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from engine import startup, terminal  # noqa: E402

startup.import_tensorflow()

import tensorflow as tf  # noqa: E402

import generate  # noqa: E402
from engine.runs import checkpoints, trained_model  # noqa: E402


@terminal.command
def main(argv: list[str] | None = None) -> int:
    source = Path((argv or sys.argv[1:])[0])
    folder = ROOT / "out" / "reference"
    run = trained_model.load(source)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("model.ckpt-*"):
        old.unlink()
    tf.train.Checkpoint(model=checkpoints.weights(run.model)).write(str(folder / f"model.ckpt-{run.step}"))
    dataclasses.replace(run.config, data_dir="").write(folder)  # data/mnist, wherever this is cloned to
    for name in ("metrics.json", "training.gif", "prior.npz"):
        shutil.copy(source / name, folder / name)
    where, seed = ["--run", str(folder)], ["--seed", str(run.config.seed)]
    data_dir = ["--data-dir", run.config.data_dir] if run.config.data_dir else []
    standard = ["--prior", "standard"]
    for more, name in (
        (["--label", "all", *standard], "fake1"),
        (["--label", "all", "--same-style", *standard], "fake2"),
        (["--label", "all"], "fake1_label_prior"),
        (["--label", "all", "--same-style"], "fake2_label_prior"),
        (["--style-from", "test:0", *data_dir], "style"),
    ):
        generate.main([*where, *seed, *more, "--out", str(folder / f"{name}.png")])
    generate.main([*where, "--page", str(folder / "explorer.html")])
    return 0


if __name__ == "__main__":
    sys.exit(main())
