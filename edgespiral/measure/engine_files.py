"""Built engines as files, and the record beside each of what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from edgespiral.core.errors import ModelError, TargetError
from edgespiral.core.records.exported import EngineFacts
from edgespiral.core.system.files import read_bytes, sha256_file
from edgespiral.measure.model_files import is_engine

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edgespiral.measure.profile import TargetProfile

ENGINE = ".engine"


def engine_path(model: Path) -> Path:
    """Where the engine of an ONNX file lies if no other place is named."""
    return model.with_suffix(ENGINE)


def record_path(engine: Path) -> Path:
    """Where the record of an engine lies."""
    return engine.with_name(f"{engine.name}.json")


def builds_and_times(profile: TargetProfile) -> bool:
    """Whether what is timed on a target is an engine that the device built."""
    capabilities = profile.capabilities
    return capabilities.builds and capabilities.times


def builds_only(profile: TargetProfile) -> bool:
    """Whether a target builds engines and runs none."""
    return not profile.capabilities.times


def require_timing(profile: TargetProfile) -> TargetProfile:
    """`profile`, if latency can be measured there.

    Raises:
        TargetError: its runtime builds engines and runs none.
    """
    if builds_only(profile):
        raise no_timing(profile.name)
    return profile


def no_timing(name: str) -> TargetError:
    """The error for asking a target for latency that builds engines without a GPU."""
    return TargetError(
        "latency cannot be measured here: this target builds engines without a GPU and runs none",
        where=name,
        hint="build with it (edgespiral build), and measure on a target that has the device",
    )


def no_engines(runtime: str = "ONNX Runtime") -> TargetError:
    """The error for asking `runtime` for an engine."""
    return TargetError(
        f"{runtime} has no engines: it runs the ONNX file itself",
        hint='choose a target whose runtime is "tensorrt" or "tensorrt-rtx"',
    )


def written_record(engine: Path, runtime: str) -> EngineFacts | None:
    """The record beside an engine that `runtime` is to run; None where there is none.

    Raises:
        ModelError: it is damaged, is of another file, or of an engine for another runtime.
    """
    path = record_path(engine)
    if not path.is_file():
        return None
    hint = "build the engine anew, from its ONNX file"
    try:
        facts = EngineFacts.model_validate_json(read_bytes(path))
    except (OSError, ValidationError) as error:
        raise ModelError("is not the record of an engine", where=str(path), hint=hint) from error
    if facts.sha256 != sha256_file(engine):
        raise ModelError(
            f"is not the engine that {path.name} describes", where=str(engine), hint=hint
        )
    if facts.runtime != runtime:
        what = f"was built for {facts.runtime}, which {runtime} cannot run"
        raise ModelError(what, where=str(engine), hint=hint)
    return facts


def no_engine(models: Iterable[Path]) -> None:
    """Refuse engines where ONNX files are asked for.

    Raises:
        ModelError: one of `models` is an engine.
    """
    for model in filter(is_engine, models):
        raise ModelError(
            "is an engine already",
            where=str(model),
            hint="name the ONNX file that it was made from",
        )


def bound_to(facts: EngineFacts) -> str:
    """In words, the only place where an engine runs."""
    built_by = f"{facts.runtime} {facts.runtime_version}"
    if facts.gpu is None and facts.compute_capability is not None:
        return f"GPUs of compute capability {facts.compute_capability}, with {built_by}"
    gpu = f"{facts.gpu}, compute capability {facts.compute_capability}"
    return f"{facts.built_on}{f' ({gpu})' if facts.gpu else ''}, with {built_by}"
