"""Dataset and Split: what data/ builds and a run learns from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.terminal import printable

MOST_LINES = 12  # of a report
FEW = 12  # labels whose counts are all in a report
ENDS = 3  # of more labels so many of the smallest and of the largest are


class Split(NamedTuple):
    """The images of one part of a data set, and their labels."""

    images: np.ndarray  # uint8 (N, H, W, C); of a folder, memory-mapped and read-only
    labels: np.ndarray  # uint8, or uint16 for more than 256 labels, (N,), 0 … num_labels - 1

    def subset(self, count: int, seed: int) -> Split:
        """`count` random images in their order, a function of the seed; the split itself if it has no more."""
        if count >= len(self.labels):
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self.labels))[:count])
        return Split(self.images[chosen], self.labels[chosen])


class LeftOut(NamedTuple):
    """What lay among the data and is in no split: one kind of it."""

    why: str  # the kind, in a few words, with the remedy if there is one
    count: int
    names: tuple[str, ...]  # of the first three


class Dataset(NamedTuple):
    """Three splits with what a run keeps of them."""

    name: str  # "mnist" (verified), "idx" (another IDX data set), "drawn", "folder" …; `load` takes it back
    title: str  # for people
    train: Split
    validation: Split
    test: Split  # may be empty, (0, H, W, C)
    fingerprint: str  # SHA-256 in hex; the same data, the same fingerprint
    num_labels: int = 10
    label_names: tuple[str, ...] = ()  # none where labels are just numbers
    split_from: str = ""  # where the split comes from: "by a hash of each path"
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()  # how the files were read, where that could surprise: a line each
    levels: tuple[float, ...] = ()  # of pictures with more than 8 bits: those that became 0 and 255

    @property
    def counts(self) -> tuple[int, ...]:
        """How many pictures of each label there are, all parts together."""
        return tuple(self.counts_by_part().sum(axis=1).tolist())

    def counts_by_part(self) -> np.ndarray:
        """How many pictures of each label each part has: int (labels, 3)."""
        parts = self.train, self.validation, self.test
        return np.stack([np.bincount(part.labels, minlength=self.num_labels) for part in parts], axis=1)

    def __str__(self) -> str:
        train, validation, test = (f"{len(split.labels):,}" for split in (self.train, self.validation, self.test))
        shape = "×".join(map(str, self.train.images.shape[1:]))
        return f"{self.title}: {train} training, {validation} validation and {test} test images, {shape}"


def report(dataset: Dataset) -> list[str]:
    """What a run learns from, what it does not, and why, in at most MOST_LINES lines."""
    lines = [str(dataset), *([f"split: {dataset.split_from}"] if dataset.split_from else []), _labels(dataset)]
    lines += dataset.notes
    for why, count, names in dataset.left_out:
        lines.append(f"left out {count:,}, {why}: {', '.join(names)}{', …' * (count > len(names))}")
    if len(lines) > MOST_LINES:
        rest = [line.partition(":")[0] for line in lines[MOST_LINES - 1 :]]
        lines[MOST_LINES - 1 :] = ["; ".join(rest)]
    return [printable(line) for line in lines]


def _labels(dataset: Dataset) -> str:
    """The labels with the counts of each part; of many the smallest and the largest."""
    counts, number = dataset.counts_by_part(), dataset.num_labels
    if number > 1 and (counts == counts[0]).all():
        return f"{number:,} labels with {'+'.join(f'{n:,}' for n in counts[0].tolist())} images each"
    names = dataset.label_names or range(number)
    texts = [f"{name} {'+'.join(f'{n:,}' for n in row)}" for name, row in zip(names, counts.tolist(), strict=True)]
    if number > FEW:
        order = np.argsort(counts.sum(axis=1), kind="stable")
        smallest, largest = ([texts[i] for i in part] for part in (order[:ENDS], order[: -ENDS - 1 : -1]))
        texts = [*smallest, "…", *largest[::-1]]
    what = "1 label, so this is an ordinary VAE" if number == 1 else f"{number:,} labels"
    return f"{what}, images for training+validation+test: {', '.join(texts)}"
