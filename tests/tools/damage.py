"""Input that no program likes: damaged bytes, JSON, arrays and pictures; odd folders, odd words. For fuzz and tests.

Everything is chosen by the random.Random that is handed over, so that a seed makes the same input again.
"""

from __future__ import annotations

import copy
import gzip
import io
import json
import os
import random
import socket
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

VALUES = [None, True, False, 0, -1, 1, 7, 10**9, 10**30, -(10**30), 0.5, -0.0, 1e308, float("nan"), float("inf"), ""]
VALUES += ["drawn", "mnist", "../../x", "a\0b", "\ud800", "x" * 5000, "/etc/passwd", "~root", "\x1b[2J\n"]
VALUES += [[], [1], [28, 28, 1], [10**9] * 3, [28, 28], [28, 28, 0], [28.0, 28, 1], [True, 28, 1], [[]], {}, {"a": 1}]

TYPED = """0|-1|1.5|7|7 8|1e9|nan|-inf|1e400|0x10|1_0|٣|--|-|=|-s|-r|--lab|--fresh=1|@x|%s|%(prog)s|all|constant|cosine
drawn|auto|float32|test:0|test:1|test:-1|test:999999|~|~root|.|..|[a]|*|/dev/null|/dev/full|/dev/zero|/proc|missing.png
/dev/full/x.png|/dev/null/x.npz|/proc/x.html|missing/deep/er|x.npz|x.html|.png|here|here/x.png|readonly|readonly/x.png
readonly/x|file|file/x.npz|pipe|loop|folder.npz"""
WORDS = [word for line in TYPED.splitlines() for word in line.split("|")]
WORDS += ["", " ", "\n", "a\nb", "\x1b[31m", "a\0b", "~\0", "\udcff", "9" * 5000, "é" * 50, "x" * 300, "x/" * 3000]

MODES = ("1", "L", "P", "PA", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16")
SUFFIXES = (".png", ".jpg", ".bmp", ".gif", ".tiff", ".webp", ".ppm")
SIZES = [(1, 1), (2, 1), (28, 28), (64, 64), (301, 77), (1, 20_000), (20_000, 1), (60_000, 2), (900, 999), (7000, 7000)]
NAMES = "é|名|a b|a\nb|\x1b[31m|-|--fresh|%s|'|*|.hidden|train|\udcff".split("|") + ["x" * 200]


def mutate_value(rng: random.Random, value: dict) -> bytes:
    """A JSON object with some of its values, or of the values within, replaced, removed or added."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 3)):
        where = value
        while rng.random() < 0.5 and (inner := [v for v in where.values() if isinstance(v, dict)]):
            where = rng.choice(inner)
        key = rng.choice([*where, "new"])
        if rng.random() < 0.2:
            where.pop(key, None)
        else:
            where[key] = copy.deepcopy(rng.choice(VALUES))
    return json.dumps(value).encode()


def mutate_bytes(rng: random.Random, content: bytes) -> bytes:
    """Bytes flipped, cut, repeated, inserted; now and then something made to hurt a parser."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content) + 1)
        choice = rng.randrange(6)
        if choice == 0:
            del content[at:]
        elif choice == 1:
            del content[at : at + rng.randint(1, 20)]
        elif choice == 2:
            content[at:at] = content[at : at + rng.randint(1, 200)]
        elif choice == 3:
            content[at:at] = rng.randbytes(rng.randint(1, 8))
        elif choice == 4:
            deep = rng.choice([2, 500, 900, 990, 1100, 100_000])
            hurting = [b"[" * deep, b'{"a":' * deep, b"9" * deep, b"[" * deep + b"]" * deep, b"1e999"]
            content[at:at] = rng.choice(hurting)
        elif content:
            content[at - 1] ^= 1 << rng.randrange(8)
    return bytes(content)


def file(rng: random.Random, path: Path) -> None:
    """Damage a file, or put what is no file in its place; what it cannot be opened for, a seed does not tell."""
    content = path.read_bytes()
    if rng.random() < 0.85:
        at, length = rng.randrange(len(content) + 1), rng.choice((1, 16, 4096))
        zeroed = content[:at] + bytes(len(content[at : at + length])) + content[at + length :]
        path.write_bytes(zeroed if rng.random() < 0.2 else mutate_bytes(rng, content))
        return
    path.unlink()
    _put(rng, path)


def _put(rng: random.Random, path: Path) -> None:
    """Something that has a name, and is no file that can be read."""
    kind = rng.choice(("nothing", "empty", "unreadable", "folder", "pipe", "socket", "loop", "device", "dangling"))
    if kind in ("empty", "unreadable"):
        path.touch(0o600 if kind == "empty" else 0)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path must be short
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name[:90])
        os.chdir(here)
    elif kind != "nothing":
        path.symlink_to({"loop": path.name, "device": "/dev/zero", "dangling": "missing"}[kind])


