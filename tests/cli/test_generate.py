"""Drawing: the real generate.main on a tiny run, its files read back by other means."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data
import generate
import train
from data import mnist, synthetic
from engine import files, random_streams
from engine.classifiers import digit_reader
from engine.drawing import sampling, sheets, training_grids
from engine.latent import elbo, prior_cache
from engine.latent.elbo import log_ratio
from engine.latent.prior import STANDARD_NORMAL
from engine.runs import options, trained_model
from model import bernoulli_nll, sample

ROOT = Path(__file__).resolve().parent.parent.parent


# Every flag that changes how something is drawn, with a value; and what each way of drawing may be combined with.
HOW = {"--count": ["2"], "--temperature": ["0.5"], "--seed": ["3"], "--scale": ["2"], "--out": ["a.png"]}
HOW |= {"--label": ["7"], "--same-style": [], "--animate": [], "--style-label": ["3"], "--fit-prior": []}
HOW |= {"--prior": ["label"], "--checkpoint": ["x"], "--data-dir": ["x"]}
MODEL = {"--fit-prior", "--prior", "--checkpoint", "--data-dir"}
WHAT = {
    ("--label", "7"): MODEL | {"--count", "--temperature", "--seed", "--scale", "--out", "--same-style"},
    ("--style-from", "a.png"): MODEL | {"--label", "--seed", "--scale", "--out", "--style-label"},
    ("--interpolate",): MODEL | {"--label", "--count", "--temperature", "--seed", "--scale", "--out", "--animate"},
    ("--npz", "a.npz"): MODEL | {"--label", "--count", "--temperature", "--seed"},
    ("--idx", "set"): MODEL | {"--label", "--count", "--temperature", "--seed"},
    ("--each", "set"): MODEL | {"--label", "--count", "--temperature", "--seed", "--scale"},
    ("--page",): MODEL,
    ("--savedmodel", "saved"): MODEL,
    ("--animate",): {"--interpolate"},
    ("--fit-prior",): MODEL | {"--label"},
}


@pytest.mark.parametrize("what", WHAT)
def test_a_flag_that_would_do_nothing_is_refused(what: tuple[str, ...], tiny_run: Path, capsys: pytest.CaptureFixture):
    for flag in HOW.keys() - {what[0]}:
        words = ["--run", str(tiny_run), *what, flag, *HOW[flag]]
        if flag in WHAT[what]:
            generate.parse(words)
            continue
        with pytest.raises(SystemExit, match="2"):
            generate.parse(words)
        pair = {flag, what[0]}
        err = capsys.readouterr().err
        assert any(f"error: {a} does not go with {b}; it goes with --" in err for a in pair for b in pair), err


@pytest.mark.parametrize("first", [what for what in WHAT if what[0] not in ("--label", "--fit-prior", "--animate")])
def test_two_things_at_once_are_refused(first: tuple[str, ...], tiny_run: Path, capsys: pytest.CaptureFixture):
    for second in WHAT.keys() - {first}:
        if second[0] not in WHAT[first]:
            with pytest.raises(SystemExit, match="2"):
                generate.parse(["--run", str(tiny_run), *first, *second])
            assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_gif_is_named_gif_and_a_sheet_png(tiny_run: Path, capsys: pytest.CaptureFixture):
    still, moving = ["--label", "7", "--out"], ["--interpolate", "--animate", "--out"]
    for words in [*still, "a.gif"], [*still, ".GIF"], ["--interpolate", "--out", "a.gif"], [*moving, "a.png"]:
        with pytest.raises(SystemExit, match="2"):
            generate.parse(["--run", str(tiny_run), *words])
        assert "with --animate name a .gif, without it a .png" in capsys.readouterr().err
    generate.parse(["--run", str(tiny_run), *still, "a.PNG"])
    generate.parse(["--run", str(tiny_run), *moving, "a.GIF"])


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    return Path(shutil.copytree(tiny_run, tmp_path / tiny_run.name))


def main(run: Path, *flags: str) -> int:
    return generate.main(["--run", str(run), *flags])


def test_the_same_pictures_as_training(run: Path):
    """fake1.png and fake2.png, byte for byte; the second from a fresh process."""
    words = ["--label", "all", "--prior", "standard", "--out", str(run / "again.png")]
    assert main(run, *words) == 0
    assert (run / "again.png").read_bytes() == (run / "fake1.png").read_bytes()
    command = [sys.executable, str(ROOT / "generate.py"), *words, "--same-style", "--run", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=run)
    assert (done.returncode, done.stderr) == (0, "")
    assert (run / "again.png").read_bytes() == (run / "fake2.png").read_bytes()


def test_one_label_is_a_grid_of_64_with_its_story(run: Path, capsys: pytest.CaptureFixture):
    assert main(run, "--label", "7", "--temperature", "0.8", "--seed", "3") == 0
    assert str(run / "label_7.png") in capsys.readouterr().out
    with Image.open(run / "label_7.png") as image:
        assert image.width == 2 * (8 * 29 + 1)
        story = {"label": "7", "seed": "3", "temperature": "0.8", "run": run.name, "step": "60", "dataset": "drawn"}
        story |= {"prior": "label"}
        assert image.text == story


def test_columns_rows_and_scale(run: Path):
    assert main(run, "--label", "3", "1", "4", "--count", "5", "--scale", "3") == 0
    with Image.open(run / "label_3_1_4.png") as image:
        assert image.width == 3 * (3 * 29 + 1) and image.height > 3 * (5 * 29 + 1)


def test_seed_temperature_label_and_style_do_what_they_say(run: Path):
    model = trained_model.load(run).model
    z = sampling.latents(0, range(3), 2, 20)
    assert (sampling.latents(0, range(3), 2, 20) == z).all() and (sampling.latents(1, range(3), 2, 20) != z).all()
    np.testing.assert_allclose(sampling.latents(0, range(3), 2, 20, 0.5), 0.5 * z)
    same = sampling.latents(0, range(3), 2, 20, same_style=True)
    assert (same[:, 0] == same[:, 2]).all() and (same[0] != same[1]).all()
    drawn = sampling.render(model, same, np.array([0, 1, 2]))
    assert synthetic.shape == (2, 3, 28, 28, 1) and (drawn[:, 0] != drawn[:, 1]).any()
    assert abs(sampling.latents(0, range(100), 100, 20).std() - 1) < 0.01


def test_pixels_are_rounded_sigmoids(run: Path):
    model = trained_model.load(run).model
    z = sampling.latents(5, [4, 9], 1, 20)
    images = model.generate(z[0], np.array([4, 9])).numpy()
    np.testing.assert_array_equal(sampling.render(model, z, np.array([4, 9]))[0], np.rint(255 * images))


def test_an_older_checkpoint(run: Path):
    assert main(run, "--label", "1", "--checkpoint", str(run / "model.ckpt-20.index")) == 0
    assert Image.open(run / "label_1.png").text["step"] == "20"


def test_slerp_keeps_to_the_sphere_and_meets_both_ends():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 6, 20))
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    walk = sampling.slerp(a, b, np.linspace(0, 1, 5))
    np.testing.assert_allclose(walk[:, 0], a, atol=1e-6)
    np.testing.assert_allclose(walk[:, -1], b, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(walk, axis=-1), 1, atol=1e-6)
    steps = np.sum(walk[:, 1:] * walk[:, :-1], axis=-1)
    np.testing.assert_allclose(steps, steps[:, :1].repeat(4, axis=1), atol=1e-6)  # equal angles


def test_interpolation_and_animation(run: Path):
    assert main(run, "--label", "3", "8", "--interpolate", "5", "--count", "2") == 0
    with Image.open(run / "interpolate_3_8.png") as image:
        assert image.width == 2 * (5 * 29 + 1)
    assert main(run, "--label", "3", "8", "--interpolate", "5", "--animate", "--count", "4") == 0
    with Image.open(run / "interpolate_3_8.gif") as gif:
        assert gif.n_frames == 8 and gif.info["loop"] == 0  # there and back, the ends once
    (run / "training.gif").unlink()
    assert main(run, "--animate") == 0 and (run / "training.gif").exists()


def test_damaged_grids_are_left_out_of_the_gif(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    shutil.copytree(tiny_run / "images", tmp_path / "images")
    paths = sorted((tmp_path / "images").glob("img_*_fake2.png"))
    whole = paths[1].read_bytes()
    os.truncate(paths[0], 300)
    paths[1].write_bytes(whole[:60] + b"?" + whole[61:])
    (tmp_path / "images" / "img_mine_fake2.png").write_bytes(whole)
    Image.new("RGBA", (9, 9)).save(paths[2])
    with Image.open(training_grids.write_training_gif(tmp_path)) as gif:
        assert gif.n_frames == len(paths) - 2
    assert capsys.readouterr().out.count("is damaged: left out") == 2


def test_a_walk_between_labels_starts_and_ends_in_them(run: Path):
    loaded = trained_model.load(run)
    walk = sampling.walks(loaded.model, [3, 8], count=1, images=3, seed=0)
    z = sampling.latents(0, [3, 8], 1, 20)
    ends = sampling.render(loaded.model, z, np.array([3, 8]))
    assert np.abs(walk[0, [0, -1]].astype(int) - ends[0]).max() <= 1


def test_npz_is_a_balanced_labelled_set(run: Path, tmp_path: Path):
    assert main(run, "--npz", str(tmp_path / "set.npz"), "--count", "150", "--prior", "standard") == 0
    with np.load(tmp_path / "set.npz", allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    assert images.shape == (1500, 28, 28) and images.dtype == labels.dtype == np.uint8
    assert (np.bincount(labels) == 150).all()
    model = trained_model.load(run).model
    z = random_streams.normal((1000, 20), 0, "set", 1).numpy()[:3]  # the second batch begins at image 1,000
    np.testing.assert_array_equal(images[1000:1003], sampling.render(model, z, labels[1000:1003])[..., 0])


def test_idx_is_read_by_the_loader_and_never_overwritten(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(run, "--idx", str(tmp_path / "set"), "--count", "20") == 0
    found = data.load("idx", tmp_path / "set")
    assert len(found.train.labels) + len(found.validation.labels) == 200 and len(found.test.labels) == 30
    train_images = {image.tobytes() for part in (found.train, found.validation) for image in part.images}
    assert not train_images & {image.tobytes() for image in found.test.images}, "the test part has digits of its own"
    before = (tmp_path / "set" / mnist.FILES[0]).read_bytes()
    assert main(run, "--idx", str(tmp_path / "set"), "--count", "1", "--seed", "9") == 1
    assert "choose another folder" in capsys.readouterr().err
    assert (tmp_path / "set" / mnist.FILES[0]).read_bytes() == before


def test_each_image_in_a_file_of_its_own(run: Path, tmp_path: Path):
    assert main(run, "--each", str(tmp_path / "each"), "--label", "7", "2", "--count", "3") == 0
    names = sorted(path.name for path in (tmp_path / "each").iterdir())
    assert names == [f"{label}_{i:05d}.png" for label in (2, 7) for i in range(3)]
    with Image.open(tmp_path / "each" / "7_00001.png") as image:
        assert image.size == (28, 28) and image.text["label"] == "7"


def test_each_asks_for_an_empty_folder(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    words = ["--each", str(tmp_path / "each"), "--label", "3", "3", "--count", "4"]
    (tmp_path / "each").mkdir()
    assert main(run, *words) == 0
    assert "2 × 4 images" in capsys.readouterr().out
    images = [np.asarray(Image.open(path)).tobytes() for path in sorted((tmp_path / "each").iterdir())]
    assert len(images) == len(set(images)) == 8, "a label asked for twice gives twice as many files"
    assert main(run, *words, "--seed", "1") == 1
    assert "each is not empty: choose another folder for --each" in capsys.readouterr().err
    assert images == [np.asarray(Image.open(path)).tobytes() for path in sorted((tmp_path / "each").iterdir())]


def test_a_set_stays_below_a_gigabyte(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    for flags in (["--npz", "set.npz"], ["--idx", "set"], ["--each", "set"]):
        with pytest.raises(SystemExit, match="2"):
            main(run, flags[0], str(tmp_path / flags[1]), "--count", "70000")
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1 and "at most 68,478, for 684,784 images in all" in err
    assert not list(tmp_path.glob("set*"))


def test_a_test_digit_comes_from_the_runs_own_data(run: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 101))  # other digits than the run was trained on
    assert main(run, "--style-from", "test:5") == 1
    assert "trained on other data" in capsys.readouterr().err


def test_style_from_a_test_digit_and_from_its_picture(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    assert main(run, "--style-from", "test:5", "--style-label", "4") == 0
    with Image.open(run / "style_all.png") as image:
        assert image.width == 3 * (11 * 29 + 1) and image.text["style_from"] == "test:5"
        seen = np.asarray(image)[-3 * 29 : -3 : 3, 3 : 3 * 29 : 3]
    digit = data.load("drawn").test.images[5, ..., 0]
    np.testing.assert_array_equal(seen, digit)
    Image.fromarray(255 - np.pad(digit, 20)).resize((400, 400)).save(tmp_path / "photo.jpg")
    assert main(run, "--style-from", str(tmp_path / "photo.jpg")) == 0


def test_inferred_label_is_the_likeliest(tiny_run: Path):
    model = trained_model.load(tiny_run).model
    x = synthetic.digits(3, 1, 8)[0] / np.float32(255)
    found = elbo.label_log_likelihoods(model, x, seed=1, k=4)
    draws = [random_streams.normal((30, 20), 1, "style", k).numpy().reshape(3, 10, 20) for k in range(4)]

    def log_weight(y: np.ndarray, eps: np.ndarray) -> np.ndarray:
        """ln p(x|z, y) + ln p(z) − ln q(z|x, y)"""
        logits, mean, a = model(x, y, eps)
        return (
            log_ratio(STANDARD_NORMAL, sample(mean, a, eps), y, a, eps) - np.float64(bernoulli_nll(x, logits))
        ).numpy()

    weights = [[log_weight(np.full(3, y), eps[:, y]) for y in range(10)] for eps in draws]
    truth = np.logaddexp.reduce(np.array(weights, np.float64), axis=0).T - np.log(4)
    np.testing.assert_allclose(found, truth, rtol=1e-4)


def test_without_a_reader_a_picture_is_read_as_its_likeliest_label(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(digit_reader, "for_run", lambda config: None)
    run = trained_model.load(options.REFERENCE)
    digits, _ = synthetic.digits(2, 1, 9)
    for digit in digits:
        Image.fromarray(255 - np.pad(digit[..., 0], 20)).resize((400, 400)).save(tmp_path / "photo.png")
        assert (
            main(options.REFERENCE, "--style-from", str(tmp_path / "photo.png"), "--out", str(tmp_path / "style.png"))
            == 0
        )
        said = capsys.readouterr().out
        x = data.picture_for(run.config, str(tmp_path / "photo.png"))[None]
        log_p = elbo.label_log_likelihoods(run.model, x, 0, prior=prior_cache.read(run))[0]
        sure = np.exp(log_p.max() - np.logaddexp.reduce(log_p))
        assert f"read as {log_p.argmax()} ({sure:.1%} sure" in said


def test_colour_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    flags = ["--dataset", "drawn", "--channels", "3", "--steps", "2"]
    assert train.main([*flags, "--out", str(tmp_path)]) == 0
    assert main(tmp_path, "--label", "all") == 0
    with Image.open(tmp_path / "label_all.png") as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), np.asarray(Image.open(tmp_path / "fake1_label_prior.png")))
    assert main(tmp_path, "--idx", str(tmp_path / "set")) == 1


def test_sheets_keep_every_pixel():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 4, 1), np.uint8)
    sheet = np.asarray(sheets.sheet(images, scale=2))
    assert sheet.shape == (2 * (2 * 6 + 1), 2 * (3 * 5 + 1))
    np.testing.assert_array_equal(sheet[2 * 7 : 2 * 12 : 2, 2 * 6 : 2 * 10 : 2], images[1, 1, ..., 0])
    assert sheets.square(np.zeros((7, 2, 2, 1), np.uint8)).shape == (3, 3, 2, 2, 1)


def test_the_shipped_run_draws_its_committed_pictures(tmp_path: Path):
    reference = ROOT / "out" / "reference"
    both = (["--label", "all"], "fake1"), (["--label", "all", "--same-style"], "fake2")
    cases = [([*flags, "--prior", "standard"], f"{name}.png") for flags, name in both]
    cases += [(flags, f"{name}_label_prior.png") for flags, name in both]
    for flags, name in cases:
        assert generate.main(["--run", str(reference), *flags, "--out", str(tmp_path / name)]) == 0
        drawn, shipped = (np.asarray(Image.open(folder / name)).astype(int) for folder in (tmp_path, reference))
        assert synthetic.shape == shipped.shape
        assert np.abs(drawn - shipped).max() <= 2  # another machine may round otherwise
    shipped = [*reference.glob("model.ckpt-*"), reference / "prior.npz", digit_reader.WEIGHTS]
    assert sum(path.stat().st_size for path in shipped) < 1_500_000


def test_a_fresh_clone_draws_with_the_shipped_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    shutil.copytree(ROOT / "out" / "reference", tmp_path / "out" / "reference")
    monkeypatch.setattr(options, "REFERENCE", tmp_path / "out" / "reference")
    monkeypatch.setattr(files, "OUT", tmp_path / "out")
    assert generate.main(["--label", "7"]) == 0
    assert "out/reference" in capsys.readouterr().out and (tmp_path / "out" / "label_7.png").exists()
