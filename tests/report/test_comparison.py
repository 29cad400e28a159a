"""Several runs side by side."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import Event, RunStarted
from edgespiral.core.records.metric import Metric
from edgespiral.report.comparison import compared, comparison_html, differences, print_comparison

Change = Callable[..., list[Event]]


@pytest.fixture
def changed(met: list[Event]) -> Change:
    """The run of `met` with another start."""

    def change(plan: dict[str, object] | None = None, **fields: Any) -> list[Event]:
        start = met[0]
        assert isinstance(start, RunStarted)
        fields["plan"] = {**start.plan, **(plan or {})}
        return [start.model_copy(update=fields), *met[1:]]

    return change


def table(runs: dict[str, list[Event]]) -> str:
    stream = io.StringIO()
    print_comparison(Console(file=stream, width=200), compared(runs))
    return stream.getvalue()


def test_each_run_has_a_row_with_its_figures(met: list[Event], unfinished: list[Event]) -> None:
    first, second = compared({"first": met, "second": unfinished})
    assert first.split == "test"
    assert second.split == "validation"
    assert first.score != second.score
    shown = table({"first": met, "second": unfinished})
    rows = {line.split()[0]: line for line in shown.splitlines() if line}
    assert "budget met" in rows["first"]
    assert "not finished" in rows["second"]
    assert "mind: scores of runs that are not finished are of the validation split" in shown


def test_a_run_that_has_only_begun_has_a_row(met: list[Event]) -> None:
    [only] = compared({"new": met[:1]})
    assert only.cells[3:5] == ["\N{EM DASH}", "\N{EM DASH}"]
    assert only.cells[-1] == "not finished"
    assert "<svg" not in comparison_html([only])


def test_what_cannot_be_compared_is_said(met: list[Event], changed: Change) -> None:
    assert differences(compared({"a": met, "b": met})) == []
    others = {
        "a": met,
        "b": changed({"data": "elsewhere"}),
        "c": changed({"target": "a-phone"}, teacher_sha256="f" * 64),
    }
    assert differences(compared(others)) == [
        "scores are not of the same thing: runs differ in data",
        "latencies are not of the same thing: runs differ in target",
        "runs began with different teachers",
    ]


def test_the_page_has_a_point_a_run_and_nothing_of_others(
    met: list[Event], changed: Change
) -> None:
    odd = changed(command="edgespiral compress '<b>'")
    page = comparison_html(compared({"<i>one</i>": met, "two": odd}))
    assert page.count("<circle") == 2
    assert "<i>one" not in page
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert page.count("<script>") == page.count("<script") == 1
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == []
    # Each table says what its rows and columns are, and what scrolls can be reached by keyboard.
    assert page.count('<th scope="row">') == 2
    assert 'tabindex="0" role="group"' in page


def test_runs_of_different_metrics_have_no_chart(met: list[Event], changed: Change) -> None:
    error = Metric(name="RMSE", unit="m", higher_is_better=False)
    page = comparison_html(compared({"a": met, "b": changed(metric=error)}))
    assert "<svg" not in page
    assert "RMSE" in page


def test_a_journal_without_a_run_is_told() -> None:
    with pytest.raises(RunFolderError):
        compared({"empty": []})
