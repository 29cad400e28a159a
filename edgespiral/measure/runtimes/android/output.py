"""What `onnxruntime_perf_test` writes on a device, read without one.

Its result file has a line for each inference: name, seconds, peak memory in bytes, processor use in
percent, number. Its profile is ONNX Runtime's own. Samples are single inferences, never a summary.
"""

from __future__ import annotations

import json
import re
import statistics
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import MeasurementError
from edgespiral.measure.runtimes.agent import nodes_of
from edgespiral.measure.runtimes.native.output import (
    about_device,
    rounds_of,
    warmup_count,
    whole_sections,
)
from edgespiral.measure.runtimes.onnxruntime.profile import layer_times

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Job
    from edgespiral.measure.runtimes.native.output import Section

TOOL = "onnxruntime_perf_test"
# A model goes by the name of its folder, which is ours.
ROW = re.compile(
    r"[^,]*,((?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,20})?(?:e[-+]?[0-9]{1,2})?),[0-9]+,[0-9.]+,([0-9]{1,9})"
)
# What tells that the tool itself is not right, beside what any program's words tell.
WRONG_TOOL = {
    "Unknown command line flag": "it lacks a flag: take that of a later ONNX Runtime",
    "perf_test --help": "it lacks a flag: take that of a later ONNX Runtime",
    "is not supported in this build": "build it with that execution provider",
}


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
    parts = whole_sections(completed, job, TOOL, WRONG_TOOL)
    read = _layers if job.mode == "profile" else _samples
    return {
        **about_device(parts),
        "layers" if job.mode == "profile" else "samples": [
            read(parts, index, settling, job) for index in range(len(job.models))
        ],
    }


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


def _samples(parts: Sequence[Section], index: int, settling: int, job: Job) -> dict[str, Any]:
    rounds = rounds_of(parts, "round", index, job)
    times = [sample_times(section.lines)[settling:] for section in rounds]
    return {"warmup_count": warmup_count(parts, index), "rounds_ms": times}


def _layers(parts: Sequence[Section], index: int, _: int, job: Job) -> list[dict[str, Any]]:
    """Each layer's time is the mean over rounds of what a round's profile tells."""
    rounds = []
    for section in rounds_of(parts, "profile", index, job):
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
