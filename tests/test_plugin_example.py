"""The package of `examples/plugin`, installed beside EdgeSpiral and used by the real command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgespiral.measure.runtimes import RUNTIMES
from edgespiral.measure.transports import TRANSPORTS

EXAMPLE = Path(__file__).parents[1] / "examples" / "plugin"
KINDS = {
    "task": "direction",
    "criterion": "spread",
    "data set": "stripes",
    "runtime": "unfused",
    "transport": "nice",
    "pruner": "in-place",
}
NET = """
from torch import nn


def net():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4),
    )
"""
TARGET = """
schema = 1
name = "plain"
[runtime]
kind = "unfused"
[transport]
kind = "nice"
niceness = 1
[measure]
rounds = 5
round_ms = 2
warmup_ms = 5
min_samples = 10
"""


class Place:
    """A folder to work in, and what is installed for it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.packages = folder / "work", folder / "packages"
        self.folder.mkdir()
        self.packages.mkdir()

    def install(self, wheel: Path) -> None:
        """What an installer does with a wheel of pure Python, where nothing need be downloaded."""
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.packages)

    def edgespiral(self, *words: str) -> subprocess.CompletedProcess[str]:
        plain = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-m", "edgespiral", *words],
            cwd=self.folder,
            env={**os.environ, **plain, "PYTHONPATH": str(self.packages)},
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the example, made by the hook that every installer calls."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(
        EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info")
    )
    code = f"from setuptools import build_meta as b; b.build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=folder / "source", check=True)
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture
def place(tmp_path: Path, wheel: Path) -> Place:
    place = Place(tmp_path)
    place.install(wheel)
    (place.folder / "net.py").write_text(NET)
    (place.folder / "plain.toml").write_text(TARGET)
    return place


def test_its_plug_ins_are_listed_with_what_brings_them(place: Place) -> None:
    done = place.edgespiral("plugins", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    own = [row for row in json.loads(done.stdout) if row["distribution"] == "edgespiral-example"]
    assert {row["kind"]: row["name"] for row in own} == KINDS
    assert all(row["summary"] for row in own)


def test_a_model_is_compressed_by_all_of_them(place: Place) -> None:
    trained = place.edgespiral(
        *("train", "net.py:net", "--data", "stripes:200", "--task", "direction"),
        *("--epochs", "2", "--out", "teacher"),
    )
    assert trained.returncode == 0, trained.stderr
    assert "mean angle" in trained.stdout
    done = place.edgespiral(
        *("compress", "net.py:net", "--weights", "teacher/weights.safetensors"),
        *("--data", "stripes:200", "--task", "direction", "--target", "plain.toml"),
        *("--criterion", "spread", "--allocation", "uniform"),
        *("--pruner", "in-place", "--speedup", "1.2", "--max-drop", "90", "--epochs", "1"),
        *("--turns", "1", "--out", "run"),
    )
    assert done.returncode in (0, 1), done.stderr  # whether the budget was met is the clock's word
    lines = (place.folder / "run" / "journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    [turn] = [event for event in events if event["kind"] == "turn-finished"]
    assert (turn["criterion"], turn["pruner"]) == ("spread", "in-place")
    assert events[0]["metric"] == {"name": "mean angle", "unit": "deg", "higher_is_better": False}
    assert 0 <= turn["student"]["validation_score"] <= 90
    [base] = [event for event in events if event["kind"] == "baseline"]
    assert base["devices"][0]["measurement"]["fingerprint"]["runtime"] == "unfused"
    assert "mean angle" in done.stdout


def test_what_they_refuse_is_one_line(place: Place) -> None:
    target = place.folder / "plain.toml"
    target.write_text(TARGET.replace("niceness = 1", "nicenes = 1"))
    done = place.edgespiral("targets", "show", "plain.toml")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: plain.toml:transport.nicenes: unknown key 'nicenes', did you mean niceness? "
        "(see docs/targets.md)"
    ]
    asked = ("--data", "stripes:2", "--out", "teacher")
    done = place.edgespiral("train", "net.py:net", *asked)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: --data stripes: must be a number of images from 40 up, is '2' "
        "(see docs/commands.md)"
    )


def test_without_it_its_names_are_unknown(place: Place) -> None:
    shutil.rmtree(place.packages)
    done = place.edgespiral("targets", "show", "plain.toml")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: plain.toml:runtime.kind: unknown kind 'unfused', known: "
        f"{', '.join(RUNTIMES.built_in())}; plain.toml:transport.kind: unknown kind 'nice', known: "
        f"{', '.join(TRANSPORTS.built_in())} (see docs/targets.md)"
    ]


def test_two_packages_with_one_name_are_refused_in_one_line(place: Place) -> None:
    twin = place.packages / "twin-1.0.dist-info"
    twin.mkdir()
    (twin / "METADATA").write_text("Metadata-Version: 2.1\nName: twin\nVersion: 1.0\n")
    (twin / "entry_points.txt").write_text("[edgespiral.runtimes]\nunfused = twin:PLUGIN\n")
    for words in (("plugins",), ("targets", "show", "plain.toml")):
        done = place.edgespiral(*words)
        assert done.returncode == 2
        [line] = done.stderr.splitlines()
        assert "two plug-ins are called 'unfused'" in line
    # It stands in the way of nothing that needs no runtime.
    assert place.edgespiral("--help").returncode == 0
