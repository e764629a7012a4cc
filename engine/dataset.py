"""Dataset and Split: what data/ builds and a run learns from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


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
    """What a data set's place holds and the data set does not, of one kind."""

    why: str
    count: int
    names: tuple[str, ...]  # the first of them


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
    split_from: str = ""  # where the parts come from, in one phrase
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()  # what was done to pixels or labels, a phrase each

    @property
    def counts(self) -> tuple[int, ...]:
        """How many pictures of each label there are, all parts together."""
        labels = np.concatenate([split.labels for split in (self.train, self.validation, self.test)])
        return tuple(np.bincount(labels, minlength=self.num_labels).tolist())

    def __str__(self) -> str:
        train, validation, test = (f"{len(split.labels):,}" for split in (self.train, self.validation, self.test))
        shape = "×".join(map(str, self.train.images.shape[1:]))
        text = f"{self.title}: {train} training, {validation} validation and {test} test images, {shape}"
        counts = self.counts
        of_each = " to ".join(f"{count:,}" for count in sorted({min(counts), max(counts)}))
        return f"{text}; {len(counts):,} labels with {of_each} images each"
