"""This machine, with commands at a low priority: what else runs here goes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from edgespiral.measure.settings import TransportSettings
from edgespiral.measure.transports.base import THIS_MACHINE, TransportPlugin
from edgespiral.measure.transports.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.measure.completed import Completed


class NiceSettings(TransportSettings):
    """The `[transport]` table; `kind` and `timeout_s` are there already."""

    niceness: Annotated[int, Field(ge=0, le=19)] = 10


class NiceTransport(LocalTransport):
    """Runs commands as `LocalTransport` does, by way of `nice`."""

    def __init__(self, settings: NiceSettings, work: Path | None) -> None:
        super().__init__(work)
        self._niceness = settings.niceness

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run `argv` in the work folder."""
        return super().run(["nice", "-n", str(self._niceness), *argv], timeout_s)


PLUGIN = TransportPlugin(
    settings=NiceSettings,
    make=NiceTransport,
    # So that nothing else is measured here meanwhile.
    device_id=lambda _settings: THIS_MACHINE,
    is_local=True,
)
