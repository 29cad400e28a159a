"""Tables of latencies: of models side by side, and of a frame stage by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table
    from rich.text import Text

    from edgespiral.core.records.measurement import LatencyStats, Measurement, Verdict
    from edgespiral.core.stages.latencies import StageLatency, Stages

STYLES = {"met": "green", "missed": "red"}


def latency_table(
    models: Sequence[Path], measured: Sequence[Measurement], verdicts: Sequence[Verdict]
) -> Table:
    """What models take on a device, in the order in which they took turns.

    Args:
        models: as the user names them.
        measured: a measurement each; the others are compared with the first.
        verdicts: on a budget, one each; empty where there is none.
    """
    from rich.table import Table
    from rich.text import Text

    from edgespiral.core.statistics.stats import paired_ratio
    from edgespiral.report.formats import interval, ms

    table = Table(title=f"latency on {measured[0].target}, ms", box=None, pad_edge=False)
    table.add_column("model", overflow="fold")
    for name in ("p50", "95 % interval", "p90", "p99", "samples"):
        table.add_column(name, justify="right")
    rows: list[list[str | Text]] = []
    for model, measurement in zip(models, measured, strict=True):
        stats = measurement.stats
        tail = ["" if p is None else ms(p) for p in (stats.p90_ms, stats.p99_ms)]
        rows.append([Text(str(model)), *_figures(stats), *tail, str(stats.count)])
    if len(models) > 1:
        table.add_column("times as fast", justify="right")
        ratios = [paired_ratio(measured[0].rounds_ms, other.rounds_ms) for other in measured[1:]]
        cells = ["", *(f"{ratio.value:.3f} ({interval(ratio)})" for ratio in ratios)]
        rows = [[*row, cell] for row, cell in zip(rows, cells, strict=True)]
    if verdicts:
        table.add_column("budget")
        words = [Text(verdict.value, style=STYLES[verdict.value]) for verdict in verdicts]
        rows = [[*row, word] for row, word in zip(rows, words, strict=True)]
    for row in rows:
        table.add_row(*row)
    return table


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
