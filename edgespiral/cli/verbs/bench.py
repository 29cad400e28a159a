"""`edgespiral bench`: a latency gate for CI."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from edgespiral.cli.options import require_not_read
from edgespiral.cli.terminal import Terminal, command_line, tell, tell_commands, tell_json
from edgespiral.core.errors import GateCode, ModelError, UsageError
from edgespiral.core.system.temporary import work_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from edgespiral.gate.records import BenchResult, CaseResult
    from edgespiral.gate.reference import Find
    from edgespiral.gate.run import Gate

    # What measures a suite, in turns with former models if there are any.
    Measured = Callable[..., BenchResult]

CODES = {
    "met": GateCode.PASS,
    "measured": GateCode.PASS,
    "missed": GateCode.REGRESSION,
    "error": GateCode.ERROR,
    "undecided": GateCode.UNDECIDED,
}
EPILOG = "Exit codes: 0 met, 1 missed, 2 error, 3 undecided. See docs/bench.md."


class RunByDefault(TyperGroup):
    """A group whose first word may be left out where it is `run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (click's own)
        """Read `bench SUITE.toml` as `bench run SUITE.toml`."""
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["run", *args]
        return list(super().parse_args(ctx, args))


bench_app = typer.Typer(
    cls=RunByDefault,
    help="Judge a suite of models against budgets, and against what they were before. "
    "`bench SUITE.toml` is `bench run SUITE.toml`, whose --help has its options.",
    epilog=EPILOG,
)

Suite = Annotated[
    Path, typer.Argument(help="The suite's TOML file.", show_default="edgespiral-bench.toml")
]
DEFAULT_SUITE = Path("edgespiral-bench.toml")
Target = Annotated[
    str | None,
    typer.Option(help="The device: a target's name or file.", show_default="the suite's"),
]
Name = Annotated[str, typer.Argument(help="The baseline's name.")]
Store = Annotated[Path, typer.Option(help="The folder that baselines are kept in.")]
STORE = Path(".edgespiral") / "baselines"
Out = Annotated[Path | None, typer.Option(help="Write the result with all samples as JSON.")]
Reports = Annotated[
    list[str] | None,
    typer.Option(
        "--report",
        metavar="FORMAT=PATH",
        help="Write a report; formats: junit, markdown, code-quality, metrics. May be repeated.",
    ),
]
Github = Annotated[
    bool,
    typer.Option(
        "--github/--no-github",
        envvar="GITHUB_ACTIONS",
        help="Add to GitHub's step summary and print annotations.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result in place of the table.")]


@bench_app.command("run", epilog=EPILOG)
def run(
    suite: Suite = DEFAULT_SUITE,
    *,
    target: Target = None,
    against: Annotated[
        Path | None,
        typer.Option(help="A model, or a folder with the models' paths, to take turns with."),
    ] = None,
    against_ref: Annotated[
        str | None, typer.Option(help="A git ref whose model files to take turns with.")
    ] = None,
    out: Out = None,
    report: Reports = None,
    github: Github = False,
    json: AsJson = False,
) -> None:
    """Measure a suite; with --against or --against-ref, in turns with the former models."""
    from edgespiral.gate.reference import from_path, from_ref

    if against is not None and against_ref is not None:
        raise UsageError("give one of --against and --against-ref", where="--against-ref")
    outputs = _outputs(suite, out, report, github=github, json=json)
    bench = _bench(suite, target)
    outputs.require_apart(_read_by(bench, target))
    with work_folder() as folder:
        find: Find | None = None
        if against is not None:
            find = from_path(suite, bench.suite, against)
            outputs.require_apart((against if against.is_file() else None, *_former(bench, find)))
        elif against_ref is not None:
            find = from_ref(suite, against_ref, folder)
        result = _heard(bench, find, github=github)
    outputs.finish(result)


def _with_baseline(
    act: Callable[[Gate, Path, str, Measured], BenchResult],
) -> Callable[..., None]:
    """The command of what `act` does with a suite and the store and name of a baseline."""

    def command(
        name: Name,
        suite: Suite = DEFAULT_SUITE,
        *,
        target: Target = None,
        store: Store = STORE,
        out: Out = None,
        report: Reports = None,
        github: Github = False,
        json: AsJson = False,
    ) -> None:
        outputs = _outputs(suite, out, report, github=github, json=json)
        bench = _bench(suite, target)
        outputs.require_apart((*_read_by(bench, target), store / f"{name}.json"))
        outputs.finish(act(bench, store, name, partial(_heard, github=github)))

    command.__doc__ = act.__doc__
    return command


@bench_app.command("save", epilog=EPILOG)
@_with_baseline
def save(bench: Gate, store: Path, name: str, measured: Measured) -> BenchResult:
    """Measure a suite and keep the result as a baseline."""
    from edgespiral.gate.baseline import baseline_path, save_baseline

    baseline_path(store, name)
    result = measured(bench, None, for_baseline=True)
    tell(f"saved: {save_baseline(store, name, result)}", err=True)
    return result


@bench_app.command("compare", epilog=EPILOG)
@_with_baseline
def compare(bench: Gate, store: Path, name: str, measured: Measured) -> BenchResult:
    """Measure a suite and judge it against a stored baseline; --against is surer."""
    from edgespiral.gate.baseline import load_baseline
    from edgespiral.gate.reference import from_baseline

    return measured(bench, from_baseline(bench.suite, name, load_baseline(store, name)))


@bench_app.command("history")
def history(
    results: Annotated[
        list[Path], typer.Argument(help="Results of --out, baselines, or folders of them.")
    ],
    *,
    html: Annotated[Path | None, typer.Option(help="Write a page with a chart a model.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the trends as JSON.")] = False,
) -> None:
    """Show stored results over time, and where a model's latency changed its level."""

    from edgespiral.core.system.files import write_page
    from edgespiral.gate import history as trends
    from edgespiral.gate.report.history import render_history, render_history_table

    trend_history = trends.history(trends.read_results(results))
    if json:
        tell_json(trend_history.model_dump_json())
    else:
        Terminal().print(render_history_table(trend_history))
    if html is not None:
        write_page(html, render_history(trend_history))


def _bench(suite_path: Path, target: str | None) -> Gate:
    from edgespiral.gate.run import Gate
    from edgespiral.gate.suite import load_suite
    from edgespiral.measure.profile import load_profile

    suite = load_suite(suite_path)
    profile = load_profile(target or suite.target)
    return Gate(suite, suite_path, profile, command=command_line())


def _read_by(bench: Gate, target: str | None) -> list[str | Path]:
    """The target's file, and all files of a suite's models."""
    from edgespiral.gate.suite import model_file
    from edgespiral.measure.model_files import all_files

    models = [model_file(bench.path, case) for case in bench.suite.models]
    return [target or bench.suite.target, *(file for model in models for file in all_files(model))]


def _former(bench: Gate, find: Find) -> Iterator[Path]:
    """All files of the models that a suite's are compared with; what is wrong is told later."""
    from edgespiral.measure.model_files import all_files

    for case in bench.suite.models:
        with suppress(ModelError):
            counterpart = find(case)
            if counterpart is not None and counterpart.file is not None:
                yield from all_files(counterpart.file)


def _heard(
    bench: Gate, find: Find | None, *, github: bool, for_baseline: bool = False
) -> BenchResult:
    """Run a suite, telling on standard error what each model came to as it is done."""
    from dataclasses import replace

    console = Terminal(stderr=True, github=github)

    def heard(case: CaseResult) -> None:
        line = f"{case.name}: {case.verdict} ({case.seconds:.1f} s)"
        console.print(line, soft_wrap=True)

    return replace(bench, find_counterpart=find, for_baseline=for_baseline).run(heard)


@dataclass(frozen=True)
class _Outputs:
    """Where a result goes, and what the command ends with."""

    suite: Path
    out: Path | None
    reports: dict[Path, str]
    github: bool
    json: bool

    def require_apart(self, inputs: Iterable[str | Path | None]) -> None:
        """Refuse to write to what is read."""
        reads = list(inputs)
        for path, where in ((self.out, "--out"), *((path, "--report") for path in self.reports)):
            if path is not None:
                require_not_read(path, reads, where)

    def finish(self, result: BenchResult) -> None:
        from edgespiral.gate import outputs
        from edgespiral.gate.baseline import write_result
        from edgespiral.gate.git import place

        # Files first: what is printed may go to somebody who has stopped reading.
        if self.out is not None:
            write_result(self.out, result)
        suite = place(self.suite)
        outputs.write_reports(self.reports, result, suite)
        self._show(result)
        if self.github:
            # GitHub reads both streams; standard output may be somebody's JSON.
            tell_commands(outputs.github(result, suite, os.environ))
        raise typer.Exit(CODES[result.verdict])

    def _show(self, result: BenchResult) -> None:

        from edgespiral.gate.report.table import render_bench

        if self.json:
            tell_json(result.model_dump_json())
        else:
            Terminal(github=self.github).print(render_bench(result))


def _outputs(
    suite: Path, out: Path | None, report: list[str] | None, *, github: bool, json: bool
) -> _Outputs:
    from edgespiral.gate.outputs import parse_reports

    outputs = _Outputs(suite, out, parse_reports(report or ()), github=github, json=json)
    outputs.require_apart((suite,))
    return outputs
