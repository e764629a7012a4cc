"""Your own pictures, from the folder to the sheets: the real scripts on a small folder of coloured shapes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw

import data
import evaluate
import generate
import train
from engine.classifiers import networks
from engine.config import Config
from engine.latent import likelihood_bounds
from engine.runs import checkpoints, trained_model

NAMES = ("disc", "frame", "cross bar")
STANDARD = ("--prior", "standard")
FAST = ("--size", "28", "--latent-dim", "4", "-b", "16", "--devices", "1")


def draw(label: str, rng: np.random.Generator, size: tuple[int, int] = (40, 34)) -> Image.Image:
    ink, paper = (tuple(rng.integers(low, low + 90, 3).tolist()) for low in rng.permutation([0, 160]))
    image = Image.new("RGB", size, paper)
    pen, box = ImageDraw.Draw(image), (8, 6, 30, 28)
    if label == "disc":
        pen.ellipse(box, ink)
    elif label == "frame":
        pen.rectangle(box, None, ink, 3)
    else:
        pen.line((8, 6, 30, 28), ink, 4)
        pen.line((30, 6, 8, 28), ink, 4)
    return image


def fill(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            draw(name, rng).save(root / name / f"{i:03d}.{('png', 'jpg', 'bmp')[i % 3]}")
    return root


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("pictures") / "shapes", dict.fromkeys(NAMES, 36))


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty steps on them. To be read, not written to."""
    folder = tmp_path_factory.mktemp("run")
    assert go(shapes, folder, "--steps", "40", "--save-every", "20") == 0
    return folder


def go(pictures: Path, out: Path, *words: str) -> int:
    return train.main(["--data-dir", str(pictures), "--out", str(out), *FAST, *words])


def error_of(capsys: pytest.CaptureFixture) -> str:
    """What stands on stderr: one line."""
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "Traceback" not in text, text
    return text


# --- training ----------------------------------------------------------------------------------------------------


def test_a_folder_is_all_that_training_needs(run: Path, shapes: Path):
    config = Config.read(run)
    assert config.dataset == "folder" and config.label_names == ("cross bar", "disc", "frame")
    assert config.image_shape == (28, 28, 3) and config.label_counts == (36, 36, 36)
    assert (config.likelihood, config.width, config.data_dir) == ("gaussian", 2, str(shapes))
    for name in ("fake1.png", "fake2.png", "fake1_label_prior.png", "images/img_000040_real.png", "training.gif"):
        assert (run / name).is_file()
    with Image.open(run / "fake1.png") as sheet:
        assert sheet.mode == "RGB" and sheet.width == 2 * (3 * 29 + 1)
    result = json.loads((run / "metrics.json").read_text())["test"]
    assert result["images"] == len(data.of_run(config).test.labels) > 9


def test_the_gaussians_variance_is_the_training_images_mean_squared_error(run: Path):
    model, dataset = trained_model.load(run).model, data.of_run(Config.read(run))
    x, y = dataset.train
    mean, a = model.encode(x / np.float32(255), y)
    errors = []
    for seed in range(10):
        z = mean + tf.exp(a) * tf.random.stateless_normal(mean.shape, (seed, 0))
        errors.append(float(tf.reduce_mean((x / np.float32(255) - model.generate(z, y)) ** 2)))
    np.testing.assert_allclose(float(model.variance), np.mean(errors), rtol=0.02)
    assert "likelihood/variance" in checkpoints.variables(model)
    nll = likelihood_bounds.bounds(model, x, y, 1, lambda draw: tf.zeros(mean.shape))[0].nll
    squares = np.sum((x / 255.0 - model.generate(mean, y)) ** 2, axis=(1, 2, 3))
    variance = float(model.variance)
    truth = 0.5 * (28 * 28 * 3 * np.log(2 * np.pi * variance) + squares / variance)
    np.testing.assert_allclose(nll, truth, rtol=1e-4)


# --- drawing -----------------------------------------------------------------------------------------------------


def test_labels_by_name_and_by_number(run: Path, tmp_path: Path, quick_steps, capsys):
    shutil.copytree(run, tmp_path / "run")
    for words, name in ((["disc"], "disc"), (["1"], "disc"), (["cross bar", "frame"], "cross-bar_frame")):
        assert generate.main(["--run", str(tmp_path / "run"), "--count", "2", "--label", *words]) == 0
        assert (tmp_path / "run" / f"label_{name}.png").is_file()
    assert generate.main(["--run", str(tmp_path / "run"), "--label", "disc", "frame", "--interpolate", "3"]) == 0
    assert (tmp_path / "run" / "interpolate_disc_frame.png").is_file()
    with Image.open(tmp_path / "run" / "label_disc.png") as picture:
        assert picture.text["label"] == "disc"
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        generate.main(["--run", str(run), "--label", "farme"])
    assert "'farme' is none of this run's labels: frame, " in error_of(capsys)
    assert go(Path(Config.read(run).data_dir), tmp_path / "run", "--fresh", "--steps", "1") == 0
    assert (tmp_path / "run" / "previous-1" / "label_cross-bar_frame.png").is_file()


