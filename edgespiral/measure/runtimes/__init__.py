"""What runs models on devices, by the `kind` of a profile's `[runtime]`: one folder a runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgespiral.core.plugins import PluginKind

if TYPE_CHECKING:
    from edgespiral.measure.runtimes.base import RuntimePlugin

RUNTIMES: PluginKind[RuntimePlugin[Any]] = PluginKind(
    "runtime",
    __name__,
    "edgespiral.runtimes",
    shared=(
        "agent",
        "agent_answer",
        "agent_energy",
        "agent_outputs",
        "agent_runtime",
        "conversions",
        "converting",
        "given_module",
        "module_files",
        "native",
        "operators",
        "weighted_layers",
    ),
    needs=("settings", "make", "capabilities", "make_outputs", "race"),
)
