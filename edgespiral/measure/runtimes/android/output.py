"""What `onnxruntime_perf_test` writes on a device, read without one.

Its result file has a line for each inference: name, seconds, peak memory in bytes, processor use in
percent, number. Its profile is ONNX Runtime's own. Samples are single inferences, never a summary.
"""

from __future__ import annotations

import json
import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import EdgeSpiralError, MeasurementError, ModelError, TargetError
from edgespiral.measure.completed import last_words
from edgespiral.measure.runtimes.agent import CROWDED, FEWER, nodes_of
from edgespiral.measure.runtimes.onnxruntime.profile import layer_times

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Job

MARK = "@ "
# A model goes by the name of its folder, which is ours.
ROW = re.compile(
    r"[^,]*,((?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,20})?(?:e[-+]?[0-9]{1,2})?),[0-9]+,[0-9.]+,([0-9]{1,9})"
)
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
# What tells that the tool itself is not right, and not the model.
WRONG_TOOL = {
    "CANNOT LINK": "name the libraries that it needs in the target's [runtime] libraries",
    "not executable": "build it for the device's processor",
    "Exec format error": "build it for the device's processor",
    "Unknown command line flag": "it lacks a flag: take that of a later ONNX Runtime",
    "perf_test --help": "it lacks a flag: take that of a later ONNX Runtime",
    "is not supported in this build": "build it with that execution provider",
}
NOT_STARTED = (126, 127)


@dataclass(frozen=True)
class Section:
    """A part of the script's output: the words of its mark, and the lines that follow."""

    words: tuple[str, ...]
    lines: tuple[str, ...]


def perf_test_document(completed: Completed, job: Job, settling: int) -> dict[str, Any]:
    """Device, states and samples or layers, as an agent would have told them; and `pinned`.

    Args:
        completed: of the script.
        job: what was asked.
        settling: how many runs at a round's start do not count.

    Raises:
        ModelError: the tool failed on a model.
        TargetError: the tool cannot be used there.
        MeasurementError: the output is not whole.
    """
    parts = [section for section in sections(completed.stdout) if section.words]
    named = {section.words[0]: section for section in parts}
    for section in parts:
        if section.words[0] in ("failed", "wordless", "unpinnable", "crowded"):
            raise _told(section, job)
    if "end" not in named or completed.exit_code != 0:
        raise MeasurementError(f"the measuring process {completed.failure()}")
    facts = dict(line.split("=", 1) for line in named["facts"].lines if "=" in line)
    read = _layers if job.mode == "profile" else _samples
    return {
        "device": _device(facts),
        "pinned": facts.get("pinned", "").split(),
        "before": device_state(named["before"].lines),
        "after": device_state(named["after"].lines),
        "layers" if job.mode == "profile" else "samples": [
            read(parts, index, settling, job) for index in range(len(job.models))
        ],
    }


def sections(output: str) -> list[Section]:
    """The parts of an output, in order; what comes before the first mark belongs to none."""
    parts: list[tuple[tuple[str, ...], list[str]]] = []
    for line in output.splitlines():
        if line.startswith(MARK):
            parts.append((tuple(line.removeprefix(MARK).split()), []))
        elif parts:
            parts[-1][1].append(line)
    return [Section(words, tuple(lines)) for words, lines in parts]


def sample_times(lines: Iterable[str]) -> list[float]:
    """The latency of each inference in ms, from a result file.

    Raises:
        MeasurementError: there is none, or a line is not one of the tool's.
    """
    times: list[float] = []
    for line in lines:
        # Exactly: with another locale's commas, a part of a number would be taken for a time.
        row = ROW.fullmatch(line)
        if row is None or int(row[2]) != len(times):
            what = f"onnxruntime_perf_test wrote a line without a time: {line[:80]!r}"
            raise MeasurementError(what)
        times.append(1e3 * float(row[1]))
    if not times:
        raise MeasurementError("onnxruntime_perf_test wrote no times")
    return times


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


def _samples(parts: Sequence[Section], index: int, settling: int, job: Job) -> dict[str, Any]:
    rounds = _of(parts, "round", index, job)
    warm = next((part for part in parts if part.words[:2] == ("warm", str(index))), None)
    if warm is None:
        raise MeasurementError("the device did not tell how it warmed up")
    times = [sample_times(section.lines)[settling:] for section in rounds]
    return {"warmup_count": int(warm.words[2]), "rounds_ms": times}


def _layers(parts: Sequence[Section], index: int, _: int, job: Job) -> list[dict[str, Any]]:
    """Each layer's time is the mean over rounds of what a round's profile tells."""
    rounds = []
    for section in _of(parts, "profile", index, job):
        try:
            events = json.loads("\n".join(section.lines))
            rounds.append(layer_times(nodes_of(events, int(section.words[2]))))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise MeasurementError("onnxruntime_perf_test wrote no whole profile") from error
    if len({len(rows) for rows in rounds}) != 1:
        raise MeasurementError("the rounds' profiles have different layers")
    return [
        {**rows[0], "latency_ms": statistics.fmean(row["latency_ms"] for row in rows)}
        for rows in zip(*rounds, strict=True)
    ]


def _of(parts: Sequence[Section], kind: str, index: int, job: Job) -> list[Section]:
    rounds = [part for part in parts if part.words[:2] == (kind, str(index))]
    if len(rounds) != job.rounds:
        raise MeasurementError(f"the device answered {len(rounds)} of {job.rounds} rounds")
    return rounds


def _told(section: Section, job: Job) -> EdgeSpiralError:
    """The error that a section with a failure stands for."""
    kind, *words = section.words
    reason = last_words("\n".join(section.lines))
    if kind == "unpinnable":
        what = f"its processes cannot be pinned to cores {', '.join(words)}"
        return TargetError(what, hint="name others in the target's [runtime] affinity")
    if kind == "crowded":
        threads, cores = map(int, words)
        return TargetError(CROWDED.format(threads, cores), hint=FEWER)
    model = str(job.models[int(words[0])])
    if kind == "wordless":
        return MeasurementError(f"onnxruntime_perf_test wrote no times: {reason}", where=model)
    hint = next((hint for words_of, hint in WRONG_TOOL.items() if words_of in reason), None)
    if hint is not None or int(words[1]) in NOT_STARTED:
        return TargetError(f"onnxruntime_perf_test does not run there: {reason}", hint=hint)
    return ModelError(f"cannot be run: exit code {words[1]}: {reason}", where=model)
