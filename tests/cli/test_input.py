"""Bad input: one line, the right exit status, nothing overwritten; and fuzz for whatever reads files or words."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from damage import WORDS, mutate_bytes, mutate_value, npy
from helpers import listing

import data
import generate
import train
from data import keras_datasets
from engine import npz
from engine.config import DATASETS, Config
from engine.evaluation import test_result
from engine.latent import elbo
from engine.runs import metrics
from engine.runs.trained_model import Trained
from engine.terminal import Failure, fail

ROOT = Path(__file__).resolve().parent.parent.parent
COLUMNS = "x" * 300


def status(main, *words: object) -> tuple[int, str, str]:
    """A script's exit status, stdout and stderr; it must not raise anything but argparse's SystemExit."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main([str(word) for word in words])
        except SystemExit as error:
            code = error.code
    return code, out.getvalue(), err.getvalue()


def one_line(err: str) -> bool:
    return len(err.splitlines()) == 1 and ": error: " in err and err.endswith("\n") and "Traceback" not in err


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def unreachable(name: str) -> None:
        raise keras_datasets.Unreachable(f"{name} could not be downloaded", "no network")

    monkeypatch.setattr(keras_datasets, "load", unreachable)


# --- what a person may type --------------------------------------------------------------------------------------

USAGE_TRAIN = """
--steps -1|--steps 1.5|--steps many|--steps 9999999999999999|--batch-size 0|--batch-size -4|--batch-size 99999999
--learn-rate nan|--learn-rate inf|--learn-rate -inf|--learn-rate 0|--learn-rate -1|--learn-rate 1e400|--learn-rate x
--channels 2|--latent-dim 0|--latent-dim 1000000000|--seed -1|--seed 2147483648|--save-every 0|--dataset fashion
--precision float32|--devices 0|--schedule linear|--schedule cosine --steps 0|--out|--nonsense|extra words
"""
USAGE_GENERATE = """
--label 12|--label seven|--label -1|--label 10|--label 7 8 12|--label 7.0|--label all 7|--label|--label 7 --count 0
--label 7 --count 99999999|--label 7 --count 1.5|--label 7 --seed -1|--label 7 --temperature nan
--label 7 --temperature inf|--label 7 --temperature -1|--label 7 --scale 0|--label 7 --scale 99
--label 7 --interpolate 1|--label 7 --npz a --each b|--style-label 3|--label 7 --animate --npz a.npz
--style-from x --style-label 10|--nonsense|--lab 7|--label 7 extra --count|--checkpoint
"""


def cases(text: str) -> list[str]:
    return [case for line in text.split("\n") for case in line.split("|") if case]


@pytest.mark.parametrize(("main", "text"), [(train.main, USAGE_TRAIN), (generate.main, USAGE_GENERATE)])
def test_usage(main, text, tiny_run):
    before = listing(tiny_run)
    for words in cases(text):
        code, out, err = status(main, "--out" if main is train.main else "--run", tiny_run, *words.split())
        assert (code, out) == (2, "") and one_line(err), err
    assert listing(tiny_run) == before


def test_messages_are_useful(tiny_run, tmp_path):
    _, _, err = status(generate.main, "--run", tiny_run, "--label", "12")
    assert "'12' is none of this run's labels: 0, 1, 2" in err
    _, _, err = status(generate.main, "--run", tiny_run)
    assert "--label 7" in err
    code, _, err = status(generate.main, "--run", tmp_path, "--label", "7")
    assert code == 1 and one_line(err) and "run python train.py first" in err
    code, _, err = status(generate.main, "--run", tiny_run, "--label", "7", "--checkpoint", tmp_path / "model.ckpt-9")
    assert code == 1 and one_line(err) and "name another --checkpoint" in err
    code, _, err = status(train.main, "--dataset", "mnist", "--data-dir", tmp_path / "none", "--out", tmp_path / "run")
    assert code == 1 and one_line(err) and not (tmp_path / "run" / "config.json").exists()
    code, _, err = status(train.main, "--dataset", "drawn", "--reload", tmp_path / "no", "--out", tmp_path / "run")
    assert code == 1 and one_line(err) and "--reload" in err


