"""What `benchmark_model` prints on a device, read without one.

Of its inferences it tells a count and a mean, to six digits, in two lines that agree; which
delegate took how much of the model; and, in a profile of its own, which operators it did not take.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import MeasurementError, TargetError
from edgespiral.measure.runtimes.litert.placement import DELEGATE, require_no_layers
from edgespiral.measure.runtimes.native.output import (
    about_device,
    warmup_count,
    whole_sections,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Job
    from edgespiral.measure.runtimes.native.output import Section

    Json = dict[str, Any]

TOOL = "benchmark_model"
WRONG_TOOL = dict.fromkeys(
    ("Unconsumed cmdline flags", "Failed to parse flag"),
    "it lacks a flag: take that of a later LiteRT",
)
NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,12})?(?:e\+?[0-9]{1,2})?)"
PREFIX = "(?:INFO: )?"
# With one inference, or where all take as long as each other, there is no more to tell.
ALIKE = re.compile(rf"{PREFIX}count=([0-9]+) curr=([0-9]+)(?:\(all same\))?")
VARIED = re.compile(
    rf"{PREFIX}count=([0-9]+) first=[0-9]+ curr=[0-9]+ min=[0-9]+ max=[0-9]+ avg={NUMBER} "
    r"std=[0-9.e+]+(?: p5=[0-9]+ median=[0-9]+ p95=[0-9]+)?"
)
SUMMARY = re.compile(rf"{PREFIX}Inference timings in us: .*Inference \(avg\): {NUMBER}")
LOADED = re.compile(rf"{PREFIX}Initialized session in {NUMBER}ms\.")
THREADS = re.compile(rf"{PREFIX}Num threads: \[([0-9]+)\]")
APPLIED = re.compile(
    r"applied (\w+) delegate, and the model graph will be (?:completely|partially) executed"
)
# Before it is what loading took; after the tables of the model's graphs come those of delegates.
REGULAR, DELEGATES_OWN = "Regular Benchmark Runs", "Delegate internal"
RUN_ORDER, OTHER_TABLE = re.compile("=+ Run Order =+"), re.compile("=+ ")
TYPE, NAME = "node type", "name"
# Of the mean, as it is printed with six digits and here added up of a count.
SAME = 1e-5


def benchmark_document(completed: Completed, job: Job, delegate: str, threads: int) -> Json:
    """Device, states and samples or outputs, as an agent would have told them.

    Beside them are `pinned` and `provider`: whose kernels ran the models.

    Args:
        completed: of the script.
        job: what was asked.
        delegate: that was to run them, as the program calls it.
        threads: that it was to have.

    Raises:
        ModelError: the program failed on a model.
        TargetError: it cannot be used there, lacks a flag, or the delegate does not run all layers
            with weights.
        MeasurementError: the output is not whole.
    """
    parts = whole_sections(completed, job, TOOL, WRONG_TOOL)
    kernels: set[str] = set()
    for index, model in enumerate(job.models):
        kernels |= _kernels(parts, index, model, delegate, threads)
    answers = _computed if job.mode == "outputs" else _samples
    return {
        **about_device(parts),
        "provider": " + ".join(sorted(kernels, key=lambda name: name != delegate)),
        "outputs" if job.mode == "outputs" else "samples": [
            answers(parts, index) for index in range(len(job.models))
        ],
    }


def mean_ms(lines: Sequence[str], count: int) -> float:
    """The mean of a start's inferences.

    Args:
        lines: that the program printed.
        count: how many it was to time.

    Raises:
        MeasurementError: it tells of none, of another number, or of two means.
    """
    told = [_counted(line) for line in lines]
    counts = [entry for entry in told if entry is not None]
    summaries = [match[1] for line in lines if (match := SUMMARY.fullmatch(line.strip()))]
    if not counts or len(summaries) != 1:
        raise MeasurementError("benchmark_model wrote no mean of its runs")
    timed, mean_us = counts[-1]
    if timed != count:
        raise MeasurementError(f"benchmark_model timed {timed} runs of {count}")
    if abs(float(summaries[0]) - mean_us) > SAME * mean_us:
        raise MeasurementError(f"benchmark_model tells two means: {mean_us:g} and {summaries[0]}")
    return mean_us / 1e3


def operators_left(lines: Iterable[str]) -> list[Json]:
    """The operators of a model that no delegate runs, from the program's profile.

    Raises:
        MeasurementError: there is no such table.
    """
    names: list[str] = []
    rows: list[Json] = []
    is_regular = is_inside = False
    for line in lines:
        is_regular = is_regular or REGULAR in line
        if not is_regular or not line.strip():
            continue
        if line.startswith(DELEGATES_OWN):
            break
        if OTHER_TABLE.match(line):
            is_inside, names = bool(RUN_ORDER.match(line)), []
        elif is_inside and not names:
            names = [name.strip() for name in line.split(",")]
        elif is_inside:
            row = dict(zip(names, [cell.strip() for cell in line.split(",")], strict=True))
            rows.append({"op_name": row[TYPE], "name": row[NAME]})
    if not rows:
        raise MeasurementError("benchmark_model wrote no profile of the operators")
    return [entry for entry in rows if not DELEGATE.search(entry["op_name"])]


def _counted(line: str) -> tuple[int, float] | None:
    """How many runs a line tells of, and their mean in microseconds."""
    match = VARIED.fullmatch(line.strip()) or ALIKE.fullmatch(line.strip())
    return None if match is None else (int(match[1]), float(match[2]))


def _kernels(
    parts: Sequence[Section], index: int, model: Path, delegate: str, threads: int
) -> set[str]:
    """Whose kernels run a model: the delegate's, and others of operators without weights."""
    lines = _of(parts, "placed", index)[0].lines
    text = "\n".join(lines)
    told = [int(match[1]) for line in lines if (match := THREADS.fullmatch(line.strip()))]
    if told != [threads]:
        raise MeasurementError(f"benchmark_model does not say that it has {threads} threads")
    if delegate not in APPLIED.findall(text):
        raise TargetError(
            f"the delegate {delegate} runs none of it",
            where=str(model),
            hint="build benchmark_model with that delegate, or name another one",
        )
    left = operators_left(_of(parts, "operators", index)[0].lines)
    require_no_layers(left, model, delegate)
    return {delegate, "built-in"} if left else {delegate}


