"""What a plan says of turns and their cuts."""

from __future__ import annotations

from typing import Literal

from edgespiral.core.records.schema import Record
from edgespiral.prune.engines import AUTO
from edgespiral.spiral.plan.field import CUTTING, DISTILLATION, plan_field
from edgespiral.spiral.plan.values import (
    CriterionName,
    Family,
    Positive,
    PrunerName,
    ShareOrPattern,
    Turns,
)


class CuttingFields(Record):
    """In how many turns, for how much training, and how channels are chosen and taken out."""

    turns: Turns = plan_field(
        "auto",
        "Turns of the spiral: a number, or `auto` (one for each factor of 4 in latency, or part).",
        pages="[allocation.md](allocation.md#turns-and-teachers)",
        group=CUTTING,
    )
    epochs: Positive = plan_field(
        4.0,
        "Passes over the training data in the whole run, shared by its turns.",
        group=DISTILLATION,
    )
    criterion: CriterionName = plan_field(
        "fisher",
        "What a channel is worth: {names}.",
        pages="[allocation.md](allocation.md)",
        group=CUTTING,
        names_of="edgespiral.prune.scoring.criteria:CRITERIA",
    )
    pruner: PrunerName = plan_field(
        AUTO,
        "What takes channels out: {names}; `auto` tries them in turn.",
        pages="[architectures.md](architectures.md)",
        group=CUTTING,
        names_of="edgespiral.prune.engines:PRUNING_ENGINES",
    )
    allocation: Literal["latency", "global", "uniform"] = plan_field(
        "latency",
        "How widths are chosen: `latency` (least lost within the measured latency), `global` (by "
        "score alone) or `uniform` (the same share everywhere).",
        pages="[allocation.md](allocation.md)",
        group=CUTTING,
    )
    sparsity: ShareOrPattern = plan_field(
        "none",
        "Zeros among the weights that are left: a share such as 0.8, `2:4`, or `none`.",
        pages="[sparsity.md](sparsity.md)",
        group=CUTTING,
    )
    family: Family = plan_field(
        (),
        "Smaller models of the same family, by name or `path/to/file.py:factory`, each with "
        "`=WEIGHTS` if it has some: the largest that is fast enough is trained too, and the better "
        "ships.",
        pages="[allocation.md](allocation.md#a-sibling-in-a-cuts-place)",
        shown="none",
        group=CUTTING,
    )
    vocabulary: Literal["whole", "data"] = plan_field(
        "whole",
        "Of models of text: `whole` keeps every token, `data` those alone that training and "
        "validation have.",
        pages="[text.md](tasks/text.md#padding-and-vocabularies)",
        group=CUTTING,
    )
