"""A run's label prior and page in the commands: made again where they must be, kept where they may be, used."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers import call
from PIL import Image

import data
from engine.latent import likelihood_bounds, prior_cache
from engine.runs import trained_model
from engine.runs.options import REFERENCE


def draw(run: Path, *flags: object, status: int = 0) -> str:
    """What generate.py says, whose exit status is this."""
    done = call("generate", "--run", run, *flags)
    assert done.status == status, done
    return done.out + done.err


def prior_of_picture(run: Path) -> str:
    """The prior that label_7.png says it was drawn with."""
    with Image.open(run / "label_7.png") as image:
        return image.text["prior"]


def test_a_damaged_prior_is_fitted_again_which_a_line_says(run: Path, monkeypatch):
    (run / prior_cache.NAME).write_bytes(b"hello")
    with monkeypatch.context() as patch:
        patch.setattr(data, "DRAWN", (1000, 100, 101))  # other digits than the run's: its data is not at hand
        assert draw(run, "--label", 7).startswith("no label prior (") and prior_of_picture(run) == "standard"
        assert "other data" in draw(run, "--label", 7, "--prior", "label", status=1)
    out = draw(run, "--label", 7)
    assert "fitted in" in out and "damaged" in out and prior_of_picture(run) == "label"
    prior_cache.read(trained_model.load(run))


def test_an_older_checkpoint_gets_a_prior_of_its_own_and_leaves_the_newest_ones(run: Path):
    before = (run / prior_cache.NAME).read_bytes()
    older = ["--checkpoint", str(run / "model.ckpt-40")]
    assert "was of step 60" in draw(run, "--label", 7, *older)
    assert (run / prior_cache.NAME).read_bytes() == before


def test_the_shipped_run_is_only_read(run: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(prior_cache, "REFERENCE", run)
    (run / prior_cache.NAME).unlink()
    assert "not kept" in draw(run, "--label", 7, "--out", tmp_path / "7.png")
    assert not (run / prior_cache.NAME).exists()
    assert REFERENCE.name == "reference" and prior_cache.read(trained_model.load(REFERENCE)).latent_dim == 20


def test_without_a_prior_z_comes_from_the_standard_normal_unless_the_prior_is_asked_for(run: Path, monkeypatch):
    (run / prior_cache.NAME).unlink()
    real = likelihood_bounds.posterior
    monkeypatch.setattr(likelihood_bounds, "posterior", lambda *args: (lambda m, a: (m, a + 50))(*real(*args)))
    assert "z are not finite" in draw(run, "--label", 7) and prior_of_picture(run) == "standard"
    assert (
        "z are not finite" in draw(run, "--label", 7, "--prior", "label", status=1)
        and not (run / prior_cache.NAME).exists()
    )


def test_every_way_to_draw_goes_through_the_prior(run: Path, tmp_path: Path):
    walk, style = ["--label", "3", "8", "--interpolate", "4"], ["--style-from", "test:5", "--style-label", "4"]
    drawn = {"label": [], "standard": []}
    for kind, images in drawn.items():
        for words in ["--label", "all"], ["--label", "all", "--same-style"], walk, style:
            draw(run, "--prior", kind, *words, "--out", tmp_path / "a.png")
            images.append(np.asarray(Image.open(tmp_path / "a.png")))
        draw(run, "--prior", kind, "--npz", tmp_path / "a.npz", "--count", 20)
        images.append(np.load(tmp_path / "a.npz")["images"])
    assert all((a != b).any() for a, b in zip(*drawn.values(), strict=True))
    for kind, ending in ("standard", ""), ("label", "_label_prior"):
        for i, name in enumerate(("fake1", "fake2")):
            np.testing.assert_array_equal(drawn[kind][i], np.asarray(Image.open(run / f"{name}{ending}.png")))


def test_training_leaves_a_page_and_generate_writes_it_anywhere(run: Path, tmp_path: Path):
    page = (run / "explorer.html").read_text("utf-8")
    assert "name.html" in draw(run, "--page", tmp_path / "new" / "name.html")
    (run / "explorer.html").unlink()
    draw(run, "--page")
    written = [path.read_text("utf-8") for path in (run / "explorer.html", tmp_path / "new" / "name.html")]
    assert written[0] == written[1] and len(page) == pytest.approx(len(written[0]), rel=0.01)
    content = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert content["run"]["step"] == 60
    assert content["run"]["digits"] and content["reader"]  # train.py saw that these are digits
