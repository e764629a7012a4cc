"""What a person may type: one line that helps, the right exit status, nothing overwritten; and how a script starts."""

import contextlib
import gc
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import DRAWN, ROOT, call, is_one_line, listing

import data
import generate
from data import keras_datasets
from engine import startup
from engine.runs.options import REFERENCE


@pytest.fixture(autouse=True)
def quick_data(monkeypatch):
    """Few drawn digits, and no network."""

    def unreachable(name: str) -> None:
        raise keras_datasets.Unreachable(f"{name} could not be downloaded")

    monkeypatch.setattr(keras_datasets, "load", unreachable)
    monkeypatch.setattr(data, "DRAWN", (100, 20, 20))


USAGE = {
    "train": """
--steps -1|--steps 1.5|--steps many|--steps 9999999999999999|--batch-size 0|--batch-size -4|--batch-size 99999999
--learn-rate nan|--learn-rate inf|--learn-rate -inf|--learn-rate 0|--learn-rate -1|--learn-rate 1e400|--learn-rate x
--channels 2|--latent-dim 0|--latent-dim 1000000000|--seed -1|--seed 2147483648|--save-every 0|--dataset fashion
--precision float32|--devices 0|--schedule linear|--schedule cosine --steps 0|--out|--nonsense|extra words|--out a*
""",
    "generate": """
--label 12|--label seven|--label -1|--label 10|--label 7 8 12|--label 7.0|--label all 7|--label|--label 7 --count 0
--label 7 --count 99999999|--label 7 --count 1.5|--label 7 --seed -1|--label 7 --temperature nan
--label 7 --temperature inf|--label 7 --temperature -1|--label 7 --scale 0|--label 7 --scale 99
--label 7 --interpolate 1|--label 7 --npz a --each b|--style-label 3|--label 7 --animate --npz a.npz
--style-from x --style-label 10|--nonsense|--lab 7|--label 7 extra --count|--checkpoint
""",
    "evaluate": "--full|--seed -1|--seed x|--nonsense|--qui",
}


@pytest.mark.parametrize("script", USAGE)
def test_words_that_are_wrong_are_a_usage_error_in_one_line(script):
    cases = [case for line in USAGE[script].split("\n") for case in line.split("|") if case]
    for words in cases:
        status, out, err = call(script, "--out" if script == "train" else "--run", REFERENCE, *words.split())
        assert (status, out) == (2, "") and is_one_line(err), (words, err)


def fails(script: str, *words: object) -> str:
    """The one line of a command that fails."""
    status, _, err = call(script, *words)
    assert status == 1 and is_one_line(err), err
    return err


def test_messages_say_what_to_do(tmp_path):
    assert "'12' is none of this run's labels: 0, 1, 2" in call("generate", "--run", REFERENCE, "--label", "12").err
    assert "--label 7" in call("generate", "--run", REFERENCE).err
    draw = ["--label", "7", "--checkpoint", tmp_path / "model.ckpt-9"]
    assert "run python train.py first" in fails("generate", "--run", tmp_path, *draw)
    assert "run python train.py first" in fails("evaluate", "--run", tmp_path)
    assert "name another --checkpoint" in fails("generate", "--run", REFERENCE, *draw)
    out = ["--out", tmp_path / "run"]
    assert "put the four IDX files" in fails("train", "--dataset", "mnist", "--data-dir", tmp_path / "none", *out)
    assert not (tmp_path / "run" / "config.json").exists()
    assert "--reload" in fails("train", "--dataset", "drawn", "--reload", tmp_path / "no", *out)


