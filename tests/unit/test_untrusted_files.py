"""Files and command lines that nobody can trust: any bytes, and valid files with a few things changed.

Each reader returns a valid value or fails in one line; it takes little memory, and writes nothing. A test tries about a
hundred examples, the same ones every time. Thousands, and others every time:

    FUZZ_EXAMPLES=5000 python -m pytest tests/unit/test_untrusted_files.py
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import gzip
import importlib
import io
import json
import math
import os
import resource
import struct
import tempfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import hypothesis.configuration
import numpy as np
import pytest
from helpers import ROOT, is_one_line, listing, small
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as any_numpy
from PIL import Image

import data
from data import decode, digit_photo
from engine import idx, npz
from engine.config import Config
from engine.evaluation import result_of_training
from engine.latent import likelihood_bounds, prior_cache
from engine.runs import metrics
from engine.runs.trained_model import Trained
from engine.terminal import Failure, fail

hypothesis.configuration.set_hypothesis_home_dir(tempfile.gettempdir() + "/hypothesis")  # not into the repository
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", 0))
CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def fuzzed(most: int) -> settings:
    """So many examples, always the same; or FUZZ_EXAMPLES others."""
    how = {"derandomize": not EXAMPLES, "deadline": None, "database": None, "suppress_health_check": CHECKS}
    return settings(max_examples=EXAMPLES or most, **how)


def reading(read, folder: Path, *refusals: type[Exception]):
    """What `read()` returns, or None if it fails in one line. The files in `folder` stay; little memory is taken."""
    before, peak, value = listing(folder), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, None
    try:
        value = read()
    except (Failure, *refusals) as error:
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
json_values = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes cut off, removed, repeated, inserted or flipped, up to four times, often near the beginning."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        last = len(content)
        at = draw(st.integers(0, min(last, 32)) | st.integers(0, last))
        how = draw(st.sampled_from(("cut", "remove", "repeat", "insert", "flip")))
        if how == "cut":
            del content[at:]
        elif how == "remove":
            del content[at : at + draw(st.integers(1, 20))]
        elif how == "repeat":
            content[at:at] = content[at : at + draw(st.integers(1, 200))]
        elif how == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=8) | st.sampled_from(DEEP))
        elif at < last:
            content[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(content)


@st.composite
def changed_json(draw: st.DrawFn, value: dict) -> bytes:
    """A JSON object, some of its values or of the values within replaced, removed or added."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        objects = [value, *(inner for inner in value.values() if isinstance(inner, dict))]
        where = objects[draw(st.integers(0, len(objects) - 1))]
        key = draw(st.sampled_from([*where, "new"]))
        if draw(st.integers(0, 3)):
            where[key] = draw(json_values)
        else:
            where.pop(key, None)
    return json.dumps(value).encode()


def any_json(value: dict) -> st.SearchStrategy[bytes]:
    return changed_json(value) | damaged(json.dumps(value).encode()) | st.binary(max_size=200)


def npy(array: np.ndarray, **header: object) -> bytes:
    """A .npy file whose header may say something else than what follows it."""
    fields = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape} | header
    text = repr(fields).encode() + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + array.tobytes()


def pickled() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([{}, "a"], object), allow_pickle=True)
    return out.getvalue()


SHAPES = [(), (0,), (-1,), (1,) * 40, (2.5,), "x", None, (10**9,), (10**15, 4), (10**30,)]
TYPES = ["|O", "<f8", ">u1", "|V3", "<U9", "|S5", "<M8[s]", "x", "<c16", "|b1", None]


def changed_npy(array: np.ndarray) -> st.SearchStrategy[bytes]:
    """A .npy file in place of this array's: of other values, type or shape, with a lying header, or damaged."""
    any_array = any_numpy.arrays(any_numpy.scalar_dtypes(), any_numpy.array_shapes(min_dims=0, max_dims=4, max_side=9))
    alike = any_numpy.arrays(any_numpy.scalar_dtypes(), array.shape)
    lies = st.sampled_from(SHAPES).map(lambda shape: npy(array, shape=shape))
    lies |= st.sampled_from(TYPES).map(lambda dtype: npy(array, descr=dtype))
    same_type = any_numpy.arrays(array.dtype, array.shape)
    return st.one_of((any_array | alike | same_type).map(npy), lies, damaged(npy(array)), st.just(pickled()))


