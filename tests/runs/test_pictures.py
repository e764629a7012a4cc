"""Your own pictures, from the folder to the sheets: the real scripts on a small folder of coloured shapes."""

import json
import shutil
from pathlib import Path

import make_pictures
import numpy as np
import pytest
import tensorflow as tf
from helpers import call, go, is_one_line, write_pictures
from PIL import Image

import data
import evaluate
from engine.classifiers import networks
from engine.config import Config
from engine.latent import likelihood_bounds, prior_cache
from engine.runs import checkpoints, trained_model

FAST = ("--size", "28", "--latent-dim", "4", "-b", "16", "--devices", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty steps on four shapes. To be read, not written to."""
    folder = tmp_path_factory.mktemp("pictures")
    make_pictures.shapes(folder / "shapes", 27, 0)
    (folder / "shapes" / "star").rename(folder / "shapes" / "five stars")
    words = ["--data-dir", folder / "shapes", "--out", folder / "run", *FAST]
    assert go(*words, "--steps", 40, "--save-every", 20) == 0
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_a_folder_is_all_that_training_needs(trained: Path):
    config = Config.read(trained)
    assert config.dataset == "folder" and config.label_names == ("circle", "five stars", "square", "triangle")
    assert config.image_shape == (28, 28, 3) and config.label_counts == (27, 27, 27, 27)
    assert (config.likelihood, config.networks) == ("gaussian", "pictures")
    assert config.data_dir == str(trained.with_name("shapes"))
    for name in ("fake1.png", "fake2.png", "fake1_label_prior.png", "images/img_000040_real.png", "training.gif"):
        assert (trained / name).is_file()
    with Image.open(trained / "fake1.png") as sheet:
        assert sheet.mode == "RGB" and sheet.width == 2 * (4 * 29 + 1)
    result = json.loads((trained / "metrics.json").read_text())["test"]
    assert result["images"] == len(data.of_run(config).test.labels) > 9


@pytest.mark.parametrize("wider", [0, 4])
def test_the_gaussians_variance_is_the_validation_images_mean_squared_error(trained: Path, wider: int):
    """As training saved it; and of more images, with z from so wide a q that a z without noise shows."""
    model, dataset = trained_model.load(trained).model, data.of_run(Config.read(trained))
    split = dataset.train if wider else dataset.validation
    assert "likelihood/variance" in checkpoints.variables(model)
    if wider:
        model.a.bias.assign_add(tf.fill(model.a.bias.shape, float(wider)))
        likelihood_bounds.fit_variance(model, split, 0)
    x, y = split.images / np.float32(255), split.labels
    mean, a = model.encode(x, y)
    errors = []
    for seed in range(10):
        z = mean + tf.exp(a) * tf.random.stateless_normal(mean.shape, (seed, 0))
        errors.append(float(tf.reduce_mean((x - model.generate(z, y)) ** 2)))
    assert abs(float(model.variance) - np.mean(errors)) < 4 * np.std(errors)


def test_labels_by_name_and_by_number(run: Path, quick_steps):
    for words, name in (
        (["square"], "label_square.png"),
        ([2, "--count", 1], "label_square.png"),
        (["five stars", "circle"], "label_five-stars_circle.png"),
        (["square", "circle", "--interpolate", 3], "interpolate_square_circle.png"),
    ):
        assert call("generate", "--run", run, "--label", *words).status == 0 and (run / name).is_file()
    with Image.open(run / "label_square.png") as picture:
        assert picture.text["label"] == "square"
    wrong = call("generate", "--run", run, "--label", "sqaure")
    assert wrong.status == 2 and is_one_line(wrong.err) and "none of this run's labels: square, " in wrong.err
    assert go("--data-dir", Config.read(run).data_dir, "--out", run, *FAST, "--fresh", "--steps", 1) == 0
    assert (run / "previous-1" / "label_five-stars_circle.png").is_file()


def test_the_style_of_any_picture(trained: Path, tmp_path: Path):
    make_pictures.drawn("circle", np.random.default_rng(5)).resize((300, 200)).save(tmp_path / "own.webp")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    out = ["--out", tmp_path / "style.png", "--run", trained, "--style-from"]
    assert "read as square (as told)" in call("generate", *out, tmp_path / "own.webp", "--style-label", "square").out
    run = trained_model.load(trained)
    for picture in tmp_path / "own.webp", "test:0":  # by Bayes' rule: these are no digits
        x = data.picture_for(run.config, str(picture))[None]
        log_p = likelihood_bounds.label_log_likelihoods(run.model, x, 0, prior_cache.read(run))[0]
        sure = np.exp(log_p.max() - np.logaddexp.reduce(log_p))
        said = call("generate", *out, picture).out
        assert f"read as {run.config.names[log_p.argmax()]} ({sure:.1%} sure" in said
    with Image.open(tmp_path / "style.png") as sheet:
        assert sheet.width == 3 * (5 * 29 + 1)
    broken = call("generate", *out, tmp_path / "broken.jpg")
    assert broken.status == 1 and is_one_line(broken.err) and "broken.jpg" in broken.err


def test_hostile_names_do_no_harm(tmp_path: Path, quick_steps, capsys):
    names = ["...", "\u202egnp.exe", "😀", "a\nb\x1b[31m", "x" * 200, "-rf", "all", "7", "<img src=x>", "%s{0}"]
    write_pictures(tmp_path / "in", [f"{name}/{i}.png" for name in names for i in range(3)])
    run = tmp_path / "out" / "run"
    assert go("--data-dir", tmp_path / "in", "--out", run, *FAST, "--steps", 1) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\u202e" not in out
    labels = [str(i) for i in range(Config.read(run).num_labels)]
    assert len(labels) == len(names) - 1, "a folder that begins with a dot is hidden"
    for words in labels, [*labels[:3], "--interpolate", 3]:
        drawn = call("generate", "--run", run, "--prior", "standard", "--count", 1, "--label", *words)
        assert drawn.status == 0, drawn
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run"]
    assert all(path.name.isprintable() and len(path.name.encode()) < 255 for path in run.rglob("*"))


def test_evaluation_speaks_of_labels_by_name(run: Path, monkeypatch):
    monkeypatch.setattr(networks, "learn", lambda net, *_, **__: net)  # they score, and are not looked at here
    monkeypatch.setitem(evaluate.SIZES, "quick", evaluate.Size(50, 2, 2, 10, (100, 1), 100))
    status, out, _ = call("evaluate", "--run", run, "--quick")
    assert status == 0 and "    five stars" in out and "root mean square error" in out
    entry = json.loads((run / "metrics.json").read_text())["evaluate"]
    assert entry["label_names"] == ["circle", "five stars", "square", "triangle"]
    assert 0 < entry["likelihood"]["reconstruction_rmse"] < 1


def test_one_label_is_an_ordinary_vae(tmp_path: Path, quick_steps):
    write_pictures(tmp_path / "one", [f"disc/{i}.png" for i in range(20)])
    assert go("--data-dir", tmp_path / "one", "--out", tmp_path / "run", *FAST, "--steps", 2) == 0
    assert "1 label, so this is" in Config.read(tmp_path / "run").report[2]
    assert call("generate", "--run", tmp_path / "run", "--label", "disc", "--count", 2).status == 0
    done = call("evaluate", "--run", tmp_path / "run", "--quick")
    assert done.status == 0 and "nats per image" in done.out and "swap" not in done.out


def test_without_test_images_the_validation_images_are_measured(tmp_path: Path, quick_steps, capsys, monkeypatch):
    write_pictures(tmp_path / "few", [f"{label}/{i}.png" for label in "abc" for i in range(2)])
    assert go("--data-dir", tmp_path / "few", "--out", tmp_path / "run", *FAST, "--steps", 2) == 0
    assert "no test images" in capsys.readouterr().out
    measured = []
    monkeypatch.setattr(evaluate, "measure", lambda run, prior, train, test, *_: measured.append(test) or {})
    monkeypatch.setattr(evaluate, "show", lambda *_: None)
    assert "there are no test images" in call("evaluate", "--run", tmp_path / "run", "--quick").out
    validation = data.of_run(Config.read(tmp_path / "run")).validation
    assert (measured[0][0] == validation.images).all() and len(validation.labels)
