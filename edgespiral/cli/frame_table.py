"""The table of a whole frame: what each stage of a pipeline takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from edgespiral.core.records.measurement import LatencyStats, Measurement
    from edgespiral.core.stages.latencies import StageLatency, Stages


def frame_table(stages: Stages, network: Measurement) -> Table:
    """What a frame takes on a device, stage by stage, and as a whole."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"a frame on {stages.target}, ms", box=None, pad_edge=False)
    table.add_column("stage")
    for name in ("p50", "95 % interval"):
        table.add_column(name, justify="right")
    table.add_column("what", overflow="fold")
    before = [stage for stage in stages.each if stage.stage != "postprocess"]
    after = [stage for stage in stages.each if stage.stage == "postprocess"]
    runtime = f"{network.fingerprint.runtime} {network.fingerprint.runtime_version}"
    for stage in before:
        table.add_row(*_stage_cells(stage))
    table.add_row("network", *_figures(network.stats), Text(f"the model ({runtime})"))
    for stage in after:
        table.add_row(*_stage_cells(stage))
    whole = stages.with_network(network.rounds_ms)
    words = "of what is not known, no sum" if whole is None else stages.frame
    table.add_row("whole", *_figures(whole), Text(words), style="bold")
    return table


def _stage_cells(stage: StageLatency) -> list[str | Text]:
    from rich.text import Text

    is_known = stage.refused is None
    words = f"{stage.what} ({stage.by})" if is_known else f"not measured: {stage.refused}"
    return [stage.stage, *_figures(stage.stats), Text(words, style="" if is_known else "yellow")]


def _figures(stats: LatencyStats | None) -> list[str | Text]:
    from edgespiral.report.formats import ms

    if stats is None:
        return ["", ""]
    low, high = (f"{bound:.4g}" for bound in (stats.p50_ci95_ms.low, stats.p50_ci95_ms.high))
    return [ms(stats.p50_ms), f"{low}\N{EN DASH}{high}"]
