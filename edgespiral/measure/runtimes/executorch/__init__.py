"""ExecuTorch with XNNPACK, driven by Python; made here of a run's PyTorch module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.measure.runtimes.base import Capabilities, RuntimePlugin
from edgespiral.measure.runtimes.executorch.settings import ExecuTorchSettings

if TYPE_CHECKING:
    from edgespiral.measure.runtimes.base import Runtime


def _make(settings: ExecuTorchSettings, *, name: str, on_host: bool) -> Runtime:  # noqa: ARG001
    from edgespiral.measure.runtimes.executorch.runtime import ExecuTorch

    return ExecuTorch(settings)


def _make_outputs(settings: ExecuTorchSettings) -> Runtime:
    from edgespiral.measure.runtimes.executorch.runtime import ExecuTorch

    return ExecuTorch(settings)


def _capabilities(settings: ExecuTorchSettings) -> Capabilities:  # noqa: ARG001
    return Capabilities(precisions=("fp32",), layers=False, needs="module")


PLUGIN = RuntimePlugin(
    ExecuTorchSettings, _make, _capabilities, _make_outputs, lambda settings: {"fp32": settings}
)
