"""What `edgespiral --version` says."""

from __future__ import annotations

from pathlib import Path


def version_lines(*, verbose: bool) -> list[str]:
    """The version; with `verbose` all that a bug report needs, one `name: value` a line.

    Neither PyTorch nor ONNX Runtime is loaded for it: a broken one is a reason to ask.
    """
    from edgespiral.core.system.versions import __version__

    facts = _facts() if verbose else {}
    return [f"edgespiral {__version__}", *(f"{name}: {value}" for name, value in facts.items())]


def _facts() -> dict[str, str]:
    from edgespiral.core.system.versions import versions
    from edgespiral.measure.runtimes.agent import device_facts

    device = device_facts(Path("/"))
    packages = {name: version for name, version in versions().items() if name != "edgespiral"}
    return {**packages, "cpu": str(device["device"]), "usable cores": str(device["cores"])}