def test_as_processes_too():
    """Through the interpreter: nothing before or after the one line, TensorFlow not even loaded."""
    for script, words in ("train.py", ["--steps", "-1"]), ("generate.py", ["--count", "0"]):
        argv = [sys.executable, "-X", "importtime", str(ROOT / script), *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        err = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
        assert (done.returncode, done.stdout, len(err)) == (2, "", 1) and err[0].startswith(f"{script}: error: ")
        assert "tensorflow" not in done.stderr


def test_unwritable_out(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run"), tmp_path / COLUMNS):
        code, _, err = status(train.main, "--dataset", "drawn", "--out", out)
        assert code == 1 and one_line(err) and "choose another folder with --out" in err, err
        code, _, err = status(generate.main, "--run", tiny_run, "--label", "7", "--out", out / "7.png")
        assert code == 1 and one_line(err), err
    for option in ("--npz", "--idx", "--each"):
        code, _, err = status(generate.main, "--run", tiny_run, option, tmp_path / "file" / "x.npz", "--count", "2")
        assert code == 1 and one_line(err), err
    code, _, err = status(generate.main, "--run", tiny_run, "--label", "7", "--out", tmp_path)
    assert code == 2 and one_line(err) and "does not end in .png" in err, err
    assert listing(tmp_path) == {"file": b"mine"}


def test_names_that_are_hard_to_print(tmp_path):
    """Not UTF-8, control characters, line ends, endless: in argparse's messages and in ours."""
    for word in ("a\nb", "\x1b[31m", "\udcff", "9" * 9000):
        for expected, main, words in (
            (2, train.main, ["--steps", word]),
            (2, generate.main, [word]),
            (1, generate.main, ["--run", tmp_path / "x" / word if len(word) < 99 else "x/" * 3000, "--label", "7"]),
        ):
            code, _, err = status(main, *words)
            assert code == expected and one_line(err) and "\x1b" not in err and len(err) < 1200, err
            assert err.endswith("(--help lists all options)\n" if code == 2 else "with --run\n"), err


def test_a_folder_whose_name_is_not_utf8(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "DRAWN", (100, 20, 20))
    code, _, err = status(train.main, "--dataset", "drawn", "--steps", 1, "--out", tmp_path / "\udcff")
    assert code == 1 and one_line(err) and "UTF-8" in err
    run = tmp_path / "\udcfe"
    run.mkdir()
    for path in tiny_run.glob("*.*"):
        (run / path.name).write_bytes(path.read_bytes())
    code, _, err = status(generate.main, "--run", run, "--label", "7")
    assert code == 1 and one_line(err) and "UTF-8" in err


def test_a_terminal_without_our_letters(tiny_run, tmp_path):
    argv = [sys.executable, str(ROOT / "generate.py"), "--run", str(tiny_run), "--label", "7", "--out"]
    argv += [str(tmp_path / "7.png")]
    done = subprocess.run(argv, capture_output=True, timeout=120, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and b"Traceback" not in done.stderr and b"from step 60" in done.stdout, done.stderr


def test_other_settings_are_refused_with_the_list(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    before = listing(tiny_run)
    words = ["--seed", 1, "--latent-dim", 8, "--learn-rate", "1e-3"]
    code, _, err = status(train.main, "--dataset", "drawn", "--out", tiny_run, *words)
    assert code == 1 and one_line(err) and "--fresh" in err
    for difference in ("seed 0 → 1", "latent_dim 20 → 8", "learn_rate 0.002 → 0.001"):
        assert difference in err
    assert "batch_size" not in err and listing(tiny_run) == before


# --- fuzz --------------------------------------------------------------------------------------------------------


def mutants(seed: int, value: dict, count: int):
    rng, good = random.Random(seed), json.dumps(value).encode()
    for i in range(count):
        yield mutate_value(rng, value) if i % 2 else mutate_bytes(rng, good)


def test_fuzz_config_reader(tiny_run, tmp_path):
    path, read, refused = tmp_path / "config.json", 0, 0
    tracemalloc.start()
    for content in mutants(1, json.loads((tiny_run / "config.json").read_text()), 4000):
        path.write_bytes(content)
        try:
            config = Config.read(tmp_path)
            h, w, c = config.image_shape
            assert 1 <= config.latent_dim <= 4096 and h * w * c * config.num_labels <= 1 << 28
            read += 1
        except Failure as error:
            with contextlib.redirect_stderr(io.StringIO()) as err:
                fail(str(error))
            assert one_line(err.getvalue()) and len(err.getvalue()) < 500
            refused += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6 and read > 100 and refused > 2000, (peak, read, refused)


def test_fuzz_metrics_reader(tiny_run, tmp_path, monkeypatch):
    """Reading moves nothing; what is believed can be printed, what cannot is measured anew; damaged files are kept."""
    path, value = tmp_path / "metrics.json", json.loads((tiny_run / "metrics.json").read_text())
    run = Trained(None, Config.read(tiny_run), tmp_path, 60)
    monkeypatch.setattr(elbo, "elbo", lambda *_: {"negative_elbo": 1.0, "nll": 0.5, "kl": 0.5})

    class Digits:
        name, test = "drawn", data.Split(None, b"12")

    for i, content in enumerate(mutants(2, value, 2000)):
        path.write_bytes(content)
        assert isinstance(metrics.read(tmp_path), dict) and path.read_bytes() == content
        with contextlib.redirect_stdout(io.StringIO()) as out:
            test_result.report(run, Digits)
        assert out.getvalue().startswith("test −ELBO ")
        assert isinstance(metrics.read(tmp_path)["test"]["images"], int | float)
        if i % 100 == 0 and (tmp_path / "damaged").exists():
            assert content in [old.read_bytes() for old in (tmp_path / "damaged").iterdir()] or json.loads(content)
            shutil.rmtree(tmp_path / "damaged")


def test_a_config_cannot_ask_for_endless_memory(tiny_run, tmp_path):
    config = json.loads((tiny_run / "config.json").read_text())
    for more in (
        {"latent_dim": 10**9},
        {"image_shape": [10**6, 10**6, 1]},
        {"image_shape": [1024, 1024, 4], "latent_dim": 4096, "num_labels": 1000},
        {"image_shape": [1024, 1024, 1], "latent_dim": 4096},
        {"image_shape": [1024, 1024, 1], "num_labels": 1000},
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | more))
        with pytest.raises(Failure, match="is damaged"):
            Config.read(tmp_path)
    (tmp_path / "config.json").write_bytes(b'{"a": "' + b"x" * (20 << 20) + b'"}')
    tracemalloc.start()  # after the 20 MB were made
    with pytest.raises(Failure):
        Config.read(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


@pytest.mark.parametrize("how", ["encrypted", "method", "header", "huge", "no array", "pipe", "large"])
def test_npz_files_that_make_numpy_raise_what_it_does_not_say(how, tmp_path):
    path, content = tmp_path / "set.npz", npy(np.arange(9))
    if how == "header":
        content = b"\x93NUMPY\1\0\x09\0((((((((("
    elif how == "huge":
        content = npy(np.arange(9), shape=(10**30,))
    elif how == "no array":
        content = b"text"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content)
    raw = bytearray(path.read_bytes())
    at = raw.rfind(b"PK\1\2")
    if how in ("encrypted", "method"):
        raw[at + (8 if how == "encrypted" else 10)] = 1
        path.write_bytes(raw)
    elif how == "pipe":
        path.unlink()
        os.mkfifo(path)
    code, _, err = status(train.main, "--dataset", "npz", "--data-dir", path, "--out", tmp_path / "run")
    assert code == 1 and one_line(err), err
    with pytest.raises((ValueError, OSError)):
        npz.read(path, 20 if how == "large" else 1 << 20)


@pytest.mark.parametrize("parse", [train.parse, generate.parse])
def test_fuzz_command_line(parse):
    """Any words: options understood within their bounds, or exit status 2 and one line; --help is no accident.

    generate.parse looks at the run, too, and raises Failure if there is none: status 1 and one line.
    """
    rng, flags, good = random.Random(5), set(), 0
    with contextlib.redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit):
        parse(["--help"])
    flags = sorted({word.strip(",") for word in out.getvalue().split() if word.startswith("-")} - {"-h", "--help", "-"})
    assert len(flags) > 12
    for _ in range(6000):
        words = []
        for _ in range(rng.randint(1, 4)):
            words.append(rng.choice(flags))
            words += rng.choices(WORDS, k=rng.choice((0, 1, 1, 1, 2)))
        with contextlib.redirect_stderr(io.StringIO()) as err:
            try:
                args = parse(words)
                assert getattr(args, "learn_rate", None) is None or 1e-12 <= args.learn_rate <= 1e6
                assert 0 <= args.seed < 1 << 31 and not err.getvalue()
                good += 1
            except SystemExit as error:
                assert error.code == 2 and one_line(err.getvalue()), words
            except Failure as error:
                assert parse is generate.parse and str(error).startswith(("no run in", "cannot read")), words
    assert good > 200


def test_a_reader_that_leaves_is_no_error(tmp_path):
    """python train.py | head -n 1"""
    words = ["--dataset", "drawn", "--steps", "2", "--out", str(tmp_path / "run")]
    command = [sys.executable, str(ROOT / "train.py"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
    assert error == "" and process.returncode == 141


def test_the_data_sets_that_a_run_can_name_are_those_that_are_loaded():
    assert set(data.NAMES) == {"auto", *DATASETS}
