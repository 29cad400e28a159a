"""Records of a race: one model by every runtime that a device has, in turns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgespiral.core.records.measurement import Measurement, Ratio
from edgespiral.core.records.schema import Record, Told


class OutputParity(Record):
    """How near the outputs of a file are on a device to those here; of several, the furthest.

    `output` is its name, empty where there is one. `sqnr_db` is None where nothing differs at all.
    """

    samples: int = Field(ge=1)
    output: Told = ""
    max_abs_difference: float = Field(ge=0)
    sqnr_db: float | None


class RaceRow(Record):
    """One way to run the model, with its figure or the reason why there is none.

    `precision` is what was computed in, `speedup` in pairs with the race's reference, and `parity`
    None where the runtime does not tell what a model computes.
    """

    runtime: Told
    precision: Told
    threads: int = Field(ge=1)
    measurement: Measurement | None = None
    speedup: Ratio | None = None
    parity: OutputParity | None = None
    refused: Told | None = None


class Race(Record):
    """All rows, in the order of their latency, those without one last.

    `reference` is the place of the row that the others are compared with, and `winner` of the
    fastest that is faster than it for certain, else of the reference. `samples` says what the
    outputs were compared on.
    """

    schema_version: Literal[1] = 1
    target: Told
    model: Told
    samples: Told
    rows: tuple[RaceRow, ...] = Field(min_length=1)
    reference: int = Field(ge=0)
    winner: int = Field(ge=0)

    @property
    def won(self) -> RaceRow:
        """The winner's row."""
        return self.rows[self.winner]
