from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgespiral.cli.targets import targets_app
from edgespiral.core.errors import UsageError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_the_list_has_good_and_broken_targets(elsewhere: Path) -> None:
    (elsewhere / "targets").mkdir()
    (elsewhere / "targets" / "broken.toml").write_text("schema = 1\nname = [")
    result = CliRunner().invoke(targets_app, ["list"])
    assert result.exit_code == 0
    assert "host-cpu" in result.output
    assert "is not TOML" in result.output


def test_a_target_is_shown_with_its_defaults() -> None:
    result = CliRunner().invoke(targets_app, ["show", "host-cpu"])
    assert result.exit_code == 0
    shown = {line.split()[0]: line.split()[1:] for line in result.output.splitlines()}
    assert shown["name"] == ["host-cpu"]
    assert shown["runtime.kind"] == ["onnxruntime"]
    assert shown["measure.max_temp_c"] == []


def test_a_target_is_checked() -> None:
    result = CliRunner().invoke(targets_app, ["check", "host-cpu"])
    assert result.exit_code == 0
    assert "a model against itself" in result.output


@pytest.mark.parametrize("verb", ["show", "check"])
def test_an_unknown_target_brings_the_nearest(verb: str) -> None:
    error = CliRunner().invoke(targets_app, [verb, "host_cpu"]).exception
    assert isinstance(error, UsageError)
    assert "did you mean host-cpu" in str(error)
