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
        found = measure_staircase(session, progress.print)
    _keep_table(found, profile)
    console = Terminal()
    console.print(_table(found, profile.name))
    console.print(_told(found), soft_wrap=True)
    before, path = profile.device.channel_multiple, keep_channel_multiple(name, found.multiple)
    said = f"channel_multiple = {found.multiple} (was {before}) is in {path}"
    console.print(said, soft_wrap=True)


def _told(found: Staircase) -> str:
    agreed = f"{found.agreement:.0%} of resampled rounds agree"
    if found.multiple == 1:
        return f"no steps: every channel counts ({agreed})"
    return f"steps of {found.multiple} channels: widths in between save little ({agreed})"


def _keep_table(found: Staircase, profile: TargetProfile) -> None:
    from edgespiral.measure.latency_cache import LatencyCache, Step, cache_folder

    first, *_ = found.measured.values()
    steps = [
        Step(channels=width, latency_ms=one.stats.p50_ms) for width, one in found.measured.items()
    ]
    LatencyCache.of(cache_folder(), profile, first.fingerprint).add(staircase=steps)


def _table(found: Staircase, target: str) -> Table:
    from rich.bar import Bar
    from rich.table import Table

    from edgespiral.report.formats import ms

    title = f"3x3 convolutions on {found.size}x{found.size} positions, {target}"
    table = Table(title=title, box=None, pad_edge=False)
    for column in ("channels", "p50 ms", ""):
        table.add_column(column, justify="left" if column == "" else "right")
    longest = max(one.stats.p50_ms for one in found.measured.values())
    for width, one in found.measured.items():
        bar = Bar(longest, 0, one.stats.p50_ms, width=BAR_COLUMNS)
        style = "bold" if found.multiple > 1 and width % found.multiple == 0 else ""
        table.add_row(str(width), ms(one.stats.p50_ms), bar, style=style)
    return table
