"""MNN, driven by the Python that the transport names; files are converted here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.base import Capabilities, RuntimePlugin
from edgespiral.measure.runtimes.mnn.settings import MnnSettings

if TYPE_CHECKING:
    from edgespiral.core.records.measurement import Fingerprint
    from edgespiral.measure.kits.base import Kit
    from edgespiral.measure.runtimes.base import Runtime


def _make(settings: MnnSettings, *, name: str, on_host: bool) -> Runtime:  # noqa: ARG001
    from edgespiral.measure.runtimes.mnn.runtime import Mnn

    return Mnn(settings)


def _make_outputs(settings: MnnSettings) -> Runtime:
    from edgespiral.measure.runtimes.mnn.runtime import Mnn

    return Mnn(settings)


def _capabilities(settings: MnnSettings) -> Capabilities:  # noqa: ARG001
    return Capabilities(precisions=("fp32",))


def _race(settings: MnnSettings) -> dict[str, MnnSettings]:
    ways = [
        settings.model_copy(update={"inference_precision": precision, "weights": weights})
        for precision, weights in (("fp32", "fp32"), ("fp16", "fp32"), ("fp32", "int8"))
    ]
    return {way.float_precision: way for way in ways}


def _kit(fingerprint: Fingerprint) -> Kit:
    from edgespiral.measure.runtimes.mnn.kit import kit

    return kit(fingerprint)


PLUGIN = RuntimePlugin(MnnSettings, _make, _capabilities, _make_outputs, _race, _kit)
