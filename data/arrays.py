"""Load data sets from .npz files; convert arrays of any shape and dtype, which CSV tables and IDX files use too."""

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data import decode, splits
from data.splits import LABELS, PARTS, TEST, TRAIN, VALIDATION, WORDS, by_hash
from engine import files
from engine.config import MOST_LABELS
from engine.dataset import Dataset, Split
from engine.idx import MAX_SIDE
from engine.terminal import Failure, printable

MAX_BYTES = 1 << 30  # of a data set's arrays together: they are all loaded into memory
LONGEST_NAME = 300  # of a label, in letters
CHANNELS = (1, 3, 4)
IMAGES = ("images", "imgs", "x", "data")  # names of the arrays of images; the first that exists is used
KMNIST = re.compile(rf"{splits.SET}-(?P<kind>imgs|labels)\.npz")  # file names; each file holds one array, arr_0

Pair = tuple[np.ndarray, np.ndarray]  # images and labels
Given = dict[int, Pair]  # the splits that the files hold, by TRAIN, VALIDATION or TEST


def of_npz(path: Path, background: str) -> Dataset:
    """Load images and labels from a .npz file with any usual names of arrays, or from KMNIST's files.

    `path` is the file, a folder of KMNIST's files, or one of those. Raises Failure if it has no images and labels.
    """
    arrays: dict[str, np.ndarray] = {}
    for key, file in splits.files(path, KMNIST).items() or [(None, path)]:
        try:
            content = files.read_npz(file, MAX_BYTES - sum(array.nbytes for array in arrays.values()))
        except ValueError as error:
            remedy = "write it again with numpy.savez, numbers and texts only, or use a folder of pictures instead"
            raise Failure(f"{file} cannot be read, is damaged or no .npz file ({error}): {remedy}") from None
        if key:
            content = {f"{PARTS[key[0]]}_{'labels' if key[1] else 'images'}": next(iter(content.values()))}
        arrays |= content
    listing = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
    where, named = f"{path} (it has {listing or 'no arrays'})", _named(arrays)
    given = {part: (arrays[named[part, False]], arrays[name]) for (part, is_y), name in named.items() if is_y}
    if TRAIN not in given:
        raise Failure(f"{where} needs the arrays images and labels, or x_train, y_train …: write them with numpy.savez")
    unused = [name for name in arrays if name not in {"label_names", *named.values()}]
    left_out = splits.left_out("other arrays in the file", unused)
    dataset = of_parts("npz", path, where, given, background, arrays.get("label_names", ()))
    return dataset._replace(left_out=left_out + dataset.left_out)


def _named(arrays: Iterable[str]) -> dict[tuple[int, bool], str]:
    """Return the name of the array for each (split, is_labels), of the splits that have both images and labels.

    An array whose name says no split is for training. Beside arrays "images" and "labels", all others are ignored.
    """
    arrays = {"images", "labels"} if {"images", "labels"} <= set(arrays) else arrays
    result: dict[tuple[int, bool], str] = {}
    for kind, name in itertools.product((*IMAGES, *LABELS), arrays):
        words = re.findall("[a-z]+", name.lower())
        rest = [word for word in words if word != kind] or ["train"]
        if kind in words and len(rest) == 1 and rest[0] in WORDS:
            result.setdefault((WORDS[rest[0]], kind in LABELS), name)
    return {key: name for key, name in result.items() if {(key[0], False), (key[0], True)} <= result.keys()}


def of_parts(name: str, path: Path, where: str, given: Given, background: str, names: Sequence[str] = ()) -> Dataset:
    """Make a Dataset of arrays of any form; `names` are the labels'. Raises Failure; its text begins with `where`."""
    try:
        pixels, notes = _pixels([images for images, _ in given.values()], background)
        labels = [_values(labels) for _, labels in given.values()]
        if list(map(len, pixels)) != list(map(len, labels)) or len({y.dtype.kind == "U" for y in labels}) > 1:
            raise ValueError("there must be as many labels as images, all of one kind")
        parts, split_from = _split(dict(zip(given, zip(pixels, labels, strict=True), strict=True)))
        parts, fields = numbered(parts, np.asarray(names, str).ravel().tolist())
    except ValueError as error:
        raise Failure(f"{where}: {error}") from None
    fields |= {"notes": notes + fields["notes"], "split_from": split_from}
    return dataset(name, f"images in {path}", parts, **fields)


def _split(given: Given) -> tuple[list[Pair], str]:
    """Return training, validation and test set and how they were split; missing ones come from the training set."""
    missing = [part for part in (VALIDATION, TEST) if part not in given]
    split_from = ["the data's own splits"] if len(given) > 1 else []
    if missing:
        images, labels = given[TRAIN]
        numbers = np.unique(labels, return_inverse=True)[1]
        split_of = by_hash([str(i) for i in range(len(labels))], numbers, missing)
        given = given | {part: (images[split_of == part], labels[split_of == part]) for part in (TRAIN, *missing)}
        names = " or ".join(PARTS[part] for part in missing)
        split_from.append(f"a hash of an image's number says whether it is for {names}")
    if not len(given[VALIDATION][1]):
        raise ValueError("it needs two images of a label, one of them for validation")
    return [given[part] for part in (TRAIN, VALIDATION, TEST)], "; ".join(split_from)


