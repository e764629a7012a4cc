"""MNIST's four IDX files: read, verified, downloaded. A file is never trusted, wherever it came from."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import math
import os
import queue
import struct
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from data.console import Failure, Progress
from data.files import whole

MIRRORS = ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/")

# Of the decompressed content: mirrors recompress, so the .gz files' own sums differ.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
FILES = tuple(SHA256)
CLASSES = 10

MAX_BYTES = 2**30  # of one file's content, decompressed; MNIST's largest has 47 MB
MAX_SIDE = 512  # of an image, in pixels
MAX_DOWNLOAD = 2**26  # of one compressed file; MNIST's largest has 9.9 MB
CONTACT = 6.0  # seconds until a mirror's first bytes; two mirrors that never answer cost 12
STALL = 15.0  # seconds without a byte, once bytes have come
CHUNK = 2**16

REMEDY = "delete it and run again to download MNIST afresh, or put a good copy there"


class Unreachable(Failure):
    """No mirror gave MNIST. `why` says it in a few words."""

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"MNIST could not be downloaded ({why}): put its four files into {folder}, "
                         "or name the folder that has them with --data-dir")  # fmt: skip
        self.why = why


class _Refused(Exception):
    """What a mirror sent, or failed to send; the next one may do better."""


# --- the files ---------------------------------------------------------------------------------------------------


def idx_header(shape: tuple[int, ...]) -> bytes:
    """The bytes in front of a uint8 array of this shape, rank 1 (labels) or 3 (images): magic, then sizes."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)


def write_idx(path: str | os.PathLike, array: np.ndarray) -> None:
    """Write a uint8 array of rank 1 or 3, gzipped if the name ends in .gz: all of it, or nothing.

    The same array gives the same bytes: no time is written.
    """
    if array.dtype != np.uint8 or array.ndim not in (1, 3):
        raise ValueError(f"an IDX file holds uint8 of rank 1 or 3, not {array.dtype} of rank {array.ndim}")
    with whole(path) as partial, open(partial, "wb") as raw:
        gz = str(path).endswith(".gz")
        with gzip.GzipFile("", "wb", 6, raw, mtime=0) if gz else contextlib.nullcontext(raw) as file:
            file.write(idx_header(array.shape))
            file.write(np.ascontiguousarray(array).data)


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """The uint8 array in an IDX file, gzipped or raw (told by its bytes, not by its name).

    Memory is taken only after the header, the file's own size and MAX_BYTES have agreed to it.

    Raises:
        Failure: the file cannot be read, or is not exactly one array of rank 1 or 3; one line, with a remedy.
    """
    path = Path(path)
    try:
        if not path.is_file():  # a folder, or a pipe that would block
            raise Failure(f"{path} is not a file: {REMEDY}")
        size = path.stat().st_size
        with open(path, "rb") as raw:
            gz = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw, mode="rb") if gz else contextlib.nullcontext(raw) as file:
                return _parse(path, file, 1032 * size if gz else size)  # deflate cannot shrink further than 1032:1
    except EOFError:
        raise Failure(f"{path} is cut off: {REMEDY}") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Failure(f"{path} is damaged ({error}): {REMEDY}") from None
    except OSError as error:
        raise Failure(f"{path} cannot be read ({error.strerror or error}): check its permissions") from None


def _parse(path: Path, file, most: int) -> np.ndarray:
    """Read header and array from `file`, which cannot yield more than `most` bytes. EOFError if it ends early."""
    magic = file.read(4)
    if len(magic) < 4:
        raise EOFError
    if magic not in (b"\0\0\x08\x01", b"\0\0\x08\x03"):
        raise Failure(f"{path} is not an IDX file of bytes (it begins with {magic.hex(' ')}): {REMEDY}")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise EOFError
    shape = struct.unpack(f">{magic[3]}I", sizes)
    count = math.prod(shape)
    if not count or count > MAX_BYTES or max(shape[1:], default=1) > MAX_SIDE:
        what = " x ".join(f"{n:,}" for n in shape)
        raise Failure(f"{path} claims the size {what}, which is not a data set's: {REMEDY}")
    if count + 4 + len(sizes) > most:
        raise EOFError
    array = np.empty(count, np.uint8)
    at = 0
    while at < count:
        got = file.readinto(array[at : at + 2**20].data)
        if not got:
            raise EOFError
        at += got
    if file.read(1):  # this also makes gzip compare its checksum
        raise Failure(f"{path} is longer than its header says: {REMEDY}")
    return array.reshape(shape)


def sha256(array: np.ndarray) -> str:
    """SHA-256, in hex, of the decompressed IDX file that holds `array`."""
    digest = hashlib.sha256(idx_header(array.shape))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def find(folder: Path, name: str) -> Path | None:
    """The raw or else the gzipped file of this name; None if there is neither."""
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if os.path.exists(path)), None)


def missing(folder: Path) -> list[str]:
    """Which of the four files `folder` lacks."""
    return [name for name in FILES if find(folder, name) is None]