def test_the_style_of_any_picture(run: Path, tmp_path: Path, capsys):
    draw("disc", np.random.default_rng(5), (300, 200)).save(tmp_path / "own.webp")
    words = ["--run", str(run), "--style-from", str(tmp_path / "own.webp"), "--out", str(tmp_path / "style.png")]
    assert generate.main(words) == 0
    assert "read as " in capsys.readouterr().out
    assert generate.main([*words, "--style-label", "frame"]) == 0
    assert "read as frame (as told)" in capsys.readouterr().out
    with Image.open(tmp_path / "style.png") as picture:
        assert picture.width == 3 * (4 * 29 + 1)
    assert generate.main([*words[:3], "test:0", "--out", str(tmp_path / "style.png")]) == 0
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    capsys.readouterr()
    assert generate.main([*words[:3], str(tmp_path / "broken.jpg")]) == 1
    assert "broken.jpg" in error_of(capsys)


def test_an_npz_that_generate_wrote_comes_back_in(run: Path, tmp_path: Path, quick_steps):
    assert generate.main(["--run", str(run), "--npz", str(tmp_path / "set.npz"), "--count", "30"]) == 0
    words = ["--data-dir", str(tmp_path / "set.npz"), "--out", str(tmp_path / "run"), "--devices", "1", "-b", "8"]
    for steps in "1", "2":
        assert train.main([*words, "--steps", steps]) == 0
    config = Config.read(tmp_path / "run")
    assert (config.dataset, config.names) == ("npz", Config.read(run).names)


def test_hostile_names_do_no_harm(tmp_path: Path, quick_steps, capsys):
    names = ["...", "\u202egnp.exe", "😀", "a\nb\x1b[31m", "x" * 200, "-rf", "all", "7", "<img src=x>", "%s{0}"]
    fill(tmp_path / "in" / "pictures", dict.fromkeys(names, 3))
    assert go(tmp_path / "in" / "pictures", tmp_path / "out" / "run", "--steps", "1") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\u202e" not in out
    labels = [str(i) for i in range(Config.read(tmp_path / "out" / "run").num_labels)]
    assert len(labels) == len(names) - 1, "a folder that begins with a dot is hidden"
    for words in ["--label", *labels], ["--label", *labels[:3], "--interpolate", "3"]:
        assert generate.main(["--run", str(tmp_path / "out" / "run"), *STANDARD, "--count", "1", *words]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run"]
    for path in (tmp_path / "out" / "run").rglob("*"):
        assert path.name.isprintable() and len(path.name.encode()) < 255


# --- evaluation --------------------------------------------------------------------------------------------------


def test_evaluation_speaks_of_labels_by_name(run: Path, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(networks, "learn", lambda net, *_, **__: net)  # they score, and are not looked at here
    monkeypatch.setitem(evaluate.SIZES, "quick", evaluate.Size(50, 2, 2, 10, (100, 1), (100, 1), 100))
    shutil.copytree(run, tmp_path / "run")
    assert evaluate.main(["--run", str(tmp_path / "run"), "--quick"]) == 0
    out = capsys.readouterr().out
    assert "label cross bar" in out and "asked for frame" in out and "of the range, root mean square" in out
    entry = json.loads((tmp_path / "run" / "metrics.json").read_text())["evaluate"]
    assert entry["label_names"] == ["cross bar", "disc", "frame"]
    assert "binarised" not in entry["likelihood"] and 0 < entry["likelihood"]["reconstruction_rmse"] < 1
    assert (tmp_path / "run" / "evaluation" / "swap.png").is_file()


def test_one_label_is_an_ordinary_vae(tmp_path: Path, quick_steps, capsys):
    fill(tmp_path / "one", {"disc": 20})
    assert go(tmp_path / "one", tmp_path / "run", "--steps", "2") == 0
    assert "1 label, so this is an ordinary VAE" in Config.read(tmp_path / "run").report[2]
    assert generate.main(["--run", str(tmp_path / "run"), "--label", "disc", "--count", "2"]) == 0
    assert evaluate.main(["--run", str(tmp_path / "run"), "--quick"]) == 0
    out = capsys.readouterr().out
    assert "1. Likelihood" in out and "nothing is to be told apart" in out and "2. " not in out


def test_without_test_images_the_validation_images_are_measured(tmp_path: Path, quick_steps, capsys, monkeypatch):
    fill(tmp_path / "few", dict.fromkeys(NAMES, 2))
    assert go(tmp_path / "few", tmp_path / "run", "--steps", "2") == 0
    assert "no test images" in capsys.readouterr().out
    measured = []
    monkeypatch.setattr(evaluate, "measure", lambda task, size: measured.append(task.measured) or {})
    assert evaluate.main(["--run", str(tmp_path / "run"), "--quick"]) == 0
    assert "there are no test images" in capsys.readouterr().out
    validation = data.of_run(Config.read(tmp_path / "run")).validation
    assert (measured[0][0] == validation.images).all() and len(validation.labels)
