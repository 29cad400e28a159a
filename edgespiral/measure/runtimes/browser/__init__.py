"""onnxruntime-web in a browser, which the Python that the transport names starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.base import Capabilities, RuntimePlugin
from edgespiral.measure.runtimes.browser.settings import BrowserSettings

if TYPE_CHECKING:
    from edgespiral.measure.runtimes.base import Runtime


def _make(settings: BrowserSettings, *, name: str, on_host: bool) -> Runtime:  # noqa: ARG001
    from edgespiral.measure.runtimes.browser.runtime import Browser

    return Browser(settings)


def _make_outputs(settings: BrowserSettings) -> Runtime:
    from edgespiral.measure.runtimes.browser.runtime import Browser

    return Browser(settings)


def _capabilities(settings: BrowserSettings) -> Capabilities:
    # What is told of layers on a GPU is how long they took to be handed over.
    tells_layers = settings.backend == "wasm"
    return Capabilities(precisions=("fp32", "int8"), layers=tells_layers, has_python=False)


def _race(settings: BrowserSettings) -> dict[str, BrowserSettings]:
    """It takes part where somebody has put onnxruntime-web here."""
    from edgespiral.core.errors import TargetError
    from edgespiral.measure.runtimes.browser.runtime import package_files

    try:
        package_files(settings.package, settings.backend)
    except TargetError:
        return {}
    return {settings.float_precision: settings}


PLUGIN = RuntimePlugin(
    BrowserSettings, _make, _capabilities, _make_outputs, _race, is_planned_on=False
)