def read(folder: Path) -> tuple[dict[str, np.ndarray], bool, str]:
    """Read the four files in `folder`, MNIST or another IDX data set of ten classes.

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
            raise Failure(f"{folder} has no {name}.gz: put the four IDX files there, or choose --data-dir")
        paths[name], arrays[name] = path, read_idx(path)
        sums[name] = _sum(path, name, arrays[name])
    other = [name for name in FILES if sums[name] != SHA256[name]]
    if len(other) == 1:  # a raw file has no checksum of its own: one wrong bit shows only here
        raise Failure(f"{paths[other[0]]} is damaged or not MNIST's, as the other three files are: {REMEDY}")
    for part in ("train", "t10k") if other else ():
        _fit(*(paths[f"{part}-{kind}"] for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")),
             *(arrays[f"{part}-{kind}"] for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")))  # fmt: skip
    train, test = (arrays[f"{part}-images-idx3-ubyte"].shape[1:] for part in ("train", "t10k"))
    if train != test:
        raise Failure(f"the training images in {folder} are {train[0]} x {train[1]} pixels, the test images "
                      f"{test[0]} x {test[1]}: put four files of one data set there")  # fmt: skip
    return arrays, not other, hashlib.sha256("".join(sums.values()).encode()).hexdigest()


def _sum(path: Path, name: str, array: np.ndarray) -> str:
    """SHA-256 of the content. Failure if it is another one of MNIST's files, or images are where labels should be."""
    digest = sha256(array)
    for known in FILES:
        if known != name and digest == SHA256[known]:
            raise Failure(f"{path} holds MNIST's {known}: give it that name, or delete it to download MNIST afresh")
    if array.ndim != (rank := 3 if "images" in name else 1):
        held, due = ("images", "labels") if rank == 1 else ("labels", "images")
        raise Failure(f"{path} holds {held} where {due} are due: were two files swapped? {REMEDY}")
    return digest


def _fit(images_path: Path, labels_path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Failure unless every image has its label and every label is a digit."""
    if len(images) != len(labels):
        raise Failure(f"{images_path} has {len(images):,} images, but {labels_path} {len(labels):,} labels: "
                      "put two files of one data set there")  # fmt: skip
    if labels.max() >= CLASSES:
        raise Failure(f"{labels_path} has the label {labels.max()}, but labels go from 0 to {CLASSES - 1}: {REMEDY}")


# --- the download ------------------------------------------------------------------------------------------------


def download(folder: Path) -> None:
    """Fetch those of the four files that `folder` lacks; each gets its name only once its SHA-256 is right.

    A missing network costs 2 x CONTACT seconds. Proxies are those of the environment, as urllib reads it.

    Raises:
        Unreachable: no mirror gave a file.
        Failure: `folder` cannot be written, or a file in it is not MNIST's.
    """
    wanted = missing(folder)
    for name in FILES:
        path = find(folder, name)
        if path and _sum(path, name, read_idx(path)) != SHA256[name]:
            raise Failure(f"{path} is damaged or not MNIST's, and {wanted[0]}.gz is missing: "
                          "delete it to download MNIST afresh, or complete the data set")  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # better to know before the network is waited for
            pass
    except OSError as error:
        raise _unwritable(folder, error) from None

    mirrors, why, patience = list(MIRRORS), {}, 2 * CONTACT
    for name in wanted:
        for mirror in tuple(mirrors):
            began = time.monotonic()
            try:
                response, first = _contact(f"{mirror}{name}.gz", min(CONTACT, patience))
            except _Refused as error:
                patience -= time.monotonic() - began
                why[mirror] = str(error)
            else:
                try:
                    with response, whole(folder / f"{name}.gz") as partial:
                        _receive(response, first, partial, name)
                        _verify(partial, name)
                    break
                except _Refused as error:
                    why[mirror] = str(error)
                except OSError as error:  # the disk's; the network's are refusals
                    raise _unwritable(folder, error) from None
            mirrors.append(mirrors.pop(mirrors.index(mirror)))  # for the next file, begin with one that works
        else:
            raise Unreachable(folder, "; ".join(f"{urlsplit(m).hostname}: {text}" for m, text in why.items()))


def _contact(url: str, seconds: float) -> tuple[http.client.HTTPResponse, bytes]:
    """The response and its first bytes, or _Refused within `seconds`.

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
        response, first = answer.get(timeout=max(seconds, 0.01))
    except queue.Empty:
        raise _Refused("no answer") from None
    if response is None:
        raise _Refused(_in_a_word(first))
    return response, first


def _receive(response: http.client.HTTPResponse, first: bytes, path: Path, name: str) -> None:
    """Write the response to `path`, at most MAX_DOWNLOAD bytes. _Refused if it breaks off or grows beyond that."""
    length = response.headers.get("Content-Length", "")
    progress = Progress(int(length) // 1000 if length.isdecimal() and len(length) < 12 else 0, f"{name} kB")
    done, chunk = 0, first
    try:
        with open(path, "wb") as file:
            while chunk:
                file.write(chunk)
                done += len(chunk)
                if done > MAX_DOWNLOAD:
                    raise _Refused("far too long")
                progress.update(done // 1000)
                try:
                    chunk = response.read1(CHUNK)
                except (OSError, http.client.HTTPException, ValueError) as error:
                    raise _Refused(_in_a_word(error)) from None
    finally:
        progress.close()


def _verify(path: Path, name: str) -> None:
    """_Refused unless `path` holds MNIST's file of this name."""
    try:
        if sha256(read_idx(path)) == SHA256[name]:
            return
    except Failure:
        pass
    raise _Refused("sent a damaged or different file")


def _in_a_word(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return "no answer"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _unwritable(folder: Path, error: OSError) -> Failure:
    return Failure(f"cannot write to {folder} ({error.strerror or error}): choose another folder with --data-dir")
