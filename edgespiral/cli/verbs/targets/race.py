"""`edgespiral targets race`: which of a device's runtimes is the fastest for a model."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from edgespiral.cli.options import Shape, parse_shape
from edgespiral.cli.terminal import Terminal, tell_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.measurement import Race, RaceRow
    from edgespiral.measure.profile import TargetProfile

Threads = Annotated[
    list[int] | None,
    typer.Option(min=1, help="With a race: threads to try; give it again for further numbers."),
]
Samples = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="With a race: a data set whose validation samples outputs are compared on.",
        show_default="made up",
    ),
]


def race_target(
    name: Annotated[str, typer.Argument(help="A target's name or file.")],
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="ONNX files or run folders.")
    ],
    *,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help="A runtime that takes part; give it again for others.", show_default="all"
        ),
    ] = None,
    threads: Threads = None,
    passes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes of each runtime that take turns, of five rounds each; fewer are done "
            "sooner, and intervals are wider.",
            show_default="5",
        ),
    ] = None,
    data: Samples = None,
    shape: Shape = None,
    html: Annotated[
        Path | None, typer.Option(help="Write pictures and tables as one HTML file.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print records with all samples instead of the table.")
    ] = False,
) -> None:
    """Race a target's runtimes, precisions and threads for a model, in turns."""
    from edgespiral.measure.profile import load_profile

    run_races(
        load_profile(name),
        models,
        runtime or ["all"],
        threads=threads or (),
        data=data,
        shape=shape,
        passes=passes,
        html=html,
        as_json=json,
    )


def run_races(
    profile: TargetProfile,
    models: Sequence[Path],
    runtimes: Sequence[str],
    *,
    threads: Sequence[int],
    data: str | None,
    shape: Sequence[str] | None,
    as_json: bool,
    passes: int | None = None,
    html: Path | None = None,
) -> None:
    """Race for each model, and print all that came of it, or write it to `html` too.

    Raises:
        EdgeSpiralError: no runtime runs a model, or what is asked for cannot be had.
    """
    from edgespiral.measure.model_files import find_model
    from edgespiral.measure.racing.entrants import entrants
    from edgespiral.measure.racing.race import PASSES
    from edgespiral.spiral.shipping.racing import made_up_inputs, raced

    files = [find_model(model) for model in models]
    shapes = dict(map(parse_shape, shape or ()))
    lanes = entrants(profile, runtimes, threads)
    drawn = None if data is None else _validation_inputs(data)
    races = [
        raced(
            file,
            lanes,
            made_up_inputs(file, shapes) if drawn is None else drawn,
            samples=f"validation samples of {data}" if data else "made-up samples",
            shapes=shapes,
            passes=passes or PASSES,
        )
        for file in files
    ]
    if html is not None:
        _write(html, races)
    if as_json:
        tell_json(jsonlib.dumps([race.model_dump(mode="json") for race in races]))
        return
    for race in races:
        show_race(Terminal(), race)


def _write(html: Path, races: Sequence[Race]) -> None:
    from edgespiral.core.system.files import write_page
    from edgespiral.report.html import races_html

    write_page(html, races_html(races))
    Terminal(stderr=True).print(f"report: {html}", soft_wrap=True)


def show_race(console: Terminal, race: Race) -> None:
    """Print the table of a race, why rows have no figure, and who won."""
    from edgespiral.report import formats

    console.print(_table(race))
    for row in race.rows:
        if row.refused is not None:
            reason = f"  {formats.runtime(row)}: {row.refused}"
            console.print(reason, soft_wrap=True, markup=False)
    last = f"{formats.race(race)}; outputs compared on {race.samples}"
    console.print(last, style="bold", soft_wrap=True)


def _validation_inputs(data: str) -> list[Tensors]:
    from edgespiral.data import load
    from edgespiral.export.precision import validation_samples
    from edgespiral.spiral.shipping.racing import RACE_SAMPLES

    return validation_samples(load(data), RACE_SAMPLES)


def _table(race: Race) -> Table:
    from rich.table import Table

    from edgespiral.report.formats import runtime

    table = Table(title=f"{race.model} on {race.target}, ms", box=None, pad_edge=False)
    table.add_column("runtime", overflow="fold")
    for column in ("p50", "95 % interval", "times as fast", "parity dB", "load", "MiB"):
        table.add_column(column, justify="right")
    for place, row in enumerate(race.rows):
        table.add_row(runtime(row), *_cells(row), style="bold" if place == race.winner else "")
    return table


def _cells(row: RaceRow) -> list[str]:
    from edgespiral.report.formats import ms

    if row.measurement is None:
        return ["no figure"]
    stats, memory_mib = row.measurement.stats, row.measurement.peak_memory_mib
    low, high = (f"{bound:.4g}" for bound in (stats.p50_ci95_ms.low, stats.p50_ci95_ms.high))
    return [
        ms(stats.p50_ms),
        f"{low}\N{EN DASH}{high}",
        "" if row.speedup is None else f"{row.speedup.value:.2f}",
        _parity(row),
        "" if row.measurement.load_ms is None else ms(row.measurement.load_ms),
        "" if memory_mib is None else f"{memory_mib:.0f}",
    ]


def _parity(row: RaceRow) -> str:
    from edgespiral.report.formats import sqnr

    if row.parity is None:
        return "not told"
    return sqnr(row.parity, digits=0)
