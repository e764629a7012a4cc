"""A run as an object to draw with, for notebooks."""

import numpy as np
import pytest
from known_models import random_run

from engine.drawing.sampling import Generator
from engine.latent.prior import STANDARD_NORMAL


def test_a_run_draws_from_python_as_generate_does(tmp_path):
    run = random_run(tmp_path, image_shape=(6, 5, 3), num_labels=3, latent_dim=4, stages=1, label_names=("1", "2", "b"))
    model = Generator(run, STANDARD_NORMAL)
    assert model.generate("b", count=7).shape == (7, 6, 5, 3) and model.generate("all", 2).shape == (2, 3, 6, 5, 3)
    assert (model.generate(1, 2) == model.generate("1", 2)).all(), "a name goes before a number"
    assert (model.generate(0, 2) == model.generate("1", 2)).all()
    images = model.generate(["2", "b"], 4, seed=1)[:, 1]
    mean, sigma = model.encode(images, "b")
    truth, a = run.model.encode(images / np.float32(255), np.full(4, 2))
    np.testing.assert_allclose(mean, truth, rtol=1e-5)
    np.testing.assert_allclose(sigma, np.exp(a), rtol=1e-5)
    restyled, z = model.restyle(images[0], "b", ["1", "b"]), np.float32(mean[:1].repeat(2, axis=0))
    np.testing.assert_allclose(restyled, 255 * run.model.generate(z, np.array([0, 2])), atol=0.6)
    with pytest.raises(ValueError, match="none of this run's labels: 1, 2, b"):
        model.generate("x")
