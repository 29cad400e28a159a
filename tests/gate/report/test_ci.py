import json
import re

from edgespiral.gate.records import BenchResult
from edgespiral.gate.report.ci import render_annotations, render_code_quality, render_metrics


def test_github_is_told_of_what_did_not_pass(mixed_bench: BenchResult) -> None:
    lines = render_annotations(mixed_bench, "ci/a,b.toml").splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::error"]
    assert lines[0].startswith("::error file=ci/a%2Cb.toml,title=slow%3A missed::median +6.0")
    # A percent sign stands for itself only when escaped.
    assert "+7.0) %25, limit" in lines[0]
    assert not re.search("%(?!25|2C|3A)", "".join(lines))


def test_line_breaks_stay_within_an_annotation(mixed_bench: BenchResult) -> None:
    failed = mixed_bench.cases[3].model_copy(update={"error": "one\ntwo\r::set-env::"})
    text = render_annotations(mixed_bench.model_copy(update={"cases": (failed,)}), "s.toml")
    assert text.count("\n") == 1
    assert "one%0Atwo%0D::set-env::" in text


def test_a_longer_tail_is_told_of_a_model_that_passed(
    good_bench: BenchResult, mixed_bench: BenchResult
) -> None:
    [case], tail = good_bench.cases, mixed_bench.cases[1].checks[1]
    longer = case.model_copy(update={"checks": (*case.checks, tail)})
    text = render_annotations(good_bench.model_copy(update={"cases": (longer,)}), "s.toml")
    assert text.startswith("::notice file=s.toml,title=same%3A met::")
    assert "p99 +35.0" in text
    assert render_annotations(good_bench, "s.toml") == ""


def test_gitlab_s_issues_have_what_its_format_asks_for(mixed_bench: BenchResult) -> None:
    issues = json.loads(render_code_quality(mixed_bench, "ci/suite.toml"))
    assert [issue["severity"] for issue in issues] == ["critical", "minor", "major"]
    assert {len(issue["fingerprint"]) for issue in issues} == {64}
    assert len({issue["fingerprint"] for issue in issues}) == 3
    assert issues[0]["location"] == {"path": "ci/suite.toml", "lines": {"begin": 1}}
    assert set(issues[0]) == {
        "description",
        "check_name",
        "fingerprint",
        "severity",
        "location",
    }


def test_nothing_to_tell_is_an_empty_list(good_bench: BenchResult) -> None:
    assert json.loads(render_code_quality(good_bench, "s.toml")) == []


def test_metrics_are_lines_of_openmetrics(mixed_bench: BenchResult) -> None:
    named = mixed_bench.cases[0].model_copy(update={"name": 'a "b" \\'})
    text = render_metrics(mixed_bench.model_copy(update={"cases": (named, *mixed_bench.cases)}))
    *lines, end = text.splitlines()
    assert end == "# EOF"
    pattern = re.compile(r'edgespiral_\w+\{suite="detectors",model="(?:[^"\\]|\\.)*"\} -?[\d.e-]+')
    assert [line for line in lines if not pattern.fullmatch(line)] == []
    assert 'edgespiral_median_change_percent{suite="detectors",model="slow"} 6' in lines
    assert 'edgespiral_p50_ms{suite="detectors",model="a \\"b\\" \\\\"} 1.05' in lines
    assert not any("broken" in line for line in lines)


def test_control_characters_are_written_out(mixed_bench):
    hostile = mixed_bench.cases[3].model_copy(update={"name": "a\x1b[2J\n::error::b\u202e"})
    result = mixed_bench.model_copy(update={"cases": (hostile,), "suite": "s\x9b\r"})
    texts = [
        render_annotations(result, "suite\x1b.toml"),
        render_metrics(result),
        json.loads(render_code_quality(result, "suite\x1b.toml"))[0]["description"],
    ]
    assert not {"\x1b", "\x9b", "\r", "\u202e"} & set("".join(texts))
    assert "\n::" not in texts[0]
    assert "\n" not in texts[2]
