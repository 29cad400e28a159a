"""What a model takes on several devices beside time, held against what it may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgespiral.core.records.footprint import Energy, PeakMemory
from edgespiral.measure.beside.energy import energy_of
from edgespiral.measure.beside.limits import limit_on
from edgespiral.measure.beside.memory import peak_memory_mib

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.core.records.measurement import Verdict
    from edgespiral.measure.beside.limits import Limit
    from edgespiral.measure.fleet import Fleet
    from edgespiral.measure.session import Session


class HasLimits(Protocol):
    """What says how much memory and energy a model may take on targets, by their names."""

    @property
    def targets(self) -> tuple[str, ...]:
        """In the order of the fleet's devices."""

    @property
    def memory_mib(self) -> Limit:
        """Of the process that runs it."""

    @property
    def energy_mj(self) -> Limit:
        """Of an inference."""


@dataclass(frozen=True)
class Consumption:
    """What a model takes on a device beside time, of that which has a limit."""

    memory: PeakMemory | None = None
    energy: Energy | None = None

    @property
    def verdicts(self) -> list[Verdict]:
        """Whether each is within its limit."""
        return [limited.verdict for limited in (self.memory, self.energy) if limited is not None]


def consumption_on(fleet: Fleet, onnx: Path, limits: HasLimits) -> list[Consumption]:
    """What a model takes on each device, by itself.

    Args:
        fleet: the devices.
        onnx: the model's file.
        limits: of a plan or of its budgets.

    Raises:
        MeasurementError: a device does not tell; or as `Session.measure`.
        ModelError, TargetError: as `Session.measure`.
    """

    def consumption(index: int, session: Session) -> Consumption:
        target, memory, energy = limits.targets[index], None, None
        memory_mib = limit_on(target, limits.memory_mib)
        energy_mj = limit_on(target, limits.energy_mj)
        if memory_mib is not None:
            memory = PeakMemory(peak_mib=peak_memory_mib(session, onnx), limit_mib=memory_mib)
        if energy_mj is not None:
            energy = energy_of(session, onnx).model_copy(update={"limit_mj": energy_mj})
        return Consumption(memory, energy)

    return fleet.each(consumption)


def consumption_verdicts(consumptions: Sequence[Consumption]) -> list[Verdict]:
    """Whether each device's memory and energy are within their limits, of those that have one."""
    return [verdict for device in consumptions for verdict in device.verdicts]