def _samples(parts: Sequence[Section], index: int) -> Json:
    rounds_ms: list[list[float]] = []
    loads_ms: list[float] = []
    # A round's samples follow it.
    for part in parts:
        if part.words[:2] == ("round", str(index)):
            rounds_ms.append([])
        elif part.words[:2] == ("sample", str(index)):
            if len(rounds_ms) > len(loads_ms):
                loads_ms.append(_load_ms(part.lines))
            rounds_ms[-1].append(mean_ms(part.lines, int(part.words[2])))
    count = warmup_count(parts, index)
    return {"warmup_count": count, "loads_ms": loads_ms, "rounds_ms": rounds_ms}


def _load_ms(lines: Iterable[str]) -> float:
    found = [match[1] for line in lines if (match := LOADED.fullmatch(line.strip()))]
    if len(found) != 1:
        raise MeasurementError("benchmark_model does not tell how long it loaded")
    return float(found[0])


def _computed(parts: Sequence[Section], index: int) -> Json:
    [section] = _of(parts, "computed", index)
    return {"file": f"outputs-{index}.npy", "samples": int(section.words[2])}


def _of(parts: Sequence[Section], kind: str, index: int) -> list[Section]:
    """The one section of a kind that a model has.

    Raises:
        MeasurementError: it has none, or several.
    """
    own = [part for part in parts if part.words[:2] == (kind, str(index))]
    if len(own) != 1:
        raise MeasurementError(f"the device told {len(own)} times what it {kind}")
    return own
