"""What a model takes beside time, its file, parameters, memory and energy, and what it may take."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import Field

from edgespiral.core.records.measurement import Verdict
from edgespiral.core.records.schema import Printable, Record

MIB = 2**20


class HasFootprint(Protocol):
    """Any record that says how large a model is."""

    @property
    def size_bytes(self) -> int:
        """Of `model.onnx`."""
        ...

    @property
    def parameter_count(self) -> int:
        """Of the PyTorch model."""
        ...


class Footprint(Record):
    """How large a model is: its `model.onnx`, and its parameters."""

    size_bytes: int = Field(ge=1)
    parameter_count: int = Field(ge=0)


class FootprintBudget(Record):
    """How large a model may be, in bytes of its `model.onnx` or in parameters.

    Example:
        >>> budget = FootprintBudget(kind="size", limit=1.5 * 2**20)
        >>> str(budget), budget.text(2**20)
        ('1.5 MiB', '1 MiB')
        >>> budget.share(Footprint(size_bytes=2**20, parameter_count=9))
        0.6666666666666666
    """

    kind: Literal["size", "parameters"]
    limit: float = Field(gt=0)

    def value(self, model: HasFootprint) -> int:
        """What `model` has of it."""
        return model.size_bytes if self.kind == "size" else model.parameter_count

    def share(self, model: HasFootprint) -> float:
        """What `model` has over what it may have; above 1 is too much."""
        return self.value(model) / self.limit

    def verdict(self, model: HasFootprint) -> Verdict:
        """Whether `model` is within it."""
        return Verdict.MET if self.share(model) <= 1 else Verdict.MISSED

    def text(self, value: float) -> str:
        """A size or a number of parameters as a person would say it."""
        return f"{value / MIB:.4g} MiB" if self.kind == "size" else f"{value:.0f} parameters"

    def __str__(self) -> str:
        """The budget as a person would say it."""
        return self.text(self.limit)


class PeakMemory(Record):
    """The most that the process had resident which ran a model alone, and what it may have, in MiB.

    The runtime and, where its agent is in Python, the interpreter are part of it.

    Example:
        >>> memory = PeakMemory(peak_mib=60.0, limit_mib=80.0)
        >>> memory.share, str(memory.verdict), str(memory)
        (0.75, 'met', '60 MiB of memory')
    """

    peak_mib: float = Field(gt=0)
    limit_mib: float = Field(gt=0)

    @property
    def share(self) -> float:
        """What it takes over what it may; above 1 is too much."""
        return self.peak_mib / self.limit_mib

    @property
    def verdict(self) -> Verdict:
        """Whether it is within the limit."""
        return Verdict.MET if self.share <= 1 else Verdict.MISSED

    def __str__(self) -> str:
        """The peak as a person would say it."""
        return memory_text(self.peak_mib)


class Energy(Record):
    """What an inference takes of energy, in mJ, beyond what the device takes when idle.

    `source` is the counter that told it. `limit_mj` is there where a plan limits it.

    Example:
        >>> energy = Energy(inference_mj=3.0, idle_watts=2.0, source="RAPL", limit_mj=4.0)
        >>> energy.share, str(energy.verdict), str(energy)
        (0.75, 'met', '3 mJ an inference')
    """

    inference_mj: float = Field(gt=0)
    idle_watts: float = Field(ge=0)
    source: Printable
    limit_mj: float | None = Field(default=None, gt=0)

    @property
    def share(self) -> float:
        """What it takes over what it may; above 1 is too much, and without a limit it is 0."""
        return self.inference_mj / self.limit_mj if self.limit_mj else 0.0

    @property
    def verdict(self) -> Verdict:
        """Whether it is within the limit."""
        return Verdict.MET if self.share <= 1 else Verdict.MISSED

    def __str__(self) -> str:
        """The energy as a person would say it."""
        return energy_text(self.inference_mj)


def energy_text(energy_mj: float) -> str:
    """Energy of an inference as a person would say it."""
    return f"{energy_mj:.4g} mJ an inference"


def memory_text(memory_mib: float) -> str:
    """Memory of a process as a person would say it."""
    return f"{memory_mib:.4g} MiB of memory"


def footprint_budgets(
    size_mib: float | None, parameters: float | None, teacher: HasFootprint
) -> tuple[FootprintBudget, ...]:
    """The budgets that a plan names.

    Args:
        size_mib: of `model.onnx`, in MiB.
        parameters: a count, or below 1 a share of the teacher's.
        teacher: of which the share is.
    """
    budgets = []
    if size_mib is not None:
        budgets.append(FootprintBudget(kind="size", limit=size_mib * MIB))
    if parameters is not None:
        share = parameters < 1
        limit = parameters * teacher.parameter_count if share else parameters
        budgets.append(FootprintBudget(kind="parameters", limit=limit))
    return tuple(budgets)
