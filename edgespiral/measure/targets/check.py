"""What `edgespiral targets check` says of a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.statistics.stats import paired_ratio, summarise
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.build import build_engine
from edgespiral.measure.engine_files import bound_to, builds_only, engine_path
from edgespiral.measure.session import Session
from edgespiral.measure.targets.survey import at_once
from edgespiral.measure.tiny import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgespiral.measure.profile import TargetProfile
    from edgespiral.measure.runtimes.base import Answer

# A ratio further off cannot tell two neighbouring widths apart.
LARGEST_ERROR = 0.02
UNKNOWN = "not shown by this system"


@dataclass(frozen=True)
class CheckLine:
    """One finding: `ok` is False where it makes measurements worse, with the reason in `advice`."""

    name: str
    value: str
    ok: bool = True
    advice: str = ""


def check_target(profile: TargetProfile) -> Iterator[CheckLine]:
    """What is found on the way to a target and on it, as it is found.

    Raises:
        EdgeSpiralError: what has to be mended before anything can be measured there.
    """
    kinds = f"{profile.runtime.kind} by way of {profile.transport.kind}"
    yield CheckLine("target", f"{profile.name}: {kinds}")
    session = Session(at_once(profile))
    for name, value in session.needs().items():
        yield CheckLine(name, value)
    with session:
        for name, value in session.way().items():
            yield CheckLine(name, value)
        if builds_only(profile):
            yield from builder_lines(session)
        else:
            yield from check_lines(session.try_out(), profile)


def builder_lines(session: Session) -> Iterator[CheckLine]:
    """The findings of building a tiny model for a target that times none."""
    with work_folder() as folder:
        tiny = write_tiny_model(folder / "tiny.onnx")
        facts = build_engine(session, tiny, engine_path(tiny))
        size_kb = engine_path(tiny).stat().st_size / 1e3
    yield CheckLine("builder", f"{facts.runtime} {facts.runtime_version}")
    yield CheckLine("engine", f"a tiny model was built: {size_kb:.0f} kB for {bound_to(facts)}")
    yield CheckLine("warnings", "; ".join(facts.warnings) or "none", not facts.warnings)
    advice = "this target builds engines; compress and measure need one that has the device"
    yield CheckLine("latency", "not measured", ok=False, advice=advice)


def check_lines(answer: Answer, profile: TargetProfile) -> list[CheckLine]:
    """The findings of an answer to a tiny model measured against itself."""
    device, runtime, state = answer.device, answer.runtime, answer.after
    return [
        CheckLine("device", f"{device.device} ({device.architecture}), {device.cores} cores"),
        CheckLine("system", device.operating_system),
        *([CheckLine("python", runtime.python_version)] if runtime.python_version else []),
        CheckLine(runtime.runtime, runtime.runtime_version),
        CheckLine("provider", runtime.provider),
        _threads(runtime.threads, runtime.affinity),
        CheckLine("precision", profile.runtime.precision),
        _governor(state.governor),
        CheckLine("power mode", state.power_mode or UNKNOWN),
        CheckLine("temperature", _with_unit(state.temperature_c, "C")),
        CheckLine("frequency", _with_unit(state.frequency_mhz, "MHz")),
        _load(state.load, device.cores, runtime.threads),
        _noise(answer),
    ]


def _with_unit(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{value:.0f} {unit}"


def _threads(threads: int, kept_to: tuple[int, ...] | None) -> CheckLine:
    place = f", kept to cores {', '.join(map(str, kept_to))}" if kept_to else ""
    return CheckLine("threads", f"{threads}{place}")


def _governor(governor: str | None) -> CheckLine:
    slows = governor is not None and governor != "performance"
    advice = "the clock follows the load; 'performance' is steadier" if slows else ""
    return CheckLine("governor", governor or UNKNOWN, not advice, advice)


def _load(load: float | None, cores: int, threads: int) -> CheckLine:
    busy = load is not None and load + threads > cores + 1
    advice = "other processes take the cores that the model needs" if busy else ""
    return CheckLine("load", UNKNOWN if load is None else f"{load:.2f}", not advice, advice)


def _noise(answer: Answer) -> CheckLine:
    first, second = (samples.rounds_ms for samples in answer.samples)
    ratio = paired_ratio(first, second)
    error = max(abs(bound - 1) for bound in (ratio.ci95.low, ratio.ci95.high))
    advice = "should be 1; stop other programs" if error > LARGEST_ERROR else ""
    value = (
        f"a model against itself: {ratio.value:.4f} "
        f"({ratio.ci95.low:.4f} to {ratio.ci95.high:.4f}), {summarise(first).p50_ms:.3f} ms"
    )
    return CheckLine("noise", value, not advice, advice)