@st.composite
def any_npz(draw: st.DrawFn, arrays: dict[str, np.ndarray]) -> bytes:
    """A .npz file one of whose arrays was changed, is missing or has another name; then its zip may be damaged."""
    members, name = {key: npy(array) for key, array in arrays.items()}, draw(st.sampled_from(sorted(arrays)))
    how = draw(st.integers(0, 9))
    if how == 0:
        del members[name]
    elif how == 1:
        members[draw(st.sampled_from(["new", "é\n", "../x", "a" * 200]))] = members.pop(name)
    else:
        members[name] = draw(changed_npy(arrays[name]))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))) as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{member}.npy"), content, archive.compression)  # of no particular time
    return draw(damaged(out.getvalue())) if draw(st.integers(0, 4)) == 0 else out.getvalue()


# --- a run's files -----------------------------------------------------------------------------------------------

CONFIG = json.loads((ROOT / "out" / "reference" / "config.json").read_text())
CONFIG |= {"label_names": list("abcdefghij"), "stages": 2, "likelihood": "gaussian", "background": "red"}


@fuzzed(300)
@given(content=changed_json(CONFIG | {"label_names": []}) | any_json(CONFIG))
@example(content=json.dumps(CONFIG | {"label_names": [], "num_labels": 1001}).encode())
def test_any_config_is_within_its_bounds_or_refused(content, tmp_path):
    (tmp_path / "config.json").write_bytes(content)
    config = reading(lambda: Config.read(tmp_path), tmp_path)
    if config:
        h, w, c = config.image_shape
        assert 1 <= config.latent_dim <= 4096 and 1 <= config.num_labels <= 1000 and h * w * c <= 1 << 22
        assert len(config.digest) == 16 and config.example and Config(**dataclasses.asdict(config)) == config


@pytest.mark.parametrize(
    "more",
    [
        {"latent_dim": 10**9},
        {"image_shape": [10**6, 10**6, 1]},
        {"image_shape": [1024, 1024, 4], "latent_dim": 4096, "num_labels": 1000, "label_names": []},
        {"image_shape": [1024, 1024, 1], "latent_dim": 4096},
        {"image_shape": [1024, 1024, 1], "num_labels": 1000, "label_names": []},
    ],
)
def test_a_config_cannot_ask_for_endless_memory(more, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | more))
    with pytest.raises(Failure, match="is damaged"):
        Config.read(tmp_path)


