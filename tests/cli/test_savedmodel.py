"""generate.py --savedmodel: every signature equals the model, in a process that cannot import this repository."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import listing
from known_models import random_run

import generate
from engine import random_streams
from engine.drawing import sampling
from engine.export import savedmodel
from engine.latent import prior_cache
from engine.latent.prior import STANDARD_NORMAL
from engine.runs import trained_model
from engine.runs.options import REFERENCE
from engine.runs.trained_model import Trained
from engine.terminal import Failure

# What a user would write: TensorFlow and NumPy, nothing of ours.
ALONE = """
import json, sys
import numpy as np, tensorflow as tf
folder, asked, given = sys.argv[1:]
served = tf.saved_model.load(folder).signatures
out = {}
for name, inputs in json.load(open(asked)).items():
    specs = served[name].structured_input_signature[1]
    inputs = {key: tf.constant(np.array(value), specs[key].dtype) for key, value in inputs.items()}
    for key, value in served[name](**inputs).items():
        out[f"{name}/{key}"] = np.array(value.numpy(), "S" if value.dtype == tf.string else None)
np.savez(given, **out)
ours = {"model", "engine", "data", "train", "generate"} & set(sys.modules)
assert not ours, ours
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, dict, dict]:
    """The shipped run; what was asked of its SavedModel, in TF Serving's columnar JSON; what it gave, elsewhere."""
    folder = tmp_path_factory.mktemp("elsewhere")
    assert generate.main(["--run", str(REFERENCE), "--savedmodel", str(folder / "saved")]) == 0
    run, rng = trained_model.load(REFERENCE), np.random.default_rng(0)
    z = rng.normal(size=(5, 20)).astype(np.float32)
    labels = [0, 3, 9, 9, 5]
    images = sampling.render(run.model, z, np.array(labels)) / np.float32(255)
    asked = {
        "serving_default": {"label": [7, 7, 7, 2], "seed": 3, "temperature": 0.8},
        "generate_from_latent": {"z": z.tolist(), "label": labels},
        "encode": {"image": images.tolist(), "label": labels},
        "describe": {},
    }
    (folder / "asked.json").write_text(json.dumps(asked))
    words = [sys.executable, "-c", ALONE, *(str(folder / name) for name in ("saved", "asked.json", "given.npz"))]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "given.npz") as given:
        return run, asked, dict(given)


def test_samples_are_those_of_the_label_prior_and_of_generate(served: tuple):
    run, _, given = served
    prior, y = prior_cache.read(run), np.array([7, 7, 7, 2])
    eps, uniform = random_streams.normal((4, 20), 3, "grid").numpy(), random_streams.uniform(4, 3, "grid").numpy()
    drawn = sampling.Generator(run, prior).latents(y, 1, 3, 0.8, False)[0]
    for z in np.float32(prior.sample(y, eps, uniform, 0.8)), drawn:
        np.testing.assert_allclose(given["serving_default/images"], run.model.generate(z, y), atol=1e-5)


def test_decoder_and_encoder_are_the_models_and_it_says_what_it_is(served: tuple):
    run, asked, given = served
    z, y = (np.array(asked["generate_from_latent"][key]) for key in ("z", "label"))
    mean, a = run.model.encode(np.array(asked["encode"]["image"], np.float32), y)
    truth = {"generate_from_latent/images": run.model.generate(z.astype(np.float32), y)}
    truth |= {"encode/mean": mean, "encode/a": a, "encode/sigma": np.exp(a)}
    for name, expected in truth.items():
        np.testing.assert_allclose(given[name], expected, atol=1e-5, err_msg=name)
    assert [name.decode() for name in given["describe/label_names"]] == list("0123456789")
    config = json.loads(given["describe/config"].item().decode())
    assert config["step"] == run.step and config["fingerprint"] == run.config.fingerprint


@pytest.fixture
def small(tmp_path: Path) -> Trained:
    return random_run(tmp_path, image_shape=(6, 5, 3), num_labels=3, latent_dim=4, stages=1)


def test_without_a_label_prior_z_is_standard_normal_and_labels_out_of_range_are_refused(small: Trained, tmp_path: Path):
    savedmodel.write(small, STANDARD_NORMAL, tmp_path / "saved")
    signatures = tf.saved_model.load(str(tmp_path / "saved")).signatures
    words = {"label": tf.constant([2, 2]), "seed": tf.constant(1, tf.int64), "temperature": tf.constant(0.5)}
    truth = small.model.generate(0.5 * random_streams.normal((2, 4), 1, "grid"), np.array([2, 2]))
    np.testing.assert_allclose(signatures["serving_default"](**words)["images"], truth, atol=1e-5)
    for wrong in -1, 3:
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels go from 0 to 2"):
            signatures["serving_default"](**words | {"label": tf.constant([wrong])})


def test_a_savedmodel_is_written_whole_and_over_nothing(small: Trained, tmp_path: Path, monkeypatch):
    def full(self: object, *args: object, **kwargs: object) -> None:
        Path(args[0]).mkdir()
        raise OSError(28, "No space left on device")

    before = listing(tmp_path)
    monkeypatch.setattr(type(keras.export.ExportArchive()), "write_out", full)
    with pytest.raises(OSError, match="No space"):
        savedmodel.write(small, STANDARD_NORMAL, tmp_path / "saved")
    assert listing(tmp_path) == before and len(list(tmp_path.iterdir())) == len(before)
    (tmp_path / "saved").mkdir()
    with pytest.raises(Failure, match="exists"):
        savedmodel.write(small, STANDARD_NORMAL, tmp_path / "saved")