def test_an_out_that_cannot_be_written_is_said_and_nothing_is_replaced(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "File name too long" in fails("train", "--dataset", "drawn", "--out", tmp_path / ("x" * 300))
    for out in tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run"):
        assert "choose another folder with --out" in fails("train", "--dataset", "drawn", "--out", out)
        fails("generate", "--run", REFERENCE, "--label", "7", "--count", "1", "--out", out / "7.png")
    for option in ("--npz", "--idx", "--each"):
        fails("generate", "--run", REFERENCE, option, tmp_path / "file" / "x.npz", "--count", "2")
    status, _, err = call("generate", "--run", REFERENCE, "--label", "7", "--out", tmp_path)
    assert status == 2 and is_one_line(err) and "does not end in .png" in err, err
    assert listing(tmp_path) == {"file": b"mine"}


def test_words_that_are_hard_to_print_are_quoted_in_one_short_line(tmp_path):
    """Not UTF-8, control characters, line ends, endless; in argparse's messages: test_untrusted_files.py."""
    for word in ("a\nb", "\x1b[31m", "\udcff", "x/" * 3000):
        err = fails("generate", "--run", f"{tmp_path}/{word}", "--label", "7")
        assert "\x1b" not in err and len(err) < 1200 and err.endswith("with --run\n"), err


def test_a_folder_whose_name_is_not_utf8_is_refused(tmp_path):
    assert "UTF-8" in fails(
        "train", "--dataset", "drawn", "--devices", "1", "--steps", "1", "--out", tmp_path / "\udcff"
    )
    (tmp_path / "\udcfe").symlink_to(REFERENCE)
    assert "UTF-8" in fails("generate", "--run", tmp_path / "\udcfe", "--label", "7")


def test_a_terminal_without_our_letters_shows_others(tmp_path, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", out)
    words = ["--run", str(REFERENCE), "--label", "7", "--count", "1", "--out", str(tmp_path / "7.png")]
    assert generate.main(words) == 0
    assert out.buffer.getvalue().startswith(b"1 ? 7, from step 80,000 ? ")


ENDLESS = """
import sys
from engine import terminal

@terminal.command
def main(argv=None):
    while True:
        print("step")

sys.exit(main())
"""


def test_a_reader_that_leaves_is_no_error():
    """python train.py | head -n 1"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen([sys.executable, "-c", ENDLESS], **pipes) as process:
        assert process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
    assert error == "" and process.returncode == 141


# --- TensorFlow's import -----------------------------------------------------------------------------------------

# A run of one step as a user starts it; then what was asked of TensorFlow.
COMMAND = """
import gc, os, sys
sys.path.insert(0, sys.argv.pop(1))
import data, train
data.DRAWN = 100, 50, 50
assert (os.environ["TF_ENABLE_ONEDNN_OPTS"], gc.isenabled()) == ("1", True) and gc.get_freeze_count() > 100_000
sys.exit(train.main(sys.argv[1:]))
"""


def test_a_terminal_shows_nothing_but_the_run(tmp_path: Path):
    """In a process of its own: no start-up noise of TensorFlow's on either stream."""
    words = [sys.executable, "-c", COMMAND, str(ROOT), *DRAWN, "--steps", "1", "--out", str(tmp_path / "run")]
    env = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0 and done.stderr == ""
    lines = [line for line in done.stdout.splitlines() if not re.match(r".*\d/\d", line)]  # progress on a slow machine
    assert lines[0].startswith("drawn digits: 100 training") and "python generate.py --label 7" in lines[-1]
    assert len(lines) == 10


def test_an_import_that_fails_leaves_the_users_setting_and_the_garbage_collector_as_they_were(monkeypatch):
    @contextlib.contextmanager
    def broken():
        assert not gc.isenabled()
        raise ImportError("no TensorFlow here")
        yield

    monkeypatch.setattr(startup, "quiet", broken)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    with pytest.raises(ImportError):
        startup.import_tensorflow()
    assert gc.isenabled() and os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"


def test_without_a_folder_for_temporary_files_tensorflow_is_imported_all_the_same(monkeypatch, capfd):
    def nowhere() -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(startup.tempfile, "TemporaryFile", nowhere)
    with startup.quiet():
        print("heard", file=sys.stderr)
    assert capfd.readouterr().err == "heard\n"


def test_another_programs_keras_settings_do_not_matter(tmp_path):
    (tmp_path / "keras.json").write_text(
        '{"floatx": "float16", "backend": "jax", "image_data_format": "channels_first"}'
    )
    code = "from engine import startup; k = startup.import_tensorflow(); import model; print(k.backend.backend(), "
    code += "k.config.floatx(), k.config.image_data_format(), model.CVAE().dense.kernel.dtype)"
    environment = os.environ | {"KERAS_BACKEND": "torch", "KERAS_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    said, values = done.stdout.splitlines()
    assert "KERAS_BACKEND=torch is not used" in said and values == "tensorflow float32 channels_last float32", done


@pytest.mark.skipif(os.name != "posix", reason="needs a shell that closes descriptors")
def test_closed_descriptors_are_no_traceback(tmp_path):
    words = f'"{sys.executable}" train.py --dataset drawn --channels 7 >&- 2>"{tmp_path}/err"'
    assert subprocess.run(words, shell=True, cwd=ROOT).returncode == 2
    assert is_one_line((tmp_path / "err").read_text())
    words = f'"{sys.executable}" generate.py --label x >"{tmp_path}/out" 2>&-'
    assert subprocess.run(words, shell=True, cwd=ROOT).returncode == 2
