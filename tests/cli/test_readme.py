"""The README's links into the code point at what they name, and what it shows is there."""

import re
from pathlib import Path

import pytest

from engine import files

ROOT = Path(__file__).resolve().parent.parent.parent
TEXTS = [ROOT / "README.md", ROOT / "tests" / "MEASUREMENTS.md"]


def test_links_point_at_the_definitions_they_name():
    links = re.findall(r"\[`([\w.]+)`\]\(([\w/]+\.py)#L(\d+)\)", TEXTS[0].read_text())
    assert len(links) >= 8
    for name, file, line in links:
        found = (ROOT / file).read_text().splitlines()[int(line) - 1]
        assert re.match(rf"\s*(def|class) {name.split('.')[-1]}\b", found), f"{file}:{line} is not {name}: {found}"


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_every_file_that_is_linked_or_shown_exists(text: Path):
    paths = re.findall(r"\]\(([\w/.-]+?)(?:#\w+)?\)", text.read_text())
    assert paths or text != TEXTS[0]
    for path in paths:
        assert (ROOT / path).exists() or (text.parent / path).exists(), path


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_every_flag_that_is_named_exists(text: Path):
    """Of this project's scripts, or argparse's or pytest's; a flag that went must go from the texts, too."""
    names = ["train.py", "generate.py", "evaluate.py", "engine/config.py"]
    names += [f"tests/tools/{name}.py" for name in ("benchmark", "make_pictures", "stress")]
    scripts = "".join((ROOT / name).read_text() for name in names)
    others = {"--help", "--dist", "--logdir", "--full"}  # of argparse, pytest, TensorBoard, a version before
    others |= {"--saved-model", "--signature_def", "--output"}  # of tf2onnx
    for flag in set(re.findall(r"(?<![\w-])--[a-z][\w-]+", text.read_text())) - others:
        assert f'"{flag}"' in scripts, flag


def test_the_lines_of_python_draw_with_the_shipped_run_where_there_is_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "OUT", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(re.search(r"```python\n(.*?)```", TEXTS[0].read_text(), re.DOTALL)[1], names)
    shapes = [names[name].shape for name in ("images", "mean", "sigma", "digits")]
    assert shapes == [(64, 28, 28, 1), (64, 20), (64, 20), (10, 28, 28, 1)]
