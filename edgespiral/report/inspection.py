"""An inspection as a table for the terminal and as one HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from edgespiral.core.errors import first_few
from edgespiral.core.text import printable
from edgespiral.report.drawing.network import Shares, drawn, network_figures
from edgespiral.report.html import template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from edgespiral.core.records.inspection import EngineFacts, Inspection

MOST_ROWS = 40


def print_inspection(inspection: Inspection, console: Console) -> None:
    """Show what can be cut, what stays and why."""
    for line in summary(inspection):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    groups = Table("group", "channels", "step", "read by", title="groups", title_justify="left")
    for group in inspection.groups[:MOST_ROWS]:
        groups.add_row(group.name, str(group.channels), str(group.step), first_few(group.read_by))
    console.print(groups)
    staying = Table("layer", "channels", "they", title="what stays", title_justify="left")
    for facts in inspection.kept[:MOST_ROWS]:
        staying.add_row(facts.layer, str(facts.channels), facts.reason)
    console.print(staying)
    hidden = max(len(inspection.groups) - MOST_ROWS, 0) + max(len(inspection.kept) - MOST_ROWS, 0)
    if hidden:
        console.print(f"{hidden} more rows: --html FILE has them all", highlight=False)


def summary(inspection: Inspection) -> list[str]:
    """The lines above the tables."""
    channels = _share(inspection.cuttable_channels, inspection.channels)
    parameters = _share(inspection.cuttable_parameters, inspection.parameters)
    precisions = ", ".join(f"{count:,} {kind}" for kind, count in inspection.precisions.items())
    without = inspection.batch_norms_without_statistics
    note = f", {len(without)} without statistics ({first_few(without)})" if without else ""
    return [
        f"{inspection.model}, input {inspection.input}",
        f"can be cut: {channels} of the channels, {parameters} of the parameters",
        f"groups: {len(inspection.groups)}, branches that can go: {len(inspection.branches)}",
        *(f"engine {engine.name}: {verdict(engine)}" for engine in inspection.engines),
        f"compress takes: {first_able(inspection.engines)}",
        f"batch norms: {inspection.batch_norms}{note}",
        f"parameters: {precisions}",
        *(f"stays: {reason}" for reason in inspection.main_reasons),
    ]


def verdict(engine: EngineFacts) -> str:
    """Whether an engine can cut the model."""
    return "yes" if engine.problem is None else f"no, as {engine.problem}"


def first_able(engines: Sequence[EngineFacts]) -> str:
    """Which engine a run begins with, where its plan names none."""
    able = (engine.name for engine in engines if engine.problem is None)
    return next(able, "none, as no engine cuts this model rightly")


def inspection_html(inspection: Inspection) -> str:
    """The page that `--html` writes."""
    cuttable = {printable(layer.name): layer.cuttable_channels for layer in inspection.layers}
    shares = Shares(cuttable, "{1} of {0}", ("channels", "can be cut"))
    told = f"{inspection.cuttable_channels} of {inspection.channels} channels can be cut."
    texts = ("The network, and what can be cut of it", told)
    network = inspection.network
    return template("inspection.html.j2").render(
        inspection=inspection,
        summary=summary(inspection)[1:],
        chart=drawn("network", texts, network, shares) if network else None,
        network_figures=network_figures(network, shares),
    )


def _share(part: int, whole: int) -> str:
    return f"{part / max(whole, 1):.0%}"
