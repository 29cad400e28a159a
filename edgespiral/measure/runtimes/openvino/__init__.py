"""OpenVINO, driven by the Python that the transport names."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from edgespiral.measure.runtimes.base import Capabilities, RuntimePlugin
from edgespiral.measure.runtimes.openvino.settings import OpenVinoSettings

if TYPE_CHECKING:
    from edgespiral.core.records.measurement import Fingerprint
    from edgespiral.measure.kits.base import Kit
    from edgespiral.measure.runtimes.base import Runtime


def _make(settings: OpenVinoSettings, *, name: str, on_host: bool) -> Runtime:  # noqa: ARG001
    from edgespiral.measure.runtimes.openvino.runtime import OpenVino

    return OpenVino(settings, on_host=on_host)


def _make_outputs(settings: OpenVinoSettings) -> Runtime:
    from edgespiral.measure.runtimes.openvino.runtime import OpenVino

    return OpenVino(settings)


def _capabilities(settings: OpenVinoSettings) -> Capabilities:  # noqa: ARG001
    return Capabilities(precisions=("fp32", "int8"))


def _race(settings: OpenVinoSettings) -> dict[str, OpenVinoSettings]:
    precisions = get_args(OpenVinoSettings.model_fields["inference_precision"].annotation)
    return {
        precision: settings.model_copy(update={"inference_precision": precision})
        for precision in precisions
    }


def _kit(fingerprint: Fingerprint) -> Kit:
    from edgespiral.measure.runtimes.openvino.kit import kit

    return kit(fingerprint)


PLUGIN = RuntimePlugin(OpenVinoSettings, _make, _capabilities, _make_outputs, _race, _kit)
