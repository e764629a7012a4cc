"""evaluate.py as a command: who learns from what, what is written, the same numbers twice."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from helpers import call, is_one_line
from known_models import Bars, bars, config_of

import data
import evaluate
from engine import files
from engine.classifiers import networks
from engine.config import Config
from engine.runs import options
from engine.runs.trained_model import Trained


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's cache: an empty folder for every test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return files.user_cache()


def test_who_learns_from_what(monkeypatch, tmp_path, cache, capsys):
    """Training images and test images agree in half of the labels: who learnt from the first reads half of the second.

    Who learnt from test images reads all of them. There is no run in out/: evaluate.py takes the shipped one, and
    writes into out/.
    """
    monkeypatch.setattr(networks, "EPOCH", 4000)  # images an epoch, or the linear probe stops before it has learnt
    rng, loaded = np.random.default_rng(0), []

    def split(n: int, at: list[int]) -> data.Split:
        y = rng.permutation(np.arange(n) % 10)
        return data.Split(bars(np.array(at)[y]), y.astype(np.uint8))

    parts = [split(1000, [*range(5), 6, 7, 8, 9, 5]), split(300, [*range(5, 10), *range(5)]), split(400, [*range(10)])]

    def load(folder: Path, checkpoint: str | None) -> Trained:
        loaded.append(folder)
        return Trained(Bars(), config_of(Bars()), folder, 7)

    monkeypatch.setattr(evaluate.trained_model, "load", load)
    monkeypatch.setattr(data, "of_run", lambda config, data_dir: data.Dataset("idx", "bars", *parts, ""))
    monkeypatch.setattr(files, "OUT", tmp_path / "out")
    monkeypatch.setattr(options, "REFERENCE", tmp_path / "reference")
    monkeypatch.setattr(evaluate, "SIZES", {"default": evaluate.Size(10**9, 2, 2, 20, (10**9, 3), 10**9)})
    config_of(Bars()).write(tmp_path / "reference")
    assert evaluate.main([]) == 0
    assert loaded == [tmp_path / "reference"] and "using the shipped one" in capsys.readouterr().out
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())["evaluate"]
    half, every, none = (pytest.approx(share, abs=0.1) for share in (0.5, 1, 0))
    assert result["evaluation_classifier"]["accuracy"] == half
    assert result["samples_standard"]["accuracy"] == half
    assert [p["accuracy"] for p in result["samples_standard"]["per_label"].values()] == [every] * 5 + [none] * 5
    assert [result["latents"]["probe"][name]["accuracy"] for name in ("linear", "mlp")] == [half] * 2
    assert (result["run"], result["step"], result["config"]) == ("reference", 7, config_of(Bars()).digest)
    assert [path.name for path in (tmp_path / "reference").iterdir()] == ["config.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["evaluation", "metrics.json"]
    assert len(list((tmp_path / "out" / "evaluation").glob("*.png"))) == 2 and len(list(cache.iterdir())) == 1


def test_the_command_merges_and_repeats_itself(run, cache, capsys, monkeypatch):
    learn = networks.learn

    def only_the_classifier(net, x, y, epochs, seed, what, **more):
        return learn(net, x, y, epochs, seed, what, **more) if what == "evaluation classifier" else net

    monkeypatch.setattr(networks, "learn", only_the_classifier)  # the other networks only fill a table here
    monkeypatch.setitem(evaluate.SIZES, "quick", evaluate.Size(100, 3, 2, 20, (500, 1), 500))
    before = json.loads((run / "metrics.json").read_text())
    text = []
    for _ in range(2):
        assert evaluate.main(["--run", str(run), "--quick", "--seed", "3"]) == 0
        text.append((run / "metrics.json").read_text())
        (cached,) = cache.iterdir()
        os.truncate(cached, cached.stat().st_size // 2)  # the second time it is trained anew, to the same numbers
    assert text[0] == text[1]
    after = json.loads(text[0], parse_constant=pytest.fail)
    result = after.pop("evaluate")
    assert after == before and "test" in after
    assert (result["mode"], result["seed"], result["step"], result["dataset"]) == ("quick", 3, 60, "drawn")
    assert result["config"] == Config.read(run).digest
    grey = {key: result["likelihood"]["standard"][key]["mean"] for key in ("negative_elbo", "nll", "kl")}
    assert grey["negative_elbo"] == pytest.approx(grey["nll"] + grey["kl"], abs=1e-4)
    assert grey["negative_elbo"] == pytest.approx(before["test"]["negative_elbo"], rel=0.1)
    sheets = {path.stem for path in (run / "evaluation").glob("*.png")}
    assert sheets == {"reconstructions", "swap"}
    out, err = capsys.readouterr()
    assert not err and max(len(line) for line in out.splitlines() if str(run) not in line) <= 100


def test_a_run_on_other_data_is_refused(run: Path):
    content = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(content | {"fingerprint": "0" * 64}))
    other = call("evaluate", "--run", run)
    assert other.status == 1 and is_one_line(other.err) and "trained on other data" in other.err
