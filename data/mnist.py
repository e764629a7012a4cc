"""MNIST's four files: found, read, verified, downloaded; or another data set under their names."""

from __future__ import annotations

import hashlib
import http.client
import os
import queue
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from data import idx
from data.idx import REMEDY
from engine.files import whole
from engine.terminal import Failure, Progress

MIRRORS = ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/")

# Of the decompressed content: mirrors recompress, so the .gz files' own sums differ.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
FILES = tuple(SHA256)

MAX_DOWNLOAD = 2**26  # bytes of one compressed file; MNIST's largest has 9.9 MB
CONTACT = 6.0  # seconds until a mirror's first bytes; two mirrors that never answer cost 12
STALL = 15.0  # seconds without a byte, once bytes have come
CHUNK = 2**16


class Unreachable(Failure):
    """No mirror gave MNIST. `why` says it in a few words."""

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(
            f"MNIST could not be downloaded ({why}): put its four files into {folder}, "
            "or name the folder that has them with --data-dir"
        )
        self.why = why


class _Refused(Exception):
    """What a mirror sent, or failed to send; the next one may do better."""


# --- the files ---------------------------------------------------------------------------------------------------


def find(folder: Path, name: str) -> Path | None:
    """The raw or else the gzipped file of this name; None if there is neither."""
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if os.path.exists(path)), None)


def missing(folder: Path) -> list[str]:
    """Which of the four files `folder` lacks."""
    return [name for name in FILES if find(folder, name) is None]


def read(folder: Path) -> tuple[dict[str, np.ndarray], bool, str]:
    """Read the four files in `folder`, MNIST or another IDX data set.

    Returns:
        The arrays by name, uint8: images (N, H, W), labels (N,); whether they are MNIST, byte for byte;
        and a fingerprint in hex.

    Raises:
        Failure: a file is missing, damaged, swapped with another, or does not fit the others.
    """
    paths, arrays, sums = {}, {}, {}
    for name in FILES:
        path = find(folder, name)
        if path is None:
            raise Failure(
                f"{folder} has no {name}.gz: put the four IDX files there, or pictures as in {folder}/rose/1.jpg, "
                f"{folder}/tulip/2.png …, name another folder with --data-dir, or leave it out to have MNIST downloaded"
            )
        paths[name] = path
        arrays[name], sums[name] = _read_one(path, name)
    other = [name for name in FILES if sums[name] != SHA256[name]]
    if len(other) == 1:  # a raw file has no checksum of its own: one wrong bit shows only here
        raise Failure(f"{paths[other[0]]} is damaged or not MNIST's, as the other three files are: {REMEDY}")
    if other:
        _refuse_misfits(folder, paths, arrays)
    return arrays, not other, hashlib.sha256("".join(sums.values()).encode()).hexdigest()


def _read_one(path: Path, name: str) -> tuple[np.ndarray, str]:
    """The array of the file called `name`, and its SHA-256.

    Raises:
        Failure: it is damaged, is another one of MNIST's files, or holds images where labels are due.
    """
    array = idx.read(path)
    digest = idx.sha256(array)
    for known in FILES:
        if known != name and digest == SHA256[known]:
            raise Failure(f"{path} holds MNIST's {known}: give it that name, or put a good copy there")
    due = "images" if "images" in name else "labels"
    held = "images" if array.ndim == 3 else "labels"
    if held != due:
        raise Failure(f"{path} holds {held} where {due} are due: were two files swapped? {REMEDY}")
    return array, digest


def _refuse_misfits(folder: Path, paths: dict[str, Path], arrays: dict[str, np.ndarray]) -> None:
    """Raises Failure unless every image has its label, no label is in the test only and all images have one size."""
    for images, labels in FILES[:2], FILES[2:]:
        if len(arrays[images]) != len(arrays[labels]):
            raise Failure(
                f"{paths[images]} has {len(arrays[images]):,} images, but {paths[labels]} "
                f"{len(arrays[labels]):,} labels: put two files of one data set there"
            )
        highest, most = arrays[labels].max(), arrays[FILES[1]].max()
        if highest > most:
            raise Failure(f"{paths[labels]} has the label {highest}, but those of training go to {most}: {REMEDY}")
    if most < 1:
        raise Failure(f"{paths[FILES[1]]} has one label only: {REMEDY}")
    train, test = (arrays[images].shape[1:] for images in FILES[::2])
    if train != test:
        raise Failure(
            f"the training images in {folder} are {train[0]} x {train[1]} pixels, the test images "
            f"{test[0]} x {test[1]}: put four files of one data set there"
        )


