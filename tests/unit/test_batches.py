"""Batches: functions of (seed, step) alone, the same from memory and from a file, for any number of replicas."""

import mmap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from engine.training import batches, devices


def split(count: int = 50, labels: int = 4) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 3, 2, 1)).astype(np.uint8)
    return SimpleNamespace(images=images, labels=rng.integers(0, labels, count).astype(np.uint8))


def config(**more: object) -> SimpleNamespace:
    return SimpleNamespace(
        **({"batch_size": 8, "latent_dim": 3, "seed": 1, "balance": False, "augment": "none"} | more)
    )


def shares(source: object, strategy: tf.distribute.Strategy, i: int) -> list[np.ndarray]:
    """Batch i as all replicas together get it: images, labels, noise."""
    run = tf.function(lambda arrays, i: strategy.run(source.share, (arrays, i)))
    parts = run(source.at(i), tf.constant(i, tf.int64))
    return [np.concatenate(strategy.experimental_local_results(part)) for part in parts]


@pytest.mark.parametrize(
    ("replicas", "balance", "augment"),
    [(1, False, "none"), (2, True, "none"), (1, True, "shift"), (2, False, "shift+flip")],
)
def test_from_a_mapped_file_as_from_memory(
    replicas: int, balance: bool, augment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batches, "CHUNK", 8 * 6 * 7)  # seven batches at a time
    strategy, alone = devices.strategy(replicas, 8), devices.strategy(1, 8)
    settings, data = config(balance=balance, augment=augment), split()
    np.save(tmp_path / "a.npy", np.concatenate([data.images[:9], data.images]))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r").view(np.ndarray)[9:]
    streamed = batches.Streamed(strategy, settings, SimpleNamespace(images=mapped, labels=data.labels))
    assert streamed.steps == 7
    for i in (0, 6, 7, 30, 2):
        truth = shares(batches.Resident(alone, settings, data), alone, i)
        for kind in batches.Resident(strategy, settings, data), streamed:
            for share, expected in zip(shares(kind, strategy, i), truth, strict=True):
                np.testing.assert_array_equal(share, expected)
        image, label = truth[0][0], truth[1][0]
        if augment != "none":
            continue
        assert any((image == other).all() and label == y for other, y in zip(data.images, data.labels, strict=True))


def test_the_pages_of_the_rows_to_come_are_asked_for(tmp_path: Path):
    """Of a part of a file, and no others: by itself the system reads half a megabyte around each row."""
    asked = []

    class Watched(mmap.mmap):
        def madvise(self, advice: int, start: int, length: int) -> None:
            super().madvise(advice, start, length)
            asked.append((advice, start, start + length))

    page, row = mmap.PAGESIZE, 10_000
    (tmp_path / "a").write_bytes(bytes(128 + 20 * row))
    with open(tmp_path / "a", "rb") as file:
        images = np.ndarray((20, row, 1, 1), np.uint8, Watched(file.fileno(), 0, access=mmap.ACCESS_READ), 128)
    batches._will_need(images[5:][3:], [0, 11, 4])
    ends = [(128 + n * row, 128 + (n + 1) * row) for n in (8, 19, 12)]
    assert asked == [(mmap.MADV_WILLNEED, first // page * page, last) for first, last in ends]
    batches._will_need(np.zeros((3, 2)), [1])  # in memory: nothing to ask for


def test_batches_differ_from_step_to_step_and_seed_to_seed():
    alone, data = devices.strategy(1, 8), split()
    first, *others = (
        shares(batches.Resident(alone, config(seed=seed), data), alone, i) for seed, i in ((1, 0), (1, 1), (2, 0))
    )
    for other in others:
        assert not np.array_equal(first[0], other[0]) and not np.array_equal(first[2], other[2])


def test_augmented_images_are_shifted_and_mirrored_ones_by_numpy():
    """Images of 40 × 6 move by up to 2 rows and 1 column, mirrored at the border; "shift+flip" mirrors half of them."""
    rng = np.random.default_rng(0)
    data = SimpleNamespace(images=rng.integers(0, 256, (1, 40, 6, 1), np.uint8), labels=np.zeros(1, np.uint8))
    padded = np.pad(data.images[0], ((2, 2), (1, 1), (0, 0)), "reflect")
    shifted = {padded[i : i + 40, j : j + 6].tobytes(): False for i in range(5) for j in range(3)}
    mirrored = {padded[i : i + 40, j : j + 6][:, ::-1].tobytes(): True for i in range(5) for j in range(3)}
    alone = devices.strategy(1, 600)
    for augment, possible, share in ("shift", shifted, 0), ("shift+flip", shifted | mirrored, 0.5):
        settings = config(batch_size=600, augment=augment)
        images = shares(batches.Resident(alone, settings, data), alone, 3)[0]
        seen = [image.tobytes() for image in images]
        assert set(seen) == possible.keys(), "every one, and nothing else"
        assert abs(np.mean([possible[image] for image in seen]) - share) < 0.07
        assert seen != [image.tobytes() for image in shares(batches.Resident(alone, settings, data), alone, 4)[0]]


@pytest.mark.parametrize(("balance", "expected"), [(True, [1 / 3, 0, 1 / 3, 1 / 3]), (False, [0.96, 0, 0.03, 0.01])])
def test_balanced_draws_give_every_label_its_share(balance: bool, expected: list[float]):
    data, alone, settings = split(1000), devices.strategy(1, 6000), config(batch_size=6000, balance=balance)
    data.labels = np.repeat([2, 3, 0], [30, 10, 960]).astype(np.uint8)
    images, labels, _ = shares(batches.Resident(alone, settings, data), alone, 0)
    np.testing.assert_allclose(np.bincount(labels, minlength=4) / 6000, expected, atol=0.03)
    seen = {image.tobytes() for image in images[labels == 2]}
    assert seen == {image.tobytes() for image in data.images[:30]}, "every one of the thirty"


def test_what_memory_does_not_hold_is_streamed(monkeypatch: pytest.MonkeyPatch):
    alone, data = devices.strategy(1, 8), split()
    for most, kind in (data.images.size, batches.Resident), (data.images.size - 1, batches.Streamed):
        monkeypatch.setattr(batches, "RESIDENT", most)
        assert type(batches.of(alone, config(), data)) is kind
