"""What was measured on a device, kept for later runs on the same device and runtime.

One JSON file a device: layers by their shapes, and cuts of an architecture by their widths, as
speed-ups over the uncut model. What is read here is a place to start from; a run builds on nothing
that it has not measured itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.measurement import (
    LayerLatency,
)
from edgespiral.core.records.schema import PositiveMs, Record
from edgespiral.core.records.widths import Widths
from edgespiral.core.system.files import make_folder, read_bytes, user_cache, write_text
from edgespiral.core.system.lock import locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.records.measurement import (
        Fingerprint,
    )
    from edgespiral.measure.profile import TargetProfile

LOG = logging.getLogger("edgespiral.measure")
# Of the fingerprint: what decides a latency and stays as it is between runs.
IDENTITY = (
    *("device", "architecture", "cores", "governor", "power_mode"),
    *("runtime", "runtime_version", "provider", "threads", "precision"),
)
# Of one architecture, the newest.
MOST_CUTS = 400
LOCK_S = 10


class MeasuredCut(Record):
    """A cut of an architecture, and how many times as fast as the uncut model it was."""

    widths: dict[str, int]
    speedup: float = Field(gt=0)


class Step(Record):
    """A width of the staircase that `edgespiral targets profile` measured."""

    channels: int = Field(ge=1)
    latency_ms: PositiveMs


class Table(Record):
    """What is known of one device, as its file holds it."""

    schema_version: Literal[1] = 1
    identity: dict[str, object]
    layers: tuple[LayerLatency, ...] = ()
    cuts: dict[str, tuple[MeasuredCut, ...]] = Field(default_factory=dict)
    staircase: tuple[Step, ...] = ()


@dataclass(frozen=True)
class LatencyCache:
    """The table of one device in `path`; a file that is missing or damaged is an empty one.

    Attributes:
        identity: what tells the device, its runtime and their settings from all others.
    """

    path: Path
    identity: Mapping[str, object]

    @classmethod
    def of(cls, folder: Path, profile: TargetProfile, fingerprint: Fingerprint) -> LatencyCache:
        """That of the device with `fingerprint`, measured as `profile` says."""
        identity: dict[str, object] = {name: getattr(fingerprint, name) for name in IDENTITY}
        # Settings that the fingerprint does not show, such as TensorRT's.
        identity["runtime_settings"] = profile.runtime.model_dump(mode="json")
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return cls(folder / f"{digest[:16]}.json", identity)

    def read(self) -> Table:
        """All that is known; empty where the file is missing, damaged or of another version."""
        with suppress(OSError, ValidationError):
            table = Table.model_validate_json(read_bytes(self.path))
            if table.identity == dict(self.identity):
                return table
        return Table(identity=dict(self.identity))

    def add(
        self,
        *,
        layers: Iterable[LayerLatency] = (),
        cuts: Mapping[str, Sequence[MeasuredCut]] | None = None,
        staircase: Sequence[Step] | None = None,
    ) -> None:
        """Keep new measurements in place of old ones of the same shapes or widths.

        A cache that cannot be written is a warning: the run has what it needs.

        Args:
            cuts: by architecture.
            staircase: takes the place of an older one.
        """
        try:
            make_folder(self.path.parent)
            with locked(self.path.parent, wait_s=LOCK_S):
                stored = self.read()
                table = stored.model_copy(
                    update={
                        "layers": _newest(stored.layers, layers),
                        "cuts": stored.cuts | _newest_cuts(stored.cuts, cuts or {}),
                        "staircase": stored.staircase if staircase is None else tuple(staircase),
                    }
                )
                write_text(self.path, table.model_dump_json() + "\n")
        except RunFolderError as error:
            LOG.warning("the latency cache is not written: %s", error)


def cache_folder(folder: Path | None = None) -> Path:
    """`folder`, or the user's folder for latencies."""
    return user_cache("latency") if folder is None else folder


def _newest(
    stored: Iterable[LayerLatency], added: Iterable[LayerLatency]
) -> tuple[LayerLatency, ...]:
    by_shape = {
        (row.operator, row.input_shape, row.weight_shape, row.output_shape): row
        for row in (*stored, *added)
    }
    return tuple(by_shape.values())


def _newest_cuts(
    stored: Mapping[str, Sequence[MeasuredCut]], added: Mapping[str, Sequence[MeasuredCut]]
) -> dict[str, tuple[MeasuredCut, ...]]:
    merged = {}
    for architecture, cuts in added.items():
        by_widths: dict[Widths, MeasuredCut] = {}
        for cut in (*stored.get(architecture, ()), *cuts):
            widths = Widths(cut.widths)
            by_widths.pop(widths, None)
            by_widths[widths] = cut
        merged[architecture] = tuple(by_widths.values())[-MOST_CUTS:]
    return merged
