"""A result in every format that someone else reads: files by format, and GitHub's own places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import RunFolderError, UsageError, unknown_name
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.gate.report.ci import render_annotations, render_code_quality, render_metrics
from edgespiral.gate.report.junit import render_junit
from edgespiral.gate.report.markdown import render_markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgespiral.gate.records import BenchResult

# Each takes the result and the suite's path within its repository.
FORMATS: dict[str, Callable[[BenchResult, str], str]] = {
    "junit": lambda result, _: render_junit(result),
    "markdown": lambda result, _: render_markdown(result),
    "metrics": lambda result, _: render_metrics(result),
    "code-quality": render_code_quality,
}
SUMMARY = "GITHUB_STEP_SUMMARY"


def parse_reports(texts: Sequence[str]) -> dict[Path, str]:
    """What `--report FORMAT=PATH` asks for: formats by path.

    Raises:
        UsageError: not of this form, an unknown format, or one path for two formats.
    """
    formats: dict[Path, str] = {}
    for text in texts:
        kind, _, name = text.partition("=")
        if kind not in FORMATS:
            raise unknown_name("report format", kind, FORMATS)
        if not name:
            raise UsageError(f"no path in {text!r}", where="--report", hint=f"{kind}=PATH")
        if Path(name) in formats:
            raise UsageError(f"{name} is asked for twice", where="--report")
        formats[Path(name)] = kind
    return formats


def write_reports(reports: Mapping[Path, str], result: BenchResult, suite: str) -> None:
    """Write each report, atomically, in folders that are made where missing.

    Args:
        reports: formats by path.
        result: the outcome.
        suite: the suite's path within its repository, which formats point at.

    Raises:
        RunFolderError: a file cannot be written.
    """
    for path, kind in reports.items():
        make_folder(path.parent)
        write_text(path, FORMATS[kind](result, suite))


def github(result: BenchResult, suite: str, environment: Mapping[str, str]) -> str:
    """Add to the step's summary, where GitHub names a file for it, and return the annotations.

    Raises:
        RunFolderError: the summary cannot be written.
    """
    summary = environment.get(SUMMARY)
    if summary:
        try:
            with Path(summary).open("a", encoding="utf-8") as stream:
                stream.write(render_markdown(result))
        except OSError as error:
            raise RunFolderError(
                f"cannot write: {error.strerror or error}", where=f"${SUMMARY}: {summary}"
            ) from error
    return render_annotations(result, suite)
