"""A run's label prior and page in the commands: made again where they must be, kept where they may be, used."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data
import generate
from engine.latent import likelihood_bounds, prior_cache
from engine.runs import trained_model
from engine.runs.options import REFERENCE


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny run, whose data are at hand."""
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    return Path(shutil.copytree(tiny_run, tmp_path / tiny_run.name))


def main(run: Path, *flags: str) -> int:
    return generate.main(["--run", str(run), *flags])


def prior_of_picture(run: Path) -> str:
    """The prior that label_7.png says it was drawn with."""
    with Image.open(run / "label_7.png") as image:
        return image.text["prior"]


def test_a_damaged_prior_is_fitted_again_which_a_line_says(run: Path, monkeypatch, capsys):
    (run / prior_cache.NAME).write_bytes(b"hello")
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 101))  # other digits than the run's: its data is not at hand
    assert main(run, "--label", "7") == 0
    assert capsys.readouterr().out.startswith("no label prior (") and prior_of_picture(run) == "standard"
    assert main(run, "--label", "7", "--prior", "label") == 1
    assert "other data" in capsys.readouterr().err
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    assert main(run, "--label", "7") == 0
    out = capsys.readouterr().out
    assert "fitted in" in out and "damaged" in out and prior_of_picture(run) == "label"
    prior_cache.read(trained_model.load(run))


def test_an_older_checkpoint_gets_a_prior_of_its_own_and_leaves_the_newest_ones(run: Path, capsys):
    before = (run / prior_cache.NAME).read_bytes()
    older = ["--checkpoint", str(run / "model.ckpt-40")]
    assert main(run, "--label", "7", *older) == 0
    assert "was of step 60" in capsys.readouterr().out and (run / prior_cache.NAME).read_bytes() == before
    assert main(run, "--fit-prior", *older) == 0
    assert prior_cache.read(trained_model.load(run, older[1]))


def test_the_shipped_run_is_only_read(run: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(prior_cache, "REFERENCE", run)
    before = (run / prior_cache.NAME).read_bytes()
    assert main(run, "--fit-prior", "--label", "7", "--out", str(tmp_path / "7.png")) == 0
    assert "not kept" in capsys.readouterr().out
    assert (run / prior_cache.NAME).read_bytes() == before
    assert REFERENCE.name == "reference" and prior_cache.read(trained_model.load(REFERENCE)).latent_dim == 20


def test_without_a_prior_z_comes_from_the_standard_normal_unless_the_prior_is_asked_for(run: Path, monkeypatch, capsys):
    (run / prior_cache.NAME).unlink()
    real = likelihood_bounds.posterior
    monkeypatch.setattr(likelihood_bounds, "posterior", lambda *args: (lambda m, a: (m, a + 50))(*real(*args)))
    assert main(run, "--label", "7") == 0 and "z are not finite" in capsys.readouterr().out
    assert prior_of_picture(run) == "standard"
    assert main(run, "--fit-prior") == 1
    assert "z are not finite" in capsys.readouterr().err and not (run / prior_cache.NAME).exists()


def test_every_way_to_draw_goes_through_the_prior(run: Path, tmp_path: Path):
    walk, style = ["--label", "3", "8", "--interpolate", "4"], ["--style-from", "test:5", "--style-label", "4"]
    drawn = {"label": [], "standard": []}
    for kind, images in drawn.items():
        for words in ["--label", "all"], ["--label", "all", "--same-style"], walk, style:
            assert main(run, "--prior", kind, *words, "--out", str(tmp_path / "a.png")) == 0
            images.append(np.asarray(Image.open(tmp_path / "a.png")))
        assert main(run, "--prior", kind, "--npz", str(tmp_path / "a.npz"), "--count", "20") == 0
        images.append(np.load(tmp_path / "a.npz")["images"])
    assert all((a != b).any() for a, b in zip(*drawn.values(), strict=True))
    for kind, ending in ("standard", ""), ("label", "_label_prior"):
        for i, name in enumerate(("fake1", "fake2")):
            np.testing.assert_array_equal(drawn[kind][i], np.asarray(Image.open(run / f"{name}{ending}.png")))


def test_training_leaves_a_page_and_generate_writes_it_anywhere(run: Path, tmp_path: Path, capsys):
    page = (run / "explorer.html").read_text(encoding="utf-8")
    assert main(run, "--page", str(tmp_path / "new" / "name.html")) == 0
    assert "name.html" in capsys.readouterr().out
    (run / "explorer.html").unlink()
    assert main(run, "--page") == 0
    written = [path.read_text("utf-8") for path in (run / "explorer.html", tmp_path / "new" / "name.html")]
    assert written[0] == written[1] and len(page) == pytest.approx(len(written[0]), rel=0.01)
    content = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert content["run"]["step"] == 60
    assert content["run"]["digits"] and content["reader"]  # train.py saw that these are digits
