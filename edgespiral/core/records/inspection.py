"""What `edgespiral inspect` finds out about a model, as its reports read it."""

from __future__ import annotations

from edgespiral.core.records.schema import Record


class GroupFacts(Record):
    """A group of coupled channels. Widths go in steps of `step` channels."""

    name: str
    channels: int
    step: int
    made_by: tuple[str, ...]
    read_by: tuple[str, ...]


class LayerFacts(Record):
    """A layer with weights: its output channels, and those that a cut can take."""

    name: str
    channels: int
    cuttable_channels: int


class BranchFacts(Record):
    """A branch that can be dropped, with the groups inside it."""

    name: str
    groups: tuple[str, ...]
    layers: int


class KeptFacts(Record):
    """A layer of which some output channels cannot leave, and why."""

    layer: str
    channels: int
    reason: str


class EngineFacts(Record):
    """Whether an engine cuts a quarter of every group rightly; if not, why."""

    name: str
    problem: str | None


class Inspection(Record):
    """All of it. Channels are outputs of weighted layers, parameters are numbers."""

    model: str
    input: str
    channels: int
    cuttable_channels: int
    parameters: int
    cuttable_parameters: int
    layers: tuple[LayerFacts, ...] = ()
    groups: tuple[GroupFacts, ...]
    branches: tuple[BranchFacts, ...]
    kept: tuple[KeptFacts, ...]
    main_reasons: tuple[str, ...]
    engines: tuple[EngineFacts, ...]
    batch_norms: int
    batch_norms_without_statistics: tuple[str, ...]
    precisions: dict[str, int]