def _pixels(arrays: list[np.ndarray], background: str) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Convert images of any form to uint8 (N, H, W, 1 or 3); also return notes on the changes. Raises ValueError."""
    arrays = [_channels_last(array) for array in arrays]
    dtype, shape, notes = arrays[0].dtype, arrays[0].shape[1:], ()
    if {(array.dtype, array.shape[1:]) for array in arrays} != {(dtype, shape)} or max(shape[:2]) > MAX_SIDE:
        raise ValueError(f"images must be of one form (shape and dtype), at most {MAX_SIDE} pixels a side")
    if dtype != np.uint8:
        low, high = min(float(array.min()) for array in arrays), max(float(array.max()) for array in arrays)
        bottom, top = (-1, 1) if low <= -0.5 else (0, 255 if 128 <= high <= 255 else max(1.0, high))
        if not bottom <= low <= high <= top < math.inf:  # not true for NaN either
            raise ValueError(f"images' values go from {low:.4g} to {high:.4g}: bring them to 0 … 1 or 0 … 255")
        if top != 255 or dtype.kind == "f":
            notes += (f"the images' {dtype} values, {low:.4g} to {high:.4g}, were read as {bottom} to {top:.4g}",)
        factor = 255 / (top - bottom)
        arrays = [np.stack([np.uint8(np.rint((x.astype(float) - bottom) * factor)) for x in array]) for array in arrays]
    if shape[-1] == 4:
        paper = decode.colour(background)
        arrays = [np.stack([decode.flat(Image.fromarray(image), paper) for image in array]) for array in arrays]
        notes += (f"transparent pixels became {background}",)
    return arrays, notes


def _channels_last(array: np.ndarray) -> np.ndarray:
    """Return images of any layout as (N, H, W, 1, 3 or 4). Raises ValueError, also if the layout is ambiguous."""
    shape, rank = array.shape, array.ndim if array.size and array.dtype.kind in "buif" else 0
    if rank == 2 and math.isqrt(shape[1]) ** 2 == shape[1]:
        return array.reshape(len(array), math.isqrt(shape[1]), -1, 1)
    if rank == 3:
        return array[..., None]
    if rank == 4 and (shape[3] in (1, 3) or (shape[3] == 4 and shape[1] not in CHANNELS)):
        return array
    if rank == 4 and shape[1] in CHANNELS and shape[3] != 4:
        return np.moveaxis(array, 1, 3)
    forms = "numbers (N, H, W), (N, H, W, C), (N, C, H, W) or (N, H·H), and readable in one way only"
    raise ValueError(f"images must be {forms}, not {array.dtype} {shape}")


def _values(labels: np.ndarray) -> np.ndarray:
    """Return labels as integers or texts (N,); accepts a column, one-hot rows, whole floats. Raises ValueError."""
    kind, shape = labels.dtype.kind, labels.shape
    if labels.ndim == 2 and kind in "buif" and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
        labels = labels.argmax(axis=1) if shape[1] > 1 else labels
    labels = labels[:, 0] if labels.ndim == 2 and shape[1] == 1 else labels
    if labels.ndim != 1 or kind not in "buifSU" or (kind == "f" and not (labels == np.rint(labels)).all()):
        raise ValueError(f"labels must be one for each image, whole numbers or texts, not {labels.dtype} {shape}")
    if kind in "SU":
        values, where = np.unique(labels.astype(str), return_inverse=True)
        are_numbers = all(re.fullmatch(r"0|-?[1-9][0-9]{0,8}", value) for value in values.tolist())
        return (values.astype(np.int64) if are_numbers else values)[where]
    return labels.astype(np.int64) if kind in "fb" else labels


def numbered(parts: list[Pair], names: Sequence[str] = ()) -> tuple[list[Split], dict[str, Any]]:
    """Renumber the labels as 0, 1 … Returns the splits and the fields of Dataset that describe the labels.

    A label without training images is dropped, with its images. `names` are the labels' names, by their old numbers.
    Without them, the labels themselves become the names, unless they are 0, 1 … already. Raises ValueError.
    """
    values = np.unique(parts[0][1])
    count, is_text = len(values), values.dtype.kind == "U"
    if names and (is_text or any(len(y) and not 0 <= y.min() <= y.max() < len(names) for _, y in parts)):
        raise ValueError(f"labels that have names must be whole numbers from 0 to {len(names) - 1}")

    def called(labels: np.ndarray) -> tuple[str, ...]:
        return tuple(printable(str(names[label] if names else label)) for label in labels.tolist())

    texts, plain = called(values), not (names or is_text) and (values[0], values[-1]) == (0, count - 1)
    if count > MOST_LABELS or len(set(texts)) < count or not all(0 < len(text) <= LONGEST_NAME for text in texts):
        raise ValueError(f"labels must have different names, at most {MOST_LABELS:,}; these are {count:,}")
    result, dropped = [], []
    for images, labels in parts:
        known = np.isin(labels, values)
        if len(known) and not known.any():
            raise ValueError("no image of the test or validation set has a label that occurs in the training set")
        dropped += called(labels[~known])
        images, labels = (images, labels) if known.all() else (images[known], labels[known])
        result.append(Split(images, np.searchsorted(values, labels).astype(np.min_scalar_type(count - 1))))
    left_out = splits.left_out("images of labels without training images", dropped)
    notes = ()
    if not (plain or is_text or count == len(names)):
        kept = "names" if names else f"numbers as names, {texts[0]} … {texts[-1]}"
        notes = (f"labels without training images were dropped; the others keep their {kept}",)
    return result, {"num_labels": count, "label_names": () if plain else texts, "left_out": left_out, "notes": notes}


def dataset(name: str, title: str, parts: Sequence[Split], **fields: Any) -> Dataset:
    """Make a Dataset of these splits, with its fingerprint."""
    digest = hashlib.sha256(json.dumps([fields["num_labels"], fields["label_names"]]).encode())
    for array in (array for split in parts for array in split):
        digest.update(json.dumps(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return Dataset(name, title, *parts, digest.hexdigest(), **fields)
