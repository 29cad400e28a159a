"""`edgespiral targets profile`: in which steps of channels a device works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgespiral.cli.terminal import Terminal

if TYPE_CHECKING:
    from rich.table import Table

    from edgespiral.measure.profile import TargetProfile
    from edgespiral.measure.targets.staircase import Staircase

BAR_COLUMNS = 40


def profile_target(
    name: Annotated[str, typer.Argument(help="A target's name or file.")],
) -> None:
    """Measure a target's latency by width, and keep the step of its stairs for planning."""

    from edgespiral.measure.profile import load_profile
    from edgespiral.measure.profile_file import keep_channel_multiple
    from edgespiral.measure.session import Session
    from edgespiral.measure.targets.staircase import measure_staircase
    from edgespiral.spiral.student.precisions import measuring

    # Its nets are float ones, as candidates are before they are rounded.
    profile, progress = measuring(load_profile(name)), Terminal(stderr=True)
    with Session(profile) as session:
        staircase = measure_staircase(session, progress.print)
    _keep_table(staircase, profile)
    console = Terminal()
    console.print(_table(staircase, profile.name))
    console.print(_staircase_line(staircase), soft_wrap=True)
    before, path = profile.device.channel_multiple, keep_channel_multiple(name, staircase.multiple)
    message = f"channel_multiple = {staircase.multiple} (was {before}) is in {path}"
    console.print(message, soft_wrap=True)


def _staircase_line(staircase: Staircase) -> str:
    agreed = f"{staircase.agreement:.0%} of resampled rounds agree"
    if staircase.multiple == 1:
        return f"no steps: every channel counts ({agreed})"
    return f"steps of {staircase.multiple} channels: widths in between save little ({agreed})"


def _keep_table(staircase: Staircase, profile: TargetProfile) -> None:
    from edgespiral.measure.latency_cache import LatencyCache, Step, cache_folder

    first, *_ = staircase.measured.values()
    steps = [
        Step(channels=width, latency_ms=measurement.stats.p50_ms)
        for width, measurement in staircase.measured.items()
    ]
    LatencyCache.of(cache_folder(), profile, first.fingerprint).add(staircase=steps)


def _table(staircase: Staircase, target: str) -> Table:
    from rich.bar import Bar
    from rich.table import Table

    from edgespiral.report.formats import ms

    title = f"3x3 convolutions on {staircase.size}x{staircase.size} positions, {target}"
    table = Table(title=title, box=None, pad_edge=False)
    for column in ("channels", "p50 ms", ""):
        table.add_column(column, justify="left" if column == "" else "right")
    longest = max(measurement.stats.p50_ms for measurement in staircase.measured.values())
    for width, measurement in staircase.measured.items():
        bar = Bar(longest, 0, measurement.stats.p50_ms, width=BAR_COLUMNS)
        style = "bold" if staircase.multiple > 1 and width % staircase.multiple == 0 else ""
        table.add_row(str(width), ms(measurement.stats.p50_ms), bar, style=style)
    return table
