"""What runs a model on a device: files to push, a command, and a pure reading of its output."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Generic, Literal, Protocol, TypeVar

from pydantic import AfterValidator, Field

from edgespiral.core.records.measurement import (
    Fingerprint,
    LayerLatency,
)
from edgespiral.core.records.schema import Int8Form, Precision, Record
from edgespiral.measure.settings import RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.kits.base import Kit
    from edgespiral.measure.runtimes.module_files import ModuleFiles


# Cooling by running slower, not by a fan.
SLOWING = re.compile("cpufreq|devfreq|throttle|^Processor$")
# Raspberry Pi's firmware: voltage too low, clock capped, throttled, near its limit of temperature.
# Higher bits say what has been since it started.
SLOWED_NOW = 0xF
# The inputs' name on the device, and the most bytes and seconds that a model's outputs may take.
INPUTS, MOST_OUTPUT_BYTES, MOST_OUTPUT_SECONDS = "inputs.npy", 64 * 2**20, 30.0
# Of the runtime's facts, those that are no part of a figure's identity, or are told otherwise.
BESIDE_FINGERPRINT = {"python_version", "float_precision", "peak_memory_mib", "cold_start_ms"}
HEXADECIMAL = re.compile(r"(0x)?[0-9a-fA-F]{1,16}")
# Of an answer, whatever the device. A clock ticks in nanoseconds; 1e8 ms is a day.
Latency = Annotated[float, Field(ge=1e-6, le=1e8)]
Words = Annotated[str, Field(max_length=1000)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Amount = Annotated[float, Field(ge=0, le=1e12)]
Celsius = Annotated[float, Field(ge=-274, le=1000)]


def inside(name: str) -> str:
    """`name`, a file of the work folder.

    Raises:
        ValueError: it lies elsewhere.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError("is no file of the work folder")
    return name


@dataclass(frozen=True)
class Job:
    """What is asked of a device: to time models or their layers, to build, or to compute outputs.

    Attributes:
        modules: what each was exported from, for a runtime that needs it (`Capabilities.needs`).
        rounds: how many turns each model has, freshly loaded for each.
        round_ms: how long each turn lasts, as far as the bounds on its samples allow.
        shapes: input shapes by name for inputs without a fixed one; "" is the only input.
        inputs: for outputs, a `.npy` file of samples (n, ...).
        input_count: how many these are.
        energy_s: how long each model runs to tell what it takes of energy; 0 for not at all.
    """

    mode: Literal["measure", "profile", "build", "outputs"]
    models: tuple[Path, ...]
    rounds: int
    round_ms: float
    warmup_ms: float
    min_round_samples: int
    max_round_samples: int
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    inputs: Path | None = None
    input_count: int = 0
    modules: tuple[ModuleFiles, ...] = ()
    energy_s: float = 0.0

    def request(self) -> dict[str, object]:
        """What an agent has to know of it, but for the models' names on the device."""
        return {
            "mode": self.mode,
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "rounds": self.rounds,
            "round_ms": self.round_ms,
            "warmup_ms": self.warmup_ms,
            "min_round_samples": self.min_round_samples,
            "max_round_samples": self.max_round_samples,
            "inputs": INPUTS,
            "most_bytes": MOST_OUTPUT_BYTES,
            "most_seconds": MOST_OUTPUT_SECONDS,
            "energy_s": self.energy_s,
        }


class DeviceState(Record):
    """What may change during a run; None where the device does not tell."""

    governor: Words | None = None
    power_mode: Words | None = None
    cooling: tuple[Words, ...] = ()
    firmware_flags: Words | None = None
    throttle_count: Amount | None = None
    temperature_c: Celsius | None = None
    frequency_mhz: Amount | None = None
    frequency_limit_mhz: Amount | None = None
    throttling: Words | None = None
    load: Amount | None = None

    def slowed_by(self) -> list[str]:
        """What makes the device slower at this moment than it could be, as far as it tells."""
        devices = [name for name in self.cooling if SLOWING.search(name)]
        flags = self.firmware_flags or ""
        if HEXADECIMAL.fullmatch(flags) and int(flags, 16) & SLOWED_NOW:
            devices.append(f"its firmware (get_throttled {flags})")
        return devices


class DeviceFacts(Record):
    """What a device is."""

    device: Words
    architecture: Words
    operating_system: Words
    cores: Count


