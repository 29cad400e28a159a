"""Target profiles: what runs a model, how to reach the device, and how to measure there."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
    field_validator,
)

from edgespiral.core.errors import UsageError
from edgespiral.core.named_files import NamedFiles
from edgespiral.core.schema import Line, Precision, Record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PROFILES = NamedFiles("target", "targets", "EDGESPIRAL_TARGETS")
# Asks for a profile whose unset variables are left as they are written, to show it.
AS_WRITTEN = {"unset variables": "as written"}
EXAMPLES = {"host": "user@address"}
FROM_ENVIRONMENT = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")

Count = Annotated[int, Field(ge=1)]
NonEmpty = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]


def kind(section: object) -> object:
    """What tells the records apart that a section may be; its name is the key's, for errors."""
    return section.get("kind") if isinstance(section, dict) else getattr(section, "kind", None)


def cores(value: object) -> object:
    """A profile's `affinity`: "big", or a tuple of the cores' numbers."""
    numbers = value if isinstance(value, list | tuple) else ()
    if numbers and all(isinstance(number, int) and number >= 0 for number in numbers):
        return tuple(numbers)
    if value != "big":
        raise ValueError('must be "big" or a list of core numbers, as [4, 5]')
    return value


class Section(Record):
    """A table of a profile. A value that is `$NAME` is taken from the environment."""

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True)

    @field_validator("*", mode="before")
    @classmethod
    def _from_environment(cls, value: object, info: ValidationInfo) -> object:
        named = FROM_ENVIRONMENT.fullmatch(value) if isinstance(value, str) else None
        if named is None:
            return value
        if named[1] not in os.environ:
            if info.context == AS_WRITTEN:
                return value
            example = EXAMPLES.get(str(info.field_name), "...")
            raise ValueError(
                f"the environment has no variable {named[1]} (export {named[1]}={example})"
            )
        return os.environ[named[1]]


class OnnxRuntimeProfile(Section):
    """ONNX Runtime, driven by the Python that the transport names."""

    kind: Literal["onnxruntime"]
    precision: Precision = "fp32"
    threads: Count = 1
    affinity: Annotated[tuple[int, ...] | Literal["big"], PlainValidator(cores)] | None = None
    provider: NonEmpty = "CPUExecutionProvider"
    provider_options: dict[str, str] = Field(default_factory=dict)


class TensorRtProfile(Section):
    """TensorRT through the device's own `trtexec`."""

    kind: Literal["tensorrt"]
    precision: Literal["fp32", "fp16", "int8"] = "fp16"
    strongly_typed: bool = False
    trtexec: NonEmpty | None = None
    dla_core: Annotated[int, Field(ge=0)] | None = None
    sparsity: bool = False
    workspace_mib: Count | None = None
    cuda_graph: bool = True
    data_transfers: bool = False


class AndroidProfile(Section):
    """ONNX Runtime's own `onnxruntime_perf_test`, built for the device by the user."""

    kind: Literal["android"]
    precision: Precision = "fp32"
    binary: NonEmpty
    libraries: list[NonEmpty] = Field(default_factory=list)
    threads: Count = 1
    affinity: Annotated[tuple[int, ...] | Literal["big"], PlainValidator(cores)] = "big"
    provider: Literal[
        "CPUExecutionProvider",
        "XnnpackExecutionProvider",
        "NnapiExecutionProvider",
        "QNNExecutionProvider",
        "ACLExecutionProvider",
    ] = "CPUExecutionProvider"


class TensorRtRtxProfile(Section):
    """TensorRT for RTX: builds engines for GPUs of one compute capability, without one."""

    kind: Literal["tensorrt-rtx"]
    compute_capability: Annotated[str, Field(pattern=r"^\d{1,2}\.\d$")]

    @property
    def precision(self) -> Precision:
        """Of the engine of an unconverted file: engines have the types of their files."""
        return "fp32"


class LocalProfile(Section):
    """This machine, in a process of its own."""

    kind: Literal["local"]
    timeout_s: Positive = 600


class ShellProfile(Section):
    """A device with a POSIX shell, which may be lost and found again."""

    python: NonEmpty = "python3"
    workdir: NonEmpty = "/tmp"  # noqa: S108 (a private folder is made below it)
    timeout_s: Positive = 600
    connect_timeout_s: Count = 10
    retry_s: Annotated[float, Field(ge=0)] = 300


class SshProfile(ShellProfile):
    """A device that OpenSSH reaches, with the user's own ssh configuration."""

    kind: Literal["ssh"]
    host: Annotated[str, Field(pattern=r"^[^-\s]\S*$")]
    config: NonEmpty | None = None
    keepalive_s: Count = 5


class AdbProfile(ShellProfile):
    """An Android device that an adb server reaches, by USB or by TCP."""

    kind: Literal["adb"]
    serial: Annotated[str, Field(pattern=r"^[^-\s]\S*$")] | None = None
    workdir: NonEmpty = "/data/local/tmp"


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
    description: Line = ""


class TargetProfile(Section):
    """One target: a runtime, a transport, and how to measure there."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    runtime: Annotated[
        Annotated[OnnxRuntimeProfile, Tag("onnxruntime")]
        | Annotated[TensorRtProfile, Tag("tensorrt")]
        | Annotated[AndroidProfile, Tag("android")]
        | Annotated[TensorRtRtxProfile, Tag("tensorrt-rtx")],
        Discriminator(kind),
    ]
    transport: Annotated[
        Annotated[LocalProfile, Tag("local")]
        | Annotated[SshProfile, Tag("ssh")]
        | Annotated[AdbProfile, Tag("adb")],
        Discriminator(kind),
    ]
    measure: MeasureProfile = MeasureProfile()
    device: DeviceProfile = DeviceProfile()


def load_profile(name_or_path: str | Path, *, as_written: bool = False) -> TargetProfile:
    """The profile of a name or of a TOML file.

    A name is looked for in `./targets`, then in the folders of `$EDGESPIRAL_TARGETS`, then among
    those that come with EdgeSpiral.

    Args:
        name_or_path: of the profile.
        as_written: leave `$NAME` where the environment has no such variable; only to show it.

    Raises:
        UsageError: no such profile, with the nearest names; or all problems of its file.
    """
    return PROFILES.load(name_or_path, TargetProfile, AS_WRITTEN if as_written else None)


def load_profiles(names_or_paths: Sequence[str | Path]) -> list[TargetProfile]:
    """The profiles of several targets, which records tell apart by name.

    Raises:
        UsageError: as `load_profile`, or two of them have the same name.
    """
    profiles = [load_profile(target) for target in names_or_paths]
    names = [profile.name for profile in profiles]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"two targets have the name {twice!r}",
            where="--target",
            hint="give each profile a name of its own",
        )
    return profiles


def list_profiles() -> dict[str, Path]:
    """The file of every profile that can be had by name, by name."""
    return PROFILES.by_name()
