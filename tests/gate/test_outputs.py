import json
from collections.abc import Callable
from pathlib import Path

import pytest
from junitparser import JUnitXml

from edgespiral.core.errors import RunFolderError, UsageError
from edgespiral.core.records.measurement import Verdict
from edgespiral.gate.outputs import FORMATS, github, parse_reports, write_reports
from edgespiral.gate.records import BenchResult
from edgespiral.gate.run import Gate
from edgespiral.gate.suite import load_suite
from edgespiral.measure.profile import TargetProfile

Make = Callable[..., Path]


@pytest.fixture
def result(chain: Make, suite_file: Make, profile: TargetProfile) -> BenchResult:
    """A suite of one model that is above its budget."""
    chain("a.onnx")
    path = suite_file('path = "a.onnx"\nbudget_ms = 1e-6')
    return Gate(load_suite(path), path, profile).run()


def test_every_format_is_written_to_its_path(tmp_path: Path, result: BenchResult) -> None:
    given = [f"{kind}={tmp_path}/deep/{kind}" for kind in FORMATS]
    write_reports(parse_reports(given), result, "ci/suite.toml")
    written = {kind: (tmp_path / "deep" / kind).read_text() for kind in FORMATS}
    assert JUnitXml.fromstring(written["junit"].encode()).failures == 1
    assert json.loads(written["code-quality"])[0]["location"]["path"] == "ci/suite.toml"
    assert "missed" in written["markdown"]
    assert 'edgespiral_p50_ms{suite="suite",model="a"}' in written["metrics"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["junt=a.xml"], "unknown report format 'junt'; did you mean junit"),
        (["a.xml"], "unknown report format 'a.xml'"),
        (["junit="], "--report: no path in 'junit='"),
        (["junit=a", "markdown=a"], "a is asked for twice"),
    ],
)
def test_a_report_that_cannot_be_is_told(given: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_reports(given)


def test_github_s_summary_is_added_to(tmp_path: Path, result: BenchResult) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# Before\n")
    told = github(result, "ci/suite.toml", {"GITHUB_STEP_SUMMARY": str(summary)})
    assert result.verdict is Verdict.MISSED
    assert told.startswith("::error file=ci/suite.toml,title=a%3A missed::")
    assert summary.read_text().startswith("# Before\n<!-- edgespiral bench -->")


def test_without_a_summary_there_are_annotations_alone(result: BenchResult) -> None:
    assert github(result, "s.toml", {}).count("\n") == 1


def test_a_summary_that_cannot_be_written_is_told(tmp_path: Path, result: BenchResult) -> None:
    with pytest.raises(RunFolderError, match="GITHUB_STEP_SUMMARY"):
        github(result, "s.toml", {"GITHUB_STEP_SUMMARY": str(tmp_path)})