class RuntimeFacts(Record):
    """What ran, and how it was told to.

    Attributes:
        float_precision: that float32 files are computed in, where it is not float32.
        peak_memory_mib: the most that the measuring process had resident, all its models together.
        cold_start_ms: from nothing to the end of the first model's first inference.
    """

    runtime: Words
    runtime_version: Words
    python_version: Words | None = None
    provider: Words
    threads: Count
    affinity: tuple[Annotated[int, Field(ge=0, le=1_000_000)], ...] | None = None
    float_precision: Words | None = None
    peak_memory_mib: Amount | None = None
    cold_start_ms: Latency | None = None


class Spent(Record):
    """What a loop of inferences took of energy, and what the device takes when idle."""

    source: Words
    joules: Amount
    seconds: Amount
    inferences: Annotated[int, Field(ge=1)]
    idle_watts: Amount


class Samples(Record):
    """One model's samples, `rounds_ms[round][sample]`, and the time that it took to load each.

    Where energy was asked for there is that too, or why it is not known. `waits_ms` is how long its
    thread waited for a core in each round; empty where the system does not tell.
    """

    warmup_count: int = Field(ge=0, le=1_000_000_000)
    loads_ms: tuple[Latency, ...] = ()
    rounds_ms: tuple[tuple[Latency, ...], ...]
    waits_ms: tuple[Amount, ...] = ()
    energy: Spent | None = None
    energy_refused: Words | None = None

    @property
    def waited_share(self) -> float | None:
        """The share of the time of all samples in which it waited for a core, if that is known."""
        if not self.waits_ms:
            return None
        return min(1.0, math.fsum(self.waits_ms) / math.fsum(map(math.fsum, self.rounds_ms)))


class Built(Record):
    """An engine in the work folder; see `EngineFacts`."""

    file: Annotated[str, AfterValidator(inside)]
    gpu: Words | None = None
    compute_capability: Words | None = None
    unfused: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()


class Computed(Record):
    """A `.npy` file in the work folder with a model's output for each of some samples (n, ...)."""

    file: str
    samples: int = Field(ge=1)


class Answer(Record):
    """A device's answer to a job, one entry a model in the field that is for such a job."""

    device: DeviceFacts
    runtime: RuntimeFacts
    before: DeviceState
    after: DeviceState
    samples: tuple[Samples, ...] = ()
    layers: tuple[tuple[LayerLatency, ...], ...] = ()
    engines: tuple[Built, ...] = ()
    outputs: tuple[Computed, ...] = ()

    def fingerprint(self, precision: str) -> Fingerprint:
        """Everything about device and runtime that goes with a figure of a file in `precision`."""
        lowered = self.runtime.float_precision if precision == "fp32" else None
        return Fingerprint(
            **self.device.model_dump(),
            **self.runtime.model_dump(exclude=BESIDE_FINGERPRINT),
            precision=lowered or precision,
            governor=self.after.governor,
            power_mode=self.after.power_mode,
            temperature_before_c=self.before.temperature_c,
            temperature_after_c=self.after.temperature_c,
            frequency_before_mhz=self.before.frequency_mhz,
            frequency_after_mhz=self.after.frequency_mhz,
        )

    def void(self, max_temp_c: float | None) -> str | None:
        """Why the run is not to be trusted, or None where nothing speaks against it."""
        return self._changed() or self._slowed() or self._too_hot(max_temp_c)

    def _changed(self) -> str | None:
        for name in ("governor", "power_mode"):
            was, now = getattr(self.before, name), getattr(self.after, name)
            if was != now:
                return f"the {name.replace('_', ' ')} changed from {was} to {now}"
        return None

    def _slowed(self) -> str | None:
        names = self.after.slowed_by()
        if names:
            return f"the device is slowed down by {', '.join(names)}"
        if (self.after.throttle_count or 0) > (self.before.throttle_count or 0):
            return "the processor throttled"
        return self._throttled()

    def _throttled(self) -> str | None:
        reason = self.after.throttling or self.before.throttling
        was_mhz, now_mhz = self.before.frequency_limit_mhz, self.after.frequency_limit_mhz
        if reason is None and was_mhz and now_mhz and now_mhz < was_mhz:
            reason = f"its clock's limit fell from {was_mhz:g} to {now_mhz:g} MHz"
        return reason and f"the device throttles: {reason}"

    def _too_hot(self, max_temp_c: float | None) -> str | None:
        found_c = self.after.temperature_c
        if max_temp_c is None:
            return None
        if found_c is None:
            return "max_temp_c is set but the device shows no temperature"
        is_above = found_c > max_temp_c
        return f"the device is at {found_c:g} C, above {max_temp_c:g} C" if is_above else None


