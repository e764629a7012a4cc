"""Dataset and Split: the data that a run is trained on. data/ builds them, engine/ uses them."""

from typing import NamedTuple

import numpy as np

from engine.terminal import printable

MOST_LINES = 12  # in a report
FEW = 12  # up to this number of labels, a report lists every label's counts
ENDS = 3  # of more labels, it lists this number of the smallest and of the largest


class Split(NamedTuple):
    """The images and labels of one split of a data set."""

    images: np.ndarray  # uint8 (N, H, W, C); memory-mapped and read-only for a folder of pictures
    labels: np.ndarray  # (N,), 0 … num_labels - 1; uint8, or uint16 for more than 256 labels

    def subset(self, count: int, seed: int) -> "Split":
        """Return `count` random images, in their order; the split itself if it is smaller. The seed decides which."""
        if count >= len(self.labels):
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self.labels))[:count])
        return Split(self.images[chosen], self.labels[chosen])


class LeftOut(NamedTuple):
    """Files, images or labels of the data that are in no split, all for the same reason."""

    why: str  # the reason in a few words, with a remedy if there is one
    count: int
    names: tuple[str, ...]  # of some of them, as examples


class Dataset(NamedTuple):
    """Training, validation and test set, and their description."""

    name: str  # as data.load takes it: "mnist" (verified), "idx" (another IDX data set), "drawn", "folder" …
    title: str  # for the report
    train: Split
    validation: Split
    test: Split  # may be empty, (0, H, W, C)
    fingerprint: str  # SHA-256 in hex, the same for the same data
    num_labels: int = 10
    label_names: tuple[str, ...] = ()  # () if the labels are just numbers
    split_from: str = ""  # how the data were split, such as "by a hash of each path"
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()  # lines on how the files were read, where that could surprise
    levels: tuple[float, ...] = ()  # in pictures with more than 8 bits: the values that became 0 and 255

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of images of each label, in all splits together."""
        return tuple(self.counts_by_part().sum(axis=1).tolist())

    def counts_by_part(self) -> np.ndarray:
        """Return the number of images of each label in each split: int (num_labels, 3)."""
        parts = self.train, self.validation, self.test
        return np.stack([np.bincount(part.labels, minlength=self.num_labels) for part in parts], axis=1)

    def __str__(self) -> str:
        train, validation, test = (f"{len(split.labels):,}" for split in (self.train, self.validation, self.test))
        shape = "×".join(map(str, self.train.images.shape[1:]))
        return f"{self.title}: {train} training, {validation} validation and {test} test images, {shape}"


def report(dataset: Dataset) -> list[str]:
    """Describe the data set, and what was left out and why, in at most MOST_LINES lines."""
    lines = [str(dataset), *([f"split: {dataset.split_from}"] if dataset.split_from else []), _labels(dataset)]
    lines += dataset.notes
    for why, count, names in dataset.left_out:
        lines.append(f"left out {count:,}, {why}: {', '.join(names)}{', …' * (count > len(names))}")
    if len(lines) > MOST_LINES:
        rest = [line.partition(":")[0] for line in lines[MOST_LINES - 1 :]]
        lines[MOST_LINES - 1 :] = ["; ".join(rest)]
    return [printable(line) for line in lines]


def _labels(dataset: Dataset) -> str:
    """Describe the labels and their counts per split; of many labels, only the smallest and the largest."""
    counts, number = dataset.counts_by_part(), dataset.num_labels
    if number > 1 and (counts == counts[0]).all():
        return f"{number:,} labels with {'+'.join(f'{n:,}' for n in counts[0].tolist())} images each"
    names = dataset.label_names or range(number)
    texts = [f"{name} {'+'.join(f'{n:,}' for n in row)}" for name, row in zip(names, counts.tolist(), strict=True)]
    if number > FEW:
        order = np.argsort(counts.sum(axis=1), kind="stable")
        texts = [*(texts[i] for i in order[:ENDS]), "…", *(texts[i] for i in order[-ENDS:])]
    title = "1 label, so this is an ordinary VAE" if number == 1 else f"{number:,} labels"
    return f"{title}, images for training+validation+test: {', '.join(texts)}"
