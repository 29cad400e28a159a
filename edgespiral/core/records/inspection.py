"""What `edgespiral inspect` finds out about a model, as its reports read it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from edgespiral.core.records.schema import Printable, Record


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


class NetworkNode(Record):
    """An input, a layer with channels, or a place where values of several of these meet.

    `layer` is the module's name, empty where there is none, and `channels` are those that it
    writes. A module that is called twice is two nodes. `inputs` names the nodes that are read.
    """

    name: Printable
    layer: Printable = ""
    operator: Printable
    channels: int | None = Field(default=None, ge=1)
    inputs: tuple[str, ...] = ()

    @property
    def shown_name(self) -> str:
        """What a person calls it."""
        return self.layer or self.operator


def in_order(network: tuple[NetworkNode, ...]) -> tuple[NetworkNode, ...]:
    """`network`, if each of its nodes reads only such as come before it.

    Raises:
        ValueError: a node reads another one, or two have one name.
    """
    names: set[str] = set()
    for node in network:
        unknown = [name for name in node.inputs if name not in names]
        if unknown:
            raise ValueError(f"{node.name} reads {unknown[0]}, which does not come before it")
        if node.name in names:
            raise ValueError(f"there are two nodes {node.name}")
        names.add(node.name)
    return network


def channels_of(network: tuple[NetworkNode, ...]) -> dict[str, int]:
    """The channels that each layer writes, by module."""
    return {node.layer: node.channels for node in network if node.channels is not None}


Network = Annotated[tuple[NetworkNode, ...], AfterValidator(in_order)]


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
    network: Network = ()
    groups: tuple[GroupFacts, ...]
    branches: tuple[BranchFacts, ...]
    kept: tuple[KeptFacts, ...]
    main_reasons: tuple[str, ...]
    engines: tuple[EngineFacts, ...]
    batch_norms: int
    batch_norms_without_statistics: tuple[str, ...]
    precisions: dict[str, int]
