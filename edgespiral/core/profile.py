"""Target profiles: what runs a model, how to reach the device, and how to measure there."""

from __future__ import annotations

import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator

from edgespiral.core.config import load_toml_model
from edgespiral.core.errors import UsageError
from edgespiral.core.records import Record
from edgespiral.core.registry import unknown_name

FOLDERS_VARIABLE = "EDGESPIRAL_TARGETS"
FROM_ENVIRONMENT = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class Section(Record):
    """A table of a profile. A value that is `$NAME` is taken from the environment."""

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True)

    @field_validator("*", mode="before")
    @classmethod
    def _from_environment(cls, value: object) -> object:
        named = FROM_ENVIRONMENT.fullmatch(value) if isinstance(value, str) else None
        if named is None:
            return value
        if named[1] not in os.environ:
            raise ValueError(f"the environment has no variable {named[1]}")
        return os.environ[named[1]]


class OnnxRuntimeProfile(Section):
    """ONNX Runtime, driven by the Python that the transport names."""

    kind: Literal["onnxruntime"]
    precision: Literal["fp32"] = "fp32"
    threads: Count = 1
    provider: Annotated[str, Field(min_length=1)] = "CPUExecutionProvider"


class LocalProfile(Section):
    """This machine, in a process of its own."""

    kind: Literal["local"]
    timeout_s: Positive = 600


class MeasureProfile(Section):
    """How samples are taken; docs/measuring.md has the figures behind the defaults."""

    warmup_ms: Positive = 50
    rounds: Annotated[int, Field(ge=5)] = 25
    round_ms: Positive = 12
    min_samples: Count = 100
    max_samples: Count = 20_000
    max_temp_c: Positive | None = None


class DeviceProfile(Section):
    """What planning needs to know of the device."""

    channel_multiple: Count = 1
    description: str = ""


class TargetProfile(Section):
    """One target: a runtime, a transport, and how to measure there."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    runtime: OnnxRuntimeProfile
    transport: LocalProfile
    measure: MeasureProfile = MeasureProfile()
    device: DeviceProfile = DeviceProfile()


def load_profile(name_or_path: str | Path) -> TargetProfile:
    """The profile of a name or of a TOML file.

    A name is looked for in `./targets`, then in the folders of `$EDGESPIRAL_TARGETS`, then among
    those that come with EdgeSpiral.

    Raises:
        UsageError: no such profile, with the nearest names; or all problems of its file.
    """
    spec = str(name_or_path)
    if spec.endswith(".toml") or "/" in spec or os.sep in spec:
        return load_toml_model(Path(spec), TargetProfile)
    path = _files().get(spec)
    if path is None:
        raise unknown_name("target", spec, _files())
    profile = load_toml_model(path, TargetProfile)
    if profile.name != spec:
        raise UsageError(
            f"must be {spec!r} like the file, is {profile.name!r}", where=f"{path}:name"
        )
    return profile


def list_profiles() -> dict[str, Path]:
    """The file of every profile that can be had by name, by name."""
    return dict(sorted(_files().items()))


def _files() -> dict[str, Path]:
    last_to_first = [path for folder in reversed(_folders()) for path in folder.glob("*.toml")]
    return {path.stem: path for path in last_to_first}


def _folders() -> list[Path]:
    listed = os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)
    bundled = Path(str(files("edgespiral") / "_targets"))
    return [Path("targets"), *(Path(folder) for folder in listed if folder), bundled]
