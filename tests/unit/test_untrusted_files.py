"""Files that nobody can trust: any bytes, and valid files with a few things changed.

Each reader returns a valid value or fails in one line; it takes little memory, and writes nothing. A test tries about a
hundred examples, the same ones every time. Thousands, and others every time:

    FUZZ_EXAMPLES=5000 python -m pytest tests/unit/test_untrusted_files.py
"""

import contextlib
import dataclasses
import gzip
import io
import json
import math
import os
import resource
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import hypothesis.configuration
import numpy as np
import pytest
from helpers import ROOT, is_one_line, listing
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from data import decode, digit_photo
from engine import files, idx
from engine.config import Config
from engine.terminal import Failure, fail

hypothesis.configuration.set_hypothesis_home_dir(tempfile.gettempdir() + "/hypothesis")  # not into the repository
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", 0))
CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
HOW = {"derandomize": not EXAMPLES, "deadline": None, "database": None, "suppress_health_check": CHECKS}
fuzzed = settings(max_examples=EXAMPLES or 120, **HOW)


def reading(read, folder: Path):
    """What `read()` returns, or None if it fails in one line. The files in `folder` stay; little memory is taken."""
    before, peak, value = listing(folder), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, None
    try:
        value = read()
    except Failure as error:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            fail(str(error))
        assert is_one_line(err.getvalue()) and len(err.getvalue()) < 1200
    assert listing(folder) == before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 200_000  # kB
    return value


# --- damage ------------------------------------------------------------------------------------------------------

DEEP = [b"[" * 100_000, b'{"a":' * 1100, b"9" * 5000, b"[" * 900 + b"]" * 900, b"1e999", b"NaN"]
ODD = [None, True, 0, -1, 10**9, 10**30, 0.5, math.nan, math.inf, "", "x" * 5000, "a\0b", "\ud800", "\x1b[2J\n"]
ODD += [[], [28, 28, 1], [10**9] * 3, [28, 28, 0], [28.0, 28, 1], [True, 28, 1], {}, {"a": 1}, "mnist", "cosine"]


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Bytes in place of others, which may be the rest or none; often near the beginning."""
    at = st.integers(0, min(len(content), 32)) | st.integers(0, len(content))
    size, new = st.integers(0, 20) | st.just(len(content)), st.binary(max_size=8) | st.sampled_from(DEEP)
    return st.builds(lambda at, size, new: content[:at] + new + content[at + size :], at, size, new)


@st.composite
def any_json(draw: st.DrawFn, value: dict) -> bytes:
    """A JSON object, some of its values replaced, removed or added; or with damaged bytes."""
    value = dict(value)
    for key in draw(st.lists(st.sampled_from([*value, "new"]), max_size=3)):
        value.pop(key, None)
        if draw(st.integers(0, 3)):
            value[key] = draw(st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=9))
    content = json.dumps(value).encode()
    return content if draw(st.integers(0, 2)) else draw(damaged(content))


# --- a run's files -----------------------------------------------------------------------------------------------

CONFIG = json.loads((ROOT / "out" / "reference" / "config.json").read_text())
CONFIG |= {"label_names": list("abcdefghij"), "stages": 2, "likelihood": "gaussian", "background": "red"}


@fuzzed
@given(content=any_json(CONFIG | {"label_names": []}) | any_json(CONFIG) | st.binary(max_size=200))
@example(content=json.dumps(CONFIG | {"label_names": [], "num_labels": 1001}).encode())
@example(content=json.dumps(CONFIG | {"image_shape": [28, 28, 0]}).encode())
@example(content=json.dumps(CONFIG | {"learn_rate": "2e-3"}).encode())
def test_any_config_is_within_its_bounds_or_refused(content, tmp_path):
    (tmp_path / "config.json").write_bytes(content)
    config = reading(lambda: Config.read(tmp_path), tmp_path)
    if config:
        assert min(config.image_shape) >= 1 and math.prod(config.image_shape) <= 1 << 22 and config.learn_rate >= 0
        assert 1 <= config.latent_dim <= 4096 and 1 <= config.num_labels <= 1000
        assert len(config.digest) == 16 and config.example and Config(**dataclasses.asdict(config)) == config


@pytest.mark.parametrize("more", [{"latent_dim": 4096}, {"num_labels": 1000, "label_names": []}])
def test_a_config_cannot_ask_for_endless_memory(more, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"image_shape": [1024, 1024, 1]} | more))
    with pytest.raises(Failure, match="a model of more than 1 GB"):
        Config.read(tmp_path)


def test_a_config_of_20_mb_is_not_read(tmp_path):
    (tmp_path / "config.json").write_bytes(b'{"a": "' + b"x" * (20 << 20) + b'"}')
    tracemalloc.start()  # after the 20 MB were made
    with pytest.raises(Failure):
        Config.read(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


# --- data --------------------------------------------------------------------------------------------------------


def saved(array: np.ndarray) -> bytes:
    np.save(out := io.BytesIO(), array, allow_pickle=True)
    return out.getvalue()


@pytest.mark.parametrize("member", [saved(np.array([{}, "a"], object)), b"text", saved(np.arange(99))])
def test_a_member_that_is_pickled_no_array_or_too_large_is_an_error_that_readers_expect(member, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", member)
    with pytest.raises(ValueError):
        files.read_npz(tmp_path / "a.npz", 500)


def test_what_is_no_file_is_not_opened_as_an_archive(tmp_path):
    """A folder stands here for a pipe, whose opening would wait for ever."""
    with pytest.raises(ValueError, match="not a file"):
        files.read_npz(tmp_path, 500)


IDX = idx.encoded(np.arange(450).reshape(50, 3, 3).astype(np.uint8))
PACKED = gzip.compress(IDX, mtime=0)


@fuzzed
@given(content=damaged(IDX) | damaged(PACKED) | damaged(idx.encoded(np.zeros(20, np.uint8))) | st.binary(max_size=100))
@example(content=PACKED + PACKED)
@example(content=b"\0\0\x08\3" + struct.pack(">3I", 2**32 - 1, 512, 512) + bytes(9))
def test_any_idx_file_is_an_array_or_refused(content, tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    array = reading(lambda: idx.read(path), tmp_path)
    if array is not None:
        plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        assert array.dtype == np.uint8 and idx.encoded(array) == plain


# --- pictures ----------------------------------------------------------------------------------------------------


def picture(form: str) -> bytes:
    Image.effect_noise((40, 30), 90).convert("RGB").save(out := io.BytesIO(), form)
    return out.getvalue()


WRITABLE = [form for form in decode.FORMATS if Image.init() is not None and form in Image.SAVE]  # Pillow's, here


@fuzzed
@given(content=st.sampled_from([*map(picture, WRITABLE)]).flatmap(damaged) | st.binary(max_size=100))
@pytest.mark.parametrize(("read", "shape"), [(decode.pixels, (28, 28, 3)), (digit_photo.prepare, (28, 28))])
def test_any_picture_is_pixels_or_refused(read, shape, content, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    form = decode.Form(28, 3, "crop", (255, 255, 255)) if read is decode.pixels else 28
    pixels = reading(lambda: read(tmp_path / "a.png", form), tmp_path)
    assert pixels is None or (pixels.dtype == np.uint8 and pixels.shape == shape)
