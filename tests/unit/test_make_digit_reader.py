"""tests/make_digit_reader.py trains the network that engine/digit_reader.py reads with, on digits of many hands."""

from __future__ import annotations

import make_digit_reader
import numpy as np
import pytest

from data import synthetic
from engine.classifiers import digit_reader


def test_the_network_that_the_tool_trains_is_the_one_that_reads():
    net, (x, _) = make_digit_reader.network(), synthetic.digits(20)
    reader = {f"{layer.name}/{w.name}": w.numpy() for layer in net.layers for w in layer.weights}
    assert {name: w.shape for name, w in reader.items()} == {k: v.shape for k, v in digit_reader.load().items()}
    expected = net.predict(digit_reader.mnist_form(x), verbose=0)
    np.testing.assert_allclose(digit_reader.logits(reader, x), expected, atol=1e-5)


def test_an_augmented_digit_is_varied_and_placed_as_mnists_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(make_digit_reader, "PLAIN", 0.0)
    grey, labels = synthetic.digits(300)
    x, again = (make_digit_reader.augmented(grey, labels, np.random.default_rng(0))[..., 0] for _ in range(2))
    np.testing.assert_array_equal(x, again)
    ink = x.sum((1, 2), dtype=float)
    assert np.log(ink / grey.sum((1, 2, 3))).std() > 0.2  # wider, narrower; thicker, thinner
    rows, columns = (np.arange(28) @ x.sum(axis, dtype=float).T / ink for axis in (2, 1))
    assert np.abs(rows - 14).max() < 4.5 and np.abs(columns - 14).max() < 4.5
    sides = np.stack([(x > 60).any(axis).sum(1) for axis in (1, 2)]).max(0)
    assert 18 <= np.percentile(sides, 5) and np.percentile(sides, 95) <= 22