class Runtime(Protocol):
    """A runtime on a device; it knows nothing of how the device is reached."""

    def needs(self) -> Mapping[str, str]:
        """What of this machine's it takes along beside models, by name.

        Raises:
            TargetError: it is missing.
        """

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """What the device needs, by the name it has there: a file, or a file's text.

        Raises:
            ModelError: a model or a part of it is missing, or is not for this runtime.
            TargetError: it does no such job.
        """

    def argv(self, python: str) -> list[str]:
        """The command that does the job, given the device's Python."""

    def precision(self, model: Path) -> Precision:
        """What `model` runs in here.

        Raises:
            ModelError: it cannot be read.
        """

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The answer in a command's output.

        Raises:
            ModelError: a model cannot be loaded or run.
            TargetError: the runtime or the provider asked for is not there.
            MeasurementError: there is no whole answer.
        """


@dataclass(frozen=True)
class Capabilities:
    """What a runtime can do, set as a target sets it.

    Attributes:
        precisions: those that it gains by; unconverted files run in the first.
        int8_form: of the int8 files that it is quick with.
        layers: whether it tells the times of single layers, which planning learns from.
        times: whether models run on the device, so that their latency can be measured.
        builds: whether it makes an engine of a file.
        sparse_kernels: whether it has some for 2:4 sparsity, and whether they are turned on.
        needs: what it is given of a model: its file, or also the PyTorch module that a run has
            beside the file.
        overlap: how many inferences may be under way at once, each counted in full.
        has_python: whether the transport's Python runs on the device, beside it or in its place,
            so that other steps of a pipeline can be timed there.
    """

    precisions: tuple[Precision, ...] = ("fp32", "fp16", "int8")
    int8_form: Int8Form = "onnxruntime"
    layers: bool = True
    times: bool = True
    builds: bool = False
    sparse_kernels: Literal["none", "off", "on"] = "none"
    needs: Literal["file", "module"] = "file"
    overlap: float = 1.0
    has_python: bool = True


S = TypeVar("S", bound=RuntimeSettings)
S_contra = TypeVar("S_contra", bound=RuntimeSettings, contravariant=True)


class MakesRuntime(Protocol[S_contra]):
    """Makes a runtime."""

    def __call__(self, settings: S_contra, *, name: str, on_host: bool) -> Runtime:
        """The runtime with these settings.

        Args:
            settings: of the target.
            name: of the target, for errors.
            on_host: whether commands are run by the Python that runs this.
        """


@dataclass(frozen=True)
class RuntimePlugin(Generic[S]):
    """A runtime as a plug-in of the group `edgespiral.runtimes`; its name is a profile's `kind`.

    Profiles are read without any runtime's packages, so a plug-in's module imports its settings
    alone and `make` imports the rest.

    Attributes:
        settings: the record of its `[runtime]` table.
        make: makes the runtime of such settings.
        capabilities: what it can do with such settings.
        make_outputs: makes what runs `outputs` jobs; None where it cannot tell what models compute.
        race: settings with which it takes part in a race, by the precision that float32 files are
            computed in, given its settings; None where it does so only as a target's own runtime.
            With none it stays away by itself.
        is_planned_on: whether a run may choose it by a race; else it is for comparison there.
        kit: what it ships models with, set as a figure was measured; None where it ships none.
    """

    settings: type[S]
    make: MakesRuntime[S]
    capabilities: Callable[[S], Capabilities]
    make_outputs: Callable[[S], Runtime] | None = None
    race: Callable[[S], Mapping[str, S]] | None = None
    kit: Callable[[Fingerprint], Kit] | None = None
    is_planned_on: bool = True


def onnxruntime_capabilities(provider: str) -> Capabilities:
    """Those of ONNX Runtime, whose CPU provider runs most fp16 layers in float32 between casts."""
    if provider == "CPUExecutionProvider":
        return Capabilities(precisions=("fp32", "int8"))
    return Capabilities(int8_form="tensorrt")
