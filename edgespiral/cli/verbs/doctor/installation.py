"""What of EdgeSpiral is installed, and whether it can be loaded."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from edgespiral.core.errors import UsageError
from edgespiral.core.text import described
from edgespiral.measure.targets.check import CheckLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

OWN = "edgespiral"
# Whose binary parts are what fails where an installation is damaged or of another system.
BINARY = ("torch", "torchvision", "onnx", "onnxruntime")


def package_lines() -> Iterator[CheckLine]:
    """Whether every package that EdgeSpiral needs is there in a version that it can use.

    Raises:
        UsageError: some are not, each with what is there and what is needed.
    """
    needs = requirements()
    unmet = [f"{need.name} {why}" for need in needs if (why := unmet_reason(need))]
    if unmet:
        hint = f"pip install --upgrade {OWN}"
        raise UsageError("; ".join(unmet), where="packages", hint=hint)
    yield CheckLine("packages", f"{len(needs)} of {len(needs)} in versions that can be used")


def extra_lines() -> Iterator[CheckLine]:
    """Which extras are installed, and how the others are."""
    for extra in sorted(_own_metadata("Provides-Extra")):
        lacks = [need.name for need in requirements(extra) if unmet_reason(need)]
        how = f"not installed: pip install '{OWN}[{extra}]' brings {', '.join(lacks)}"
        yield CheckLine(f"extra {extra}", how if lacks else "installed")


def import_line(package: str) -> Iterator[CheckLine]:
    """Whether a package with binary parts can be loaded, and its version.

    Raises:
        UsageError: it cannot.
    """
    try:
        loaded = importlib.import_module(package)
    except Exception as error:
        hint = "install it anew; its own pages say which systems it is built for"
        if package == "torchvision":
            hint = "install it anew from where PyTorch is from: one build does not fit another's"
        raise UsageError(
            f"cannot be loaded: {described(error)}", where=package, hint=hint
        ) from error
    yield CheckLine(package, f"{getattr(loaded, '__version__', 'of an unknown version')}, loaded")


def guarded(check: Callable[[], Iterable[CheckLine]]) -> Iterator[CheckLine]:
    """What a check says that needs packages, which may be the ones that cannot be loaded.

    Raises:
        UsageError: it could not be made for that reason.
    """
    try:
        yield from check()
    except ImportError as error:
        what = f"not checked, as {error.name or 'a package'} cannot be loaded: {described(error)}"
        raise UsageError(what) from error


def requirements(extra: str = "") -> list[Requirement]:
    """What EdgeSpiral asks for on this system, or what an extra asks for beside that."""
    try:
        needs = [Requirement(text) for text in requires(OWN) or ()]
    except PackageNotFoundError as error:
        raise _not_installed() from error
    return [need for need in needs if _is_asked_by(need, extra)]


def _is_asked_by(need: Requirement, extra: str) -> bool:
    if need.marker is None:
        return not extra
    of_all = need.marker.evaluate({"extra": ""})
    return need.marker.evaluate({"extra": extra}) and (not extra or not of_all)


def unmet_reason(need: Requirement) -> str | None:
    """Why what is installed does not do for a requirement, or None where it does."""
    try:
        there = version(need.name)
    except PackageNotFoundError:
        # As onnxruntime-gpu is, which brings the module onnxruntime.
        return None if find_spec(need.name.replace("-", "_")) else "is not installed"
    if need.specifier.contains(there, prereleases=True):
        return None
    return f"is {there}, and {need.specifier} is needed"


def _own_metadata(key: str) -> Iterable[str]:
    try:
        return metadata(OWN).get_all(key) or ()
    except PackageNotFoundError as error:
        raise _not_installed() from error


def _not_installed() -> UsageError:
    return UsageError("is not installed as a package", where=OWN, hint="pip install .")
