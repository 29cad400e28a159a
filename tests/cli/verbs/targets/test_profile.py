import json
from pathlib import Path

import pytest
from brief_target import BRIEF
from typer.testing import CliRunner

from edgespiral.cli.verbs.targets.group import targets_app
from edgespiral.core.errors import MeasurementError, UsageError
from edgespiral.measure.latency_cache import cache_folder
from edgespiral.measure.targets import staircase

TARGET = f"{BRIEF}[device]\nchannel_multiple = 3  # a guess\n"


@pytest.fixture(autouse=True)
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(staircase, "CHANNELS", (36, 40, 48, 52, 64, 96))
    monkeypatch.setattr(staircase, "LEAST_AGREEMENT", 0.0)
    path = tmp_path / "targets" / "brief.toml"
    path.parent.mkdir()
    path.write_text(TARGET)
    return path


def test_the_step_is_shown_kept_and_its_figures_too(target: Path) -> None:
    result = CliRunner().invoke(targets_app, ["profile", "brief"])
    assert result.exit_code == 0, result.output
    assert "3x3 convolutions on" in result.output
    assert "(was 3) is in targets/brief.toml" in result.output
    lines = target.read_text().splitlines()
    assert lines[:-1] == TARGET.splitlines()[:-1]
    assert lines[-1].startswith("channel_multiple = ")
    assert lines[-1].endswith("# a guess")
    [kept] = cache_folder().glob("*.json")
    assert [step["channels"] for step in json.loads(kept.read_text())["staircase"]] == [
        36, 40, 48, 52, 64, 96,
    ]  # fmt: skip


def test_nothing_is_written_where_nothing_was_found(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staircase, "LEAST_AGREEMENT", 2.0)
    error = CliRunner().invoke(targets_app, ["profile", "brief"]).exception
    assert isinstance(error, MeasurementError)
    assert target.read_text() == TARGET


def test_an_unknown_target_brings_the_nearest() -> None:
    error = CliRunner().invoke(targets_app, ["profile", "brif"]).exception
    assert isinstance(error, UsageError)
    assert "did you mean brief" in str(error)