def json_file(rng: random.Random, path: Path) -> None:
    """Damage a JSON object's structure, or its bytes; or say a key twice."""
    choice = rng.random()
    value = json.loads(path.read_bytes())
    if choice < 0.6:
        path.write_bytes(mutate_value(rng, value))
    elif choice < 0.7:
        twice = f"{json.dumps(rng.choice([*value]))}: {json.dumps(rng.choice(VALUES))}"
        path.write_text(json.dumps(value)[:-1] + f", {twice}}}")
    else:
        file(rng, path)


def npy(array: np.ndarray, descr: str | None = None, shape: tuple | None = None, version: int = 1) -> bytes:
    """A .npy file whose header may say something else than what follows it."""
    if array.dtype == object:
        out = io.BytesIO()
        np.save(out, array, allow_pickle=True)
        return out.getvalue()
    fields = {
        "descr": descr or array.dtype.str,
        "fortran_order": False,
        "shape": array.shape if shape is None else shape,
    }
    text = repr(fields).encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(text)) + text + array.tobytes()


def _mutate_array(rng: random.Random, array: np.ndarray) -> bytes:
    """A .npy file of the array with another type, shape, content or header."""
    huge = (10 ** rng.choice((9, 10, 12, 15, 19, 30)), *array.shape[1:])
    changes = [
        lambda: npy(array, shape=huge),
        lambda: npy(array, descr=rng.choice(("|O", "<f8", ">u1", "|V3", "<U9", "|S5", "<M8[s]", "x", "<c16", "|b1"))),
        lambda: npy(array, shape=rng.choice(((), (0,), (-1,), (1,) * 40, array.shape[::-1], (2.5,), "x", None))),
        lambda: npy(array, version=rng.choice((0, 2, 3, 9))),
        lambda: npy(array.astype(rng.choice(("f4", "f8", "i1", "i8", "u8", "c8", "U20", "O")))),
        lambda: npy(array[:0]),
        lambda: npy(array[None]),
        lambda: npy(array[: len(array) // 2] if array.ndim else array),
        lambda: npy(np.full(array.shape, rng.choice((np.nan, np.inf, -1, 1e300)))),
        lambda: npy(np.full(array.shape, rng.choice((-1, 0, 255, 2**62, -(2**62))), np.int64)),
        lambda: npy(np.array(rng.choices(("", "a\nb", "\x1b[0m", "x" * 5000), k=min(array.size, 500) or 1))),
        lambda: npy(np.array([{}, "a"], object)),
        lambda: b"\x93NUMPY\1\0" + struct.pack("<H", 60_000) + b"(" * 60_000,
        lambda: mutate_bytes(rng, npy(array)),
    ]
    try:
        return rng.choice(changes)()
    except (TypeError, ValueError, OverflowError, IndexError):  # not of this array
        return b""


def write_zeros(out: BinaryIO, count: int) -> None:
    """So many zeros, a megabyte at a time."""
    for start in range(0, count, 1 << 20):
        out.write(bytes(min(1 << 20, count - start)))


def npz_file(rng: random.Random, path: Path, largest: int = 400 << 20) -> None:
    """Damage a .npz file: its bytes, its zip, or one of its arrays, to which it may add `largest` bytes."""
    if rng.random() < 0.3:
        file(rng, path)
        return
    with np.load(path) as arrays:
        members = {name: npy(arrays[name]) for name in arrays.files}
        name = rng.choice(arrays.files)
        changed = rng.random() < 0.75 and _mutate_array(rng, arrays[name])
    if changed:
        members[name] = changed
    zeros, choice = {}, rng.randrange(12)
    if choice == 0:
        del members[name]
    elif choice == 1:
        members[rng.choice(NAMES)] = members.pop(name)
    elif choice == 2:
        zeros[name] = rng.choice((1, 1 << 20, largest))  # more than its header says, or just what it says
    elif choice == 3 and rng.random() < 0.2:
        members["more"], zeros["more"] = npy(np.zeros(0, np.uint8), shape=(2 * largest,)), 2 * largest
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    method = zipfile.ZIP_DEFLATED if zeros else method
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        for member, content in members.items():
            with archive.open(f"{os.fsencode(member).decode(errors='replace')}.npy", "w") as entry:
                entry.write(content)
                write_zeros(entry, zeros.get(member, 0))
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\1\2")
    if rng.random() < 0.2:  # the last entry of the directory: encrypted, of no known method, of other sizes
        offset, value = rng.choice(((8, 1), (10, 99), (24, 5), (26, 0xFFFF), (20, 7), (42, 9)))
        content[at + offset : at + offset + 2] = struct.pack("<H", value)
        path.write_bytes(content)


def idx_file(rng: random.Random, path: Path, bomb: Path) -> None:
    """Damage an IDX file: its header, its bytes, its compression. `bomb`: a gzipped one of 1 GB."""
    content = path.read_bytes()
    rank, choice = 3 if "images" in path.name else 1, rng.randrange(8)
    if len(content) < 4 + 4 * rank:
        file(rng, path)
        return
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    body = content[4 + 4 * rank :]
    if choice < 2:
        size = rng.choice((0, 1, 3, 512, 513, 60_000, 2**20, 2**30, 2**31, 2**32 - 1))
        at = rng.randrange(rank)
        head = struct.pack(f">{rank}I", *shape[:at], size, *shape[at + 1 :])
        path.write_bytes(content[:4] + head + body)
        if rng.random() < 0.3:
            os.truncate(path, min(size, 1 << 31))  # as long as it may claim, all holes
    elif choice == 2:
        path.write_bytes(struct.pack(">BBBB", *rng.choices((0, 1, 3, 8, 9, 13, 255), k=4)) + content[4:])
    elif choice == 3:
        path.write_bytes(content + rng.choice((b"\0", content, b"\x1f\x8b")))
    elif choice == 4:
        packed = gzip.compress(content, 1)
        path.write_bytes(rng.choice((packed + packed, packed + b"x", packed[:-4] + b"abcd", mutate_bytes(rng, packed))))
    elif choice == 5:
        size = (2400, 512, 512) if rank == 3 else (600 << 20,)  # as large as may be, all holes
        path.write_bytes(content[:4] + struct.pack(f">{rank}I", *size))
        os.truncate(path, 4 + 4 * rank + (600 << 20))
    elif choice == 6 and rng.random() < 0.2:
        path.unlink()
        path.symlink_to(bomb)
    else:
        file(rng, path)


def picture(rng: random.Random, path: Path) -> None:
    """Write a picture of any mode, size and format, possibly damaged; or something else by its name."""
    if rng.random() < 0.1:
        _put(rng, path)
        return
    weights = [9] * 6 + [3, 3, 2, 1]
    size, mode = rng.choices(SIZES, weights)[0], rng.choice(MODES)
    image = Image.new(mode, size, rng.choice((0, 1)))
    if rng.random() < 0.7:
        tile = Image.effect_noise((min(size[0], 300), min(size[1], 300)), 90)
        image.paste(tile.convert(mode) if mode not in ("PA", "LAB", "HSV", "I;16", "F", "I") else 1, (0, 0, *tile.size))
    kwargs = rng.choice(
        ({}, {"exif": rng.randbytes(60)}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\7\0\0\0"})
    )
    kwargs |= rng.choice(
        ({}, {"icc_profile": b"x" * 99}, {"transparency": 0}, {"save_all": True, "append_images": [image] * 3})
    )
    out = io.BytesIO()
    try:
        image.save(out, Image.registered_extensions()[path.suffix], **kwargs)
    except Exception:  # noqa: BLE001 - no such mode in this format
        image.convert("RGB").save(out := io.BytesIO(), "PNG")
    content = out.getvalue()
    if rng.random() < 0.4:
        content = mutate_bytes(rng, content)
    elif rng.random() < 0.1 and content[12:16] == b"IHDR":
        content = content[:16] + struct.pack(">II", *rng.choices((0, 1, 7000, 100_000, 2**31), k=2)) + content[24:]
    path.write_bytes(content)


def folder(rng: random.Random, root: Path) -> None:
    """Make a folder with a folder of pictures per label odd."""
    for _ in range(rng.randint(1, 4)):
        labels = sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
        label = rng.choice(labels) if labels else root
        choice = rng.randrange(8)
        suffix = rng.choice(SUFFIXES)
        if choice < 3:
            target = label / f"{rng.randrange(99)}{suffix}"
            if not os.path.lexists(target):
                picture(rng, target)
        elif choice == 3 and label != root:
            target = label.parent / rng.choice(NAMES)
            if not os.path.lexists(target):
                label.rename(target)
        elif choice == 4:
            target = label / (rng.choice(NAMES) + suffix)
            if not os.path.lexists(target):
                picture(rng, target)
        elif choice == 5 and not os.path.lexists(root / "odd"):
            _put(rng, root / "odd")
        elif choice == 6 and not os.path.lexists(label / "up"):
            (label / "up").symlink_to("..")  # a circle
        elif choice == 7:
            label.chmod(rng.choice((0, 0o300, 0o500)))
            return
