"""What a script on a device without Python prints, read without one: all but the figures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import EdgeSpiralError, MeasurementError, ModelError, TargetError
from edgespiral.measure.completed import last_words
from edgespiral.measure.runtimes.agent import CROWDED, FEWER
from edgespiral.measure.runtimes.operators import with_layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Job

MARK = "@ "
# Sensors of the processor, by the names that vendors give them.
PROCESSOR_SENSORS = re.compile(r"cpu|big|mid|little|soc|tsens|apc", re.IGNORECASE)
HAL_TEMPERATURE = re.compile(r"Temperature\{mValue=(-?[0-9]{1,6}(?:\.[0-9]+)?), mType=0,")
THERMAL_STATUS = re.compile(r"Thermal Status: ([0-9]{1,4})")
SEVERITIES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
POWER_MODES = {"0": "normal", "1": "battery saver"}
# Other values come from sensors that are off or count in units of their own.
COLDEST_C, HOTTEST_C = 1, 150
MILLI = 1000
FREQUENCY = re.compile("[0-9]{1,12}")
# What tells that the program itself is not right, and not the model.
WRONG_PROGRAM = {
    "CANNOT LINK": "name the libraries that it needs in the target's [runtime] libraries",
    "not executable": "build it for the device's processor",
    "Exec format error": "build it for the device's processor",
}
NOT_STARTED = (126, 127)


@dataclass(frozen=True)
class Section:
    """A part of the script's output: the words of its mark, and the lines that follow."""

    words: tuple[str, ...]
    lines: tuple[str, ...]


def sections(output: str) -> list[Section]:
    """The parts of an output, in order; what comes before the first mark belongs to none."""
    parts: list[tuple[tuple[str, ...], list[str]]] = []
    for line in output.splitlines():
        if line.startswith(MARK):
            parts.append((tuple(line.removeprefix(MARK).split()), []))
        elif parts:
            parts[-1][1].append(line)
    return [Section(words, tuple(lines)) for words, lines in parts]


def whole_sections(
    completed: Completed, job: Job, program: str, wrong: Mapping[str, str]
) -> list[Section]:
    """The parts of an output that came to its end.

    Args:
        completed: of the script.
        job: what was asked.
        program: that the script starts.
        wrong: words of the program's that say that it is not right for the device, with what helps;
            beside those that any program has.

    Raises:
        ModelError: the program failed on a model.
        TargetError: it cannot be used there.
        MeasurementError: the output is not whole.
    """
    parts = [section for section in sections(completed.stdout) if section.words]
    for section in parts:
        if section.words[0] in ("failed", "wordless", "unpinnable", "crowded"):
            raise _told(section, job, program, {**WRONG_PROGRAM, **wrong})
    if completed.exit_code != 0 or not any(section.words[0] == "end" for section in parts):
        raise MeasurementError(f"the measuring process {completed.failure()}")
    return parts


def about_device(parts: Sequence[Section]) -> dict[str, Any]:
    """Device and states as an agent would have told them, and `pinned`: the cores, as text."""
    named = {section.words[0]: section for section in parts}
    facts = dict(line.split("=", 1) for line in named["facts"].lines if "=" in line)
    return {
        "device": _device(facts),
        "pinned": facts.get("pinned", "").split(),
        "before": device_state(named["before"].lines),
        "after": device_state(named["after"].lines),
    }


def rounds_of(parts: Sequence[Section], kind: str, index: int, job: Job) -> list[Section]:
    """A model's sections of a kind, one for each round.

    Raises:
        MeasurementError: there are more or fewer.
    """
    rounds = [part for part in parts if part.words[:2] == (kind, str(index))]
    if len(rounds) != job.rounds:
        raise MeasurementError(f"the device answered {len(rounds)} of {job.rounds} rounds")
    return rounds


def warmup_count(parts: Sequence[Section], index: int) -> int:
    """How many runs a model had to warm up.

    Raises:
        MeasurementError: nothing is told of it.
    """
    warm = next((part for part in parts if part.words[:2] == ("warm", str(index))), None)
    if warm is None:
        raise MeasurementError("the device did not tell how it warmed up")
    return int(warm.words[2])


def device_state(lines: Sequence[str]) -> dict[str, Any]:
    """What may change during a run; None where the device does not tell."""
    values: dict[str, list[str]] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and value.strip():
            values.setdefault(key, []).append(value.strip())
    text = "\n".join(lines)
    status = THERMAL_STATUS.search(text)
    severity = int(status[1]) if status else 0
    return {
        "governor": ", ".join(sorted(set(values.get("scaling_governor", ())))) or None,
        "power_mode": POWER_MODES.get(values.get("low_power", [""])[0]),
        "temperature_c": _temperature_c(values.get("zone", ()), text),
        "frequency_mhz": _mhz(values.get("scaling_cur_freq", ())),
        "frequency_limit_mhz": _mhz(values.get("scaling_max_freq", ())),
        "throttling": f"its thermal status is {_severity(severity)}" if severity else None,
    }


def _severity(number: int) -> str:
    return SEVERITIES[number] if number < len(SEVERITIES) else str(number)


def _mhz(values: Iterable[str]) -> float | None:
    return max((int(value) / MILLI for value in values if FREQUENCY.fullmatch(value)), default=None)


def _temperature_c(zones: Iterable[str], text: str) -> float | None:
    readings = [zone.rpartition(" ") for zone in zones]
    numbers = [(name, float(v)) for name, _, v in readings if re.fullmatch(r"-?[0-9]{1,12}", v)]
    # Kernels count in thousandths of a degree; some vendors' do not.
    degrees = [(name, v / MILLI if abs(v) >= MILLI else v) for name, v in numbers]
    own = [value for name, value in degrees if PROCESSOR_SENSORS.search(name)]
    of_hal = [float(value) for value in HAL_TEMPERATURE.findall(text)]
    for choice in (own, of_hal, [value for _, value in degrees]):
        plausible = [value for value in choice if COLDEST_C < value < HOTTEST_C]
        if plausible:
            return max(plausible)
    return None


def _device(facts: dict[str, str]) -> dict[str, Any]:
    name = " ".join(filter(None, (facts.get("manufacturer"), facts.get("model"))))
    soc = facts.get("soc")
    android = facts.get("android")
    pinned = facts.get("pinned", "").split()
    return {
        "device": f"{name or 'unknown device'}{f' ({soc})' if soc else ''}",
        "architecture": facts.get("architecture", "") or "unknown",
        "operating_system": f"Android {android}" if android else facts.get("system", "unknown"),
        "cores": len(pinned) or int(facts.get("cores", "0")) or 1,
    }


def _told(section: Section, job: Job, program: str, wrong: Mapping[str, str]) -> EdgeSpiralError:
    """The error that a section with a failure stands for."""
    kind, *words = section.words
    reason = last_words("\n".join(section.lines))
    if kind == "unpinnable":
        what = f"its processes cannot be pinned to cores {', '.join(words)}"
        return TargetError(what, hint="name others in the target's [runtime] affinity")
    if kind == "crowded":
        threads, cores = map(int, words)
        return TargetError(CROWDED.format(threads, cores), hint=FEWER)
    model = job.models[int(words[0])]
    if kind == "wordless":
        return MeasurementError(f"{program} wrote no times: {reason}", where=str(model))
    hint = next((hint for words_of, hint in wrong.items() if words_of in reason), None)
    if hint is not None or int(words[1]) in NOT_STARTED:
        return TargetError(f"{program} does not run there: {reason}", hint=hint)
    what = f"cannot be run: exit code {words[1]}: {with_layers(reason, model)}"
    return ModelError(what, where=str(model))
