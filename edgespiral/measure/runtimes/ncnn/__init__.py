"""ncnn, driven by the Python that the transport names; files are converted here, by pnnx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.base import Capabilities, RuntimePlugin
from edgespiral.measure.runtimes.ncnn.settings import NcnnSettings

if TYPE_CHECKING:
    from edgespiral.core.records.measurement import Fingerprint
    from edgespiral.measure.kits.base import Kit
    from edgespiral.measure.runtimes.base import Runtime


def _make(settings: NcnnSettings, *, name: str, on_host: bool) -> Runtime:  # noqa: ARG001
    from edgespiral.measure.runtimes.ncnn.runtime import Ncnn

    return Ncnn(settings)


def _make_outputs(settings: NcnnSettings) -> Runtime:
    from edgespiral.measure.runtimes.ncnn.runtime import Ncnn

    return Ncnn(settings)


def _capabilities(settings: NcnnSettings) -> Capabilities:  # noqa: ARG001
    return Capabilities(precisions=("fp32",), layers=False)


def _kit(fingerprint: Fingerprint) -> Kit:
    from edgespiral.measure.runtimes.ncnn.kit import kit

    return kit(fingerprint)


PLUGIN = RuntimePlugin(
    NcnnSettings,
    _make,
    _capabilities,
    _make_outputs,
    race=lambda settings: {"fp32": settings},
    kit=_kit,
)
