"""The repository's structure: sizes, who imports whom, what stands at the top level. Read from the syntax trees."""

import ast
import functools
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = ("train", "generate", "evaluate")
BUDGETS = {"train.py": 200, "model.py": 200, "generate.py": 200, "evaluate.py": 250, "README.md": 200}
LONGEST = 250  # lines of a file in engine/ or data/, Python or JavaScript
TOP = {"README.md", "requirements.txt", "train.py", "model.py", "generate.py", "evaluate.py"}
TOP |= {"data", "engine", "out", "tests"}
FOLDERS = ("runs", "training", "latent", "drawing", "classifiers", "evaluation", "export")  # each uses earlier ones
FOR_DATA = "terminal startup files config dataset idx photo_constants".split()
FOR_DATA = {f"engine.{name}" for name in FOR_DATA}


def modules() -> dict[str, Path]:
    """Every module of the product, by its dotted name."""
    paths = [ROOT / name for name in TOP if name.endswith(".py")]  # not whatever script lies beside them
    paths += [*ROOT.glob("engine/**/*.py"), *ROOT.glob("data/**/*.py")]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


MODULES = modules()


@functools.cache
def imports(name: str, until: str = "\0") -> set[str]:
    """The modules that a module imports, ours and others', wherever in it before the line `until`."""
    names = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text().split(f"\n{until}\n")[0])):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: relative imports hide where things are"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (inside & MODULES.keys()) or {node.module}
    return names


def reach(name: str) -> set[str]:
    """All our modules that the imports of a module lead to."""
    seen, todo = set(), imports(name) & MODULES.keys()
    while todo:
        seen |= todo
        todo = set().union(*(imports(other) & MODULES.keys() for other in todo)) - seen
    return seen


def tracked(*patterns: str) -> list[str]:
    """The repository's own files; a virtual environment or notes beside them do not count."""
    done = subprocess.run(["git", "ls-files", *patterns], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        pytest.skip("not a git checkout")
    return done.stdout.splitlines()


def test_no_file_is_longer_than_its_budget():
    paths = [path.relative_to(ROOT).as_posix() for path in MODULES.values()]
    paths += ["README.md", *tracked("engine/*.js")]
    sizes = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in paths}
    over = {path: size for path, size in sizes.items() if size > BUDGETS.get(path, LONGEST)}
    assert not over and len(sizes) > 50


def test_the_top_level_is_what_the_design_says():
    names = {path.split("/")[0] for path in tracked()}
    assert {name for name in names if not name.startswith(".")} - {"LICENSE"} == TOP


def level(name: str) -> int:
    """How many folders of engine/ a module may use; −1 of one that stands in engine/ itself."""
    parts = name.split(".")
    return FOLDERS.index(parts[1]) if len(parts) > 2 or parts[-1] in FOLDERS else -1


def test_imports_go_one_way():
    for name in MODULES:
        package, used = name.split(".")[0], imports(name) & MODULES.keys()
        assert not used & set(SCRIPTS), f"{name} imports a script"
        assert name != "model" or not used
        outside = {other for other in used if other.split(".")[0] != package}
        if package == "engine":
            assert outside <= {"model"}, f"{name} imports {outside}"
            later = {other for other in used - outside if level(other) > level(name)}
            assert not later, f"{name} imports {later}, which stand later in FOLDERS"
        if package == "data":
            assert outside <= FOR_DATA, f"{name} imports {outside - FOR_DATA}"


def test_no_module_needs_itself():
    assert not [name for name in MODULES if name in reach(name)]


@pytest.mark.parametrize("script", SCRIPTS)
def test_arguments_are_parsed_before_tensorflow_is_imported(script: str):
    """And nothing that is imported before imports it."""
    text, heavy = MODULES[script].read_text(), "startup.import_tensorflow()"
    assert "check_early(parse)" in text.split(f"\n{heavy}\n")[0] and text.count(heavy) == 1
    early = imports(script, heavy)
    for name in early.union(*map(reach, early & MODULES.keys())) - {"engine.startup"}:
        assert not {"tensorflow", "keras"} & (imports(name) if name in MODULES else {name}), name


def test_imports_stand_at_the_top_and_nothing_is_squeezed():
    """The one function that imports is the one that does it quietly."""
    for name, path in MODULES.items():
        assert "fmt: skip" not in path.read_text() and "fmt: off" not in path.read_text(), name
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name != "import_tensorflow":
                inner = [part for part in ast.walk(node) if isinstance(part, (ast.Import, ast.ImportFrom))]
                assert not inner, f"{name}: {node.name} imports"
            if isinstance(node, (ast.If, ast.While)):
                walrus = [inner for inner in ast.walk(node.test) if isinstance(inner, ast.NamedExpr)]
                assert not walrus, f"{name}, line {node.lineno}: a walrus in a condition"