def test_a_config_of_20_mb_is_not_read(tmp_path):
    (tmp_path / "config.json").write_bytes(b'{"a": "' + b"x" * (20 << 20) + b'"}')
    tracemalloc.start()  # after the 20 MB were made
    with pytest.raises(Failure):
        Config.read(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


METRICS = json.loads((ROOT / "out" / "reference" / "metrics.json").read_text())
RUN = Config(**{key: CONFIG[key] for key in CONFIG if key not in ("likelihood", "background")})
METRICS["test"]["config"] = RUN.digest


@fuzzed(120)
@given(content=any_json({"test": METRICS["test"], "evaluate": {"seed": 0, "config": "0" * 16}}))
def test_any_metrics_are_printed_or_measured_anew_and_damaged_ones_kept(content, monkeypatch):
    """Reading moves nothing; what is believed can be printed."""
    monkeypatch.setattr(likelihood_bounds, "elbo", lambda *_: {"negative_elbo": 1.0, "nll": 0.5, "kl": 0.5})
    dataset = SimpleNamespace(name="mnist", test=data.Split(np.zeros((2, 1)), np.zeros(2)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "metrics.json").write_bytes(content)
        entries = reading(lambda: metrics.read(folder), folder)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            result_of_training.report(Trained(None, RUN, folder, 80_000), dataset)
        assert out.getvalue().startswith("test −ELBO ")
        assert isinstance(metrics.read(folder)["test"]["images"], int | float)
        assert isinstance(entries, dict)
        assert is_object(content) or content in [path.read_bytes() for path in folder.glob("damaged/*")]


def is_object(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False


TINY = dataclasses.replace(RUN, num_labels=2, label_names=(), latent_dim=2)
PRIOR = {
    "labels": np.array([0, 0, 1]),
    "weights": np.array([0.25, 0.75, 1]),
    "means": np.zeros((3, 2)),
    "covariances": np.stack([np.eye(2)] * 3),
    "step": np.int64(60),
    "config": np.str_(TINY.digest),
}


@fuzzed(120)
@given(content=any_npz({key: np.asarray(value) for key, value in PRIOR.items()}))
def test_any_prior_file_is_a_prior_or_unusable(content, tmp_path, monkeypatch):
    monkeypatch.setattr(prior_cache, "LabelPrior", lambda *arrays: arrays)  # it only makes tensors of them, slowly
    run = SimpleNamespace(folder=tmp_path, config=TINY, step=60)
    (tmp_path / prior_cache.NAME).write_bytes(content)
    arrays = reading(lambda: prior_cache.read(run), tmp_path, prior_cache.Unusable)
    if arrays:
        labels, weights, means, covariances = arrays
        np.testing.assert_allclose(np.bincount(labels, weights), [1, 1])
        assert (weights > 0).all()
        assert np.isfinite(means).all() and means.shape == (len(labels), 2)
        assert (np.linalg.eigvalsh(covariances) > 0).all() if covariances.ndim == 3 else (covariances > 0).all()


# --- data --------------------------------------------------------------------------------------------------------

ARRAYS = {
    "images": np.arange(12 * 16, dtype=np.uint8).reshape(12, 4, 4),
    "labels": np.arange(12) % 3,
    "label_names": np.array(["a", "b", "c"]),
}


def check(dataset: data.Dataset) -> None:
    """Whether a data set can be trained on."""
    shape = dataset.train.images.shape[1:]
    for split in dataset[2:5]:
        assert split.images.dtype == np.uint8 and split.images.shape == (len(split.labels), *shape)
        assert split.labels.max(initial=0) < dataset.num_labels <= 1000
    assert len(dataset.train.labels) and 0 < min(shape) and max(shape) <= 512


@fuzzed(120)
@given(content=any_npz(ARRAYS))
def test_any_npz_file_is_a_data_set_or_refused(content, tmp_path):
    (tmp_path / "set.npz").write_bytes(content)
    dataset = reading(lambda: data.load("npz", tmp_path / "set.npz"), tmp_path)
    if dataset:
        check(dataset)
        assert all(name.isprintable() for name in dataset.label_names)


@pytest.mark.parametrize("how", ["encrypted", "method", "header", "huge", "no array", "large"])
def test_npz_files_that_make_numpy_raise_what_it_does_not_say_are_refused(how, tmp_path):
    path, content = tmp_path / "set.npz", npy(np.arange(9))
    others = {
        "header": b"\x93NUMPY\1\0\x09\0(((((((((",
        "huge": npy(np.arange(9), shape=(10**30,)),
        "no array": b"text",
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", others.get(how, content))
    raw = bytearray(path.read_bytes())
    at = raw.rfind(b"PK\1\2")
    if how in ("encrypted", "method"):
        raw[at + (8 if how == "encrypted" else 10)] = 1
        path.write_bytes(raw)
    with pytest.raises(Failure):
        data.load("npz", path)
    with pytest.raises((ValueError, OSError)):
        npz.read(path, 20 if how == "large" else 1 << 20)


IDX = idx.header((50, 3, 3)) + bytes(range(225)) + bytes(225)
PACKED = gzip.compress(IDX, mtime=0)


@fuzzed(120)
@given(content=damaged(IDX) | damaged(PACKED) | damaged(idx.header((20,)) + bytes(20)) | st.binary(max_size=100))
@example(content=PACKED + PACKED)
@example(content=idx.header((2**32 - 1, 512, 512)) + bytes(9))
def test_any_idx_file_is_an_array_or_refused(content, tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    array = reading(lambda: idx.read(path), tmp_path)
    if array is not None:
        plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        assert array.dtype == np.uint8 and idx.header(array.shape) + array.tobytes() == plain


SET = {name: idx.header(array.shape) + array.tobytes() for name, array in small(train=80, test=20).items()}


@fuzzed(100)
@given(name=st.sampled_from(sorted(SET)), draw=st.data())
def test_any_file_among_four_makes_a_data_set_or_is_refused(name, draw, tmp_path):
    changed = draw.draw(damaged(SET[name]) | st.sampled_from(sorted(SET.values())))
    for other, content in SET.items():
        (tmp_path / other).write_bytes(changed if other == name else content)
    dataset = reading(lambda: data.load("idx", tmp_path), tmp_path)
    if dataset:
        check(dataset)


# --- pictures ----------------------------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@st.composite
def any_png(draw: st.DrawFn) -> bytes:
    """Chunks whose checksums are right, whatever they say: sizes, depths, modes, palettes, pixels."""
    side = st.integers(0, 60) | st.sampled_from([7_000, 60_000, 2**31 - 1])
    depth, mode = draw(st.sampled_from([(8, 0), (8, 2), (8, 3), (8, 4), (8, 6), (1, 0), (16, 0), (16, 2), (4, 3)]))
    head = struct.pack(">IIBBBBB", draw(side), draw(side), depth, mode, 0, 0, draw(st.integers(0, 1)))
    kinds = st.sampled_from([b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"gAMA", b"tEXt", b"zTXt", b"acTL"])
    extra = draw(st.lists(st.tuples(kinds, st.binary(max_size=40)), max_size=2))
    pixels = zlib.compress(draw(st.binary(max_size=20)) * draw(st.integers(1, 500)))
    chunks = [(b"IHDR", head), *extra, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


def pictures() -> list[bytes]:
    """A valid picture of each format, and PNGs of several modes."""
    image, found = Image.effect_noise((40, 30), 90), []
    written = [("RGB", form) for form in decode.formats() if form in Image.SAVE]
    written += [(mode, "PNG") for mode in ("1", "P", "LA", "I;16")]
    for mode, form in written:
        out = io.BytesIO()
        (image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)).save(out, form)
        found.append(out.getvalue())
    return found


@fuzzed(120)
@given(content=any_png() | st.sampled_from(pictures()).flatmap(damaged) | st.binary(max_size=100))
@pytest.mark.parametrize("read", [decode.prepare, digit_photo.prepare])
def test_any_picture_is_pixels_or_refused(read, content, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    size = (28, 3) if read is decode.prepare else (28,)
    pixels = reading(lambda: read(path, *size), tmp_path)
    if pixels is not None:
        assert pixels.dtype == np.uint8 and pixels.shape == ((28, 28, 3) if read is decode.prepare else (28, 28))


# --- command lines -----------------------------------------------------------------------------------------------

TYPED = """0 -1 1.5 7 99999999999 1e9 nan -inf 1e400 0x10 1_0 ٣ -- - = -s -r --lab --fresh=1 @x %s %(prog)s all constant
cosine drawn auto test:0 test:-1 ~ ~root . .. [a] * /dev/null /dev/full/x.png /proc/x.html missing.png x.npz x.html
x.gif .png gaussian white 64 here/x.png""".split()
TYPED += ["", " ", "\n", "a\nb", "\x1b[31m", "a\0b", "~\0", "\udcff", "9" * 5000, "é" * 50, "x" * 300, "x/" * 3000]


def flags_of(script: str) -> list[str]:
    """Every flag that a script's --help shows."""
    with contextlib.redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit):
        importlib.import_module(script).parse(["--help"])
    words = {word.strip(",[]") for word in out.getvalue().split()}
    return sorted({word for word in words if word.startswith("-")} - {"-h", "--help", "-"})


@fuzzed(120)
@given(draw=st.data())
@pytest.mark.parametrize("script", ["train", "generate", "evaluate"])
def test_any_words_are_options_within_their_bounds_or_a_usage_error(script, draw):
    """generate.parse looks at the run, too, and raises Failure if there is none."""
    values = st.lists(st.sampled_from(TYPED) | st.text(max_size=5), max_size=2)
    flags = draw.draw(st.lists(st.tuples(st.sampled_from(FLAGS[script]), values), max_size=4))
    words = [word for flag, more in flags for word in (flag, *more)]
    with contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            args = importlib.import_module(script).parse(words)
            assert getattr(args, "learn_rate", None) is None or 1e-12 <= args.learn_rate <= 1e6
            assert (args.seed is None or 0 <= args.seed < 1 << 31) and not err.getvalue()
        except SystemExit as error:
            assert error.code in (2, 0 if {"-h", "--help"} & {*words} else 2)
            assert is_one_line(err.getvalue()) and len(err.getvalue()) < 1200
        except Failure as error:
            assert script == "generate" and str(error).startswith(("no run in", "cannot read")), words


FLAGS = {script: flags_of(script) for script in ("train", "generate", "evaluate")}
