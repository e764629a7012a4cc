"""Drawing: the real generate.main on the shipped run or a tiny one, its files read back by other means."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import Command
from PIL import Image

import data
import generate
from engine import files, random_streams
from engine.classifiers import digit_reader
from engine.drawing import sampling, training_grids
from engine.latent.prior import STANDARD_NORMAL
from engine.runs import options, trained_model
from engine.runs.options import REFERENCE
from engine.runs.trained_model import Trained

# --- which flags go together -------------------------------------------------------------------------------------

# Every flag with a value; and with which of them each thing that can be asked for may be combined.
FLAGS = """--count 2|--temperature 0.5|--seed 3|--scale 2|--out a.png|--same-style|--style-label 3|--prior label
--checkpoint x|--data-dir x|--label 7|--style-from a.png|--interpolate|--npz a.npz|--idx set|--each set|--page
--savedmodel saved|--animate""".replace("\n", "|").split("|")
MODEL = "--prior --checkpoint --data-dir"
SET = f"{MODEL} --label --count --temperature --seed"
GOES_WITH = {
    "--label 7": f"{SET} --scale --out --same-style --style-from --interpolate --npz --idx --each",
    "--style-from a.png": f"{MODEL} --label --seed --scale --out --style-label",
    "--interpolate": f"{SET} --scale --out --animate",
    "--npz a.npz": SET,
    "--idx set": SET,
    "--each set": f"{SET} --scale",
    "--page": MODEL,
    "--savedmodel saved": MODEL,
}
GIF = "with --animate name a .gif, without it a .png"
WRONG = {
    "--label 7 --out a.gif": GIF,
    "--label 7 --out .GIF": GIF,
    "--interpolate --out a.gif": GIF,
    "--interpolate --animate --out a.png": GIF,
    "--npz a.npz --count 70000": "at most 68,478, for 684,784 images in all",
    "--idx set --count 70000": "at most 68,478, for 684,784 images in all",
    "--each set --count 70000": "at most 68,478, for 684,784 images in all",
}


def refusal(words: list[str], capsys: pytest.CaptureFixture) -> str:
    """The one line of the usage error that these words are."""
    with pytest.raises(SystemExit, match="2"):
        generate.parse(["--run", str(REFERENCE), *words])
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    return err


@pytest.mark.parametrize("asked", GOES_WITH)
def test_a_flag_that_would_do_nothing_is_refused(asked: str, capsys: pytest.CaptureFixture):
    for flag in FLAGS:
        name, words = flag.split()[0], [*asked.split(), *flag.split()]
        if name in GOES_WITH[asked].split():
            generate.parse(["--run", str(REFERENCE), *words])
        elif flag != asked:
            err = refusal(words, capsys)
            assert "does not go with" in err or "not allowed with argument" in err, err


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_ending_and_a_set_beyond_a_gigabyte_are_refused(words: str, capsys: pytest.CaptureFixture):
    assert WRONG[words] in refusal(words.split(), capsys)
    endings = ("--label 7 --out a.PNG", "--interpolate --animate --out a.GIF")
    assert all(generate.parse(["--run", str(REFERENCE), *right.split()]).out for right in endings)


# --- what is drawn -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Trained:
    return trained_model.load(REFERENCE)


def main(run: Path, *flags: object) -> int:
    return generate.main(["--run", str(run), *map(str, flags)])


def test_training_and_generate_draw_the_same_pictures(tiny_run: Path, tmp_path: Path):
    """fake1.png and fake2.png, byte for byte; the second from another process."""
    words = ["--label", "all", "--prior", "standard", "--out", str(tmp_path / "again.png")]
    assert main(tiny_run, *words) == 0
    assert (tmp_path / "again.png").read_bytes() == (tiny_run / "fake1.png").read_bytes()
    done = Command("generate", *words, "--same-style", "--run", str(tiny_run)).finish()
    assert (done.status, done.err) == (0, "")
    assert (tmp_path / "again.png").read_bytes() == (tiny_run / "fake2.png").read_bytes()


def test_a_label_is_a_grid_of_64_with_metadata_in_the_run(run: Path, capsys: pytest.CaptureFixture):
    """Here of an older checkpoint."""
    words = ["--temperature", "0.8", "--seed", "3", "--checkpoint", run / "model.ckpt-20.index"]
    assert main(run, "--label", "7", "--prior", "standard", *words) == 0
    assert str(run / "label_7.png") in capsys.readouterr().out
    with Image.open(run / "label_7.png") as image:
        assert image.width == 2 * (8 * 29 + 1)
        about = {"label": "7", "seed": "3", "temperature": "0.8", "run": run.name, "step": "20", "dataset": "drawn"}
        assert image.text == about | {"prior": "standard"}


def test_labels_are_columns_and_count_the_rows(tmp_path: Path):
    assert main(REFERENCE, *"--label 3 1 4 --count 5 --scale 3 --out".split(), tmp_path / "a.png") == 0
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == 3 * (3 * 29 + 1) and image.height > 3 * (5 * 29 + 1)
        assert image.text["prior"] == "label"


def test_seed_temperature_label_and_style_do_what_they_say(shipped: Trained):
    def latents(labels: range, rows: int, seed: int = 0, temperature: float = 1.0, same_style: bool = False):
        return sampling.Generator(shipped, STANDARD_NORMAL).latents(labels, rows, seed, temperature, same_style)

    z = latents(range(3), 2)
    assert (latents(range(3), 2, seed=0) == z).all() and (latents(range(3), 2, seed=1) != z).all()
    np.testing.assert_allclose(latents(range(3), 2, temperature=0.5), 0.5 * z)
    same = latents(range(3), 2, same_style=True)
    assert (same[:, 0] == same[:, 2]).all() and (same[0] != same[1]).all()
    np.testing.assert_allclose(latents(range(3), 2, temperature=0.5, same_style=True), 0.5 * same)
    drawn = sampling.render(shipped.model, same, np.array([0, 1, 2]))
    assert drawn.shape == (2, 3, 28, 28, 1) and (drawn[:, 0] != drawn[:, 1]).any()
    np.testing.assert_array_equal(drawn[0], np.rint(255 * shipped.model.generate(same[0], np.array([0, 1, 2]))))
    assert abs(latents(range(100), 100).std() - 1) < 0.01


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


def test_a_walk_between_labels_starts_and_ends_in_them(shipped: Trained):
    generator = sampling.Generator(shipped, STANDARD_NORMAL)
    walk, z = generator.walks([3, 8], 1, 3, 0, 1.0), generator.latents([3, 8], 1, 0, 1.0, False)
    ends = sampling.render(shipped.model, z, np.array([3, 8]))
    assert np.abs(walk[0, [0, -1]].astype(int) - ends[0]).max() <= 1


def test_interpolation_and_animation(run: Path):
    words = ["--prior", "standard", "--label", "3", "8", "--interpolate", "5"]
    assert main(run, *words, "--count", "2") == 0
    with Image.open(run / "interpolate_3_8.png") as image:
        assert image.width == 2 * (5 * 29 + 1)
    assert main(run, *words, "--animate", "--count", "4") == 0
    with Image.open(run / "interpolate_3_8.gif") as gif:
        assert gif.n_frames == 8 and gif.info["loop"] == 0  # there and back, the ends once


def test_damaged_grids_are_left_out_of_the_gif(tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "images").mkdir()
    paths = [training_grids.path_of(tmp_path, step, "fake2") for step in (0, 10, 20, 30)]
    for path in [*paths, tmp_path / "images" / "img_mine_fake2.png"]:
        Image.effect_noise((30, 30), 90).save(path)
    whole = paths[1].read_bytes()
    os.truncate(paths[0], 300)
    paths[1].write_bytes(whole[:60] + b"?" + whole[61:])
    Image.new("RGBA", (9, 9)).save(paths[2])
    training_grids.write_training_gif(tmp_path)
    with Image.open(tmp_path / "training.gif") as gif:
        assert gif.n_frames == 2
    assert capsys.readouterr().out.count("is damaged: left out") == 2


# --- sets --------------------------------------------------------------------------------------------------------


def test_npz_is_a_balanced_labelled_set(shipped: Trained, tmp_path: Path):
    assert main(REFERENCE, "--npz", tmp_path / "set.npz", "--count", "110", "--prior", "standard") == 0
    with np.load(tmp_path / "set.npz", allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    assert images.shape == (1100, 28, 28) and (np.bincount(labels) == 110).all()
    z = random_streams.normal((1000, 20), 0, "set", 1).numpy()[:3]  # the second batch begins at image 1,000
    np.testing.assert_array_equal(images[1000:1003], sampling.render(shipped.model, z, labels[1000:1003])[..., 0])


def test_an_idx_set_is_read_by_the_loader_and_its_test_part_has_digits_of_its_own(tmp_path: Path):
    assert main(REFERENCE, "--idx", tmp_path / "set", "--count", "20") == 0
    found = data.load("idx", tmp_path / "set")
    assert len(found.train.labels) + len(found.validation.labels) == 200 and len(found.test.labels) == 30
    train_images = {image.tobytes() for part in (found.train, found.validation) for image in part.images}
    assert not train_images & {image.tobytes() for image in found.test.images}


def test_each_image_has_a_file_of_its_own(tmp_path: Path):
    assert main(REFERENCE, "--each", tmp_path / "each", "--label", "7", "2", "7", "--count", "3") == 0
    names = sorted(path.relative_to(tmp_path / "each").as_posix() for path in (tmp_path / "each").glob("*/*"))
    assert names == [f"2/{i:05d}.png" for i in range(3)] + [f"7/{i:05d}.png" for i in range(6)]
    assert len({np.asarray(Image.open(tmp_path / "each" / name)).tobytes() for name in names}) == 9
    with Image.open(tmp_path / "each" / "7" / "00001.png") as image:
        assert image.size == (28, 28) and image.text["label"] == "7" and image.text["run"] == "reference"


@pytest.mark.parametrize("flag, name", [("--idx", "t10k-labels-idx1-ubyte.gz"), ("--each", "notes.txt")])
def test_a_set_is_never_written_over_another(flag: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / name).write_text("mine")
    assert main(REFERENCE, flag, tmp_path, "--count", "1") == 1
    assert "is not empty: choose another folder" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


# --- in the hand of a picture ------------------------------------------------------------------------------------


def test_style_from_a_test_digit_of_the_runs_own_data_and_from_its_picture(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    assert main(run, "--style-from", "test:5", "--style-label", "4") == 0
    with Image.open(run / "style_all.png") as image:
        assert image.width == 3 * (11 * 29 + 1) and image.text["style_from"] == "test:5"
        seen = np.asarray(image)[-3 * 29 : -3 : 3, 3 : 3 * 29 : 3]
    digit = data.load("drawn").test.images[5, ..., 0]
    np.testing.assert_array_equal(seen, digit)
    Image.fromarray(255 - np.pad(digit, 20)).resize((400, 400)).save(tmp_path / "photo.jpg")
    assert main(run, "--style-from", tmp_path / "photo.jpg") == 0
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 101))  # other digits than the run was trained on
    assert main(run, "--style-from", "test:5") == 1
    assert "trained on other data" in capsys.readouterr().err


# --- sheets, and the shipped run ---------------------------------------------------------------------------------


def test_the_shipped_run_draws_its_committed_pictures(tmp_path: Path):
    both = (["--label", "all"], "fake1"), (["--label", "all", "--same-style"], "fake2")
    cases = [([*flags, "--prior", "standard"], f"{name}.png") for flags, name in both]
    cases += [(flags, f"{name}_label_prior.png") for flags, name in both]
    for flags, name in cases:
        assert main(REFERENCE, *flags, "--out", tmp_path / name) == 0
        drawn, committed = (np.asarray(Image.open(folder / name)).astype(int) for folder in (tmp_path, REFERENCE))
        assert drawn.shape == committed.shape
        assert np.abs(drawn - committed).max() <= 2  # another machine may round otherwise
    shipped = [*REFERENCE.glob("model.ckpt-*"), REFERENCE / "prior.npz", digit_reader.WEIGHTS]
    assert sum(path.stat().st_size for path in shipped) < 1_500_000


def test_a_fresh_clone_draws_with_the_shipped_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    shutil.copytree(REFERENCE, tmp_path / "out" / "reference")
    monkeypatch.setattr(options, "REFERENCE", tmp_path / "out" / "reference")
    monkeypatch.setattr(files, "OUT", tmp_path / "out")
    assert generate.main(["--label", "7"]) == 0
    assert "out/reference" in capsys.readouterr().out and (tmp_path / "out" / "label_7.png").exists()
