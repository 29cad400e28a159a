"""LiteRT with XNNPACK, driven by Python; made here of a run's PyTorch module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.base import Capabilities, RuntimePlugin
from edgespiral.measure.runtimes.litert.settings import LiteRtSettings

if TYPE_CHECKING:
    from edgespiral.core.records.measurement import Fingerprint
    from edgespiral.measure.kits.base import Kit
    from edgespiral.measure.runtimes.base import Runtime


def _make(settings: LiteRtSettings, *, name: str, on_host: bool) -> Runtime:  # noqa: ARG001
    from edgespiral.measure.runtimes.litert.runtime import LiteRt

    return LiteRt(settings)


def _make_outputs(settings: LiteRtSettings) -> Runtime:
    from edgespiral.measure.runtimes.litert.runtime import LiteRt

    return LiteRt(settings)


def _capabilities(settings: LiteRtSettings) -> Capabilities:  # noqa: ARG001
    return Capabilities(precisions=("fp32",), layers=False, needs="module")


def _race(settings: LiteRtSettings) -> dict[str, LiteRtSettings]:
    ways = [settings.model_copy(update={"weights": weights}) for weights in ("fp32", "int8")]
    return {way.float_precision: way for way in ways}


def _kit(fingerprint: Fingerprint) -> Kit:
    from edgespiral.measure.runtimes.litert.kit import kit

    return kit(fingerprint)


PLUGIN = RuntimePlugin(LiteRtSettings, _make, _capabilities, _make_outputs, _race, _kit)