# --- the download ------------------------------------------------------------------------------------------------


def download(folder: Path) -> None:
    """Fetch those of the four files that `folder` lacks; each gets its name only once its SHA-256 is right.

    A mirror is left for the next one at its first failure, so a missing network costs CONTACT seconds a mirror.
    Proxies are those of the environment, as urllib reads it.

    Raises:
        Unreachable: no mirror gave a file.
        Failure: `folder` cannot be written, or a file in it is not MNIST's.
    """
    _refuse_others(folder)
    why = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # better to know before the network is waited for
            pass
        for mirror in MIRRORS:
            try:
                for name in missing(folder):
                    _fetch(f"{mirror}{name}.gz", folder, name)
                return
            except _Refused as error:
                why.append(f"{urlsplit(mirror).hostname}: {error}")
    except OSError as error:  # the disk's; the network's are refusals
        raise Failure(
            f"cannot write to {folder} ({error.strerror or error}): "
            "put MNIST's four files into another folder and name it with --data-dir"
        ) from None
    raise Unreachable(folder, "; ".join(why))


def _refuse_others(folder: Path) -> None:
    """Raises Failure if a file that `folder` has is not MNIST's: the rest of MNIST does not belong beside it."""
    lacking = missing(folder)
    for name in FILES:
        path = find(folder, name)
        if lacking and path and _read_one(path, name)[1] != SHA256[name]:
            raise Failure(
                f"{path} is damaged or not MNIST's, and {lacking[0]}.gz is missing: "
                "delete it to download MNIST afresh, or complete the data set"
            )


def _fetch(url: str, folder: Path, name: str) -> None:
    """Download `name` into `folder`, whole and verified. Raises _Refused, and writes nothing, if the mirror fails."""
    response, first = _contact(url)
    with response, whole(folder / f"{name}.gz") as partial:
        _receive(response, first, partial, name)
        _verify(partial, name)


def _contact(url: str) -> tuple[http.client.HTTPResponse, bytes]:
    """The response and its first bytes. Raises _Refused, within CONTACT seconds.

    In a thread, because no socket timeout covers a name server that hangs; a daemon, so that it may be left behind.
    """
    answer: queue.SimpleQueue = queue.SimpleQueue()

    def ask() -> None:
        try:
            response = urllib.request.urlopen(url, timeout=STALL)
            answer.put((response, response.read1(CHUNK)))
        except Exception as error:  # a captive portal may send anything: whatever it is, this mirror is no use
            answer.put((None, error))

    threading.Thread(target=ask, daemon=True).start()
    try:
        response, first = answer.get(timeout=CONTACT)
    except queue.Empty:
        raise _Refused("no answer") from None
    if response is None:
        raise _Refused(_in_a_word(first))
    return response, first


def _receive(response: http.client.HTTPResponse, first: bytes, path: Path, name: str) -> None:
    """Write the response to `path`. Raises _Refused if it breaks off or grows beyond MAX_DOWNLOAD bytes."""
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() and len(length) < 12 else 0
    done, chunk = 0, first
    with Progress(total // 1000, f"{name} kB") as bar, open(path, "wb") as file:
        while chunk:
            file.write(chunk)
            done += len(chunk)
            if done > MAX_DOWNLOAD:
                raise _Refused("far too long")
            bar.advance(done // 1000 - bar.done)
            try:
                chunk = response.read1(CHUNK)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise _Refused(_in_a_word(error)) from None


def _verify(path: Path, name: str) -> None:
    """Raises _Refused unless `path` holds MNIST's file of this name."""
    try:
        good = idx.sha256(idx.read(path)) == SHA256[name]
    except Failure:
        good = False
    if not good:
        raise _Refused("sent a damaged or different file")


def _in_a_word(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return "no answer"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
