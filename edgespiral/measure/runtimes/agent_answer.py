"""Reading what a device answers: the one place where it is held to what was asked.

A device may be broken, half updated or not what it says. Whatever it answers, there is a figure of
what was asked for, or one clear error.
"""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zipfile import BadZipFile

from pydantic import Field, ValidationError

from edgespiral.core.errors import (
    EdgeSpiralError,
    MeasurementError,
    ModelError,
    TargetError,
    UsageError,
    first_few,
)
from edgespiral.core.records.schema import Record
from edgespiral.measure.runtimes import base
from edgespiral.measure.runtimes.agent import CROWDED, FEWER
from edgespiral.measure.runtimes.base import Answer
from edgespiral.measure.runtimes.operators import with_layers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Job

# What agents import on the device: pushed along with them.
AGENT, AGENT_OUTPUTS, AGENT_ENERGY = (
    Path(__file__).with_name(f"{name}.py") for name in ("agent", "agent_outputs", "agent_energy")
)
ERRORS: dict[str, type[EdgeSpiralError]] = {
    "measurement": MeasurementError,
    "model": ModelError,
    "target": TargetError,
    "usage": UsageError,
}
NOT_VALID = "the device's answer is not valid"
LONGEST_ANSWER, LONGEST_LINE = 512 * 2**20, 1000
# What an answer that cannot be read does to its reader.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
# How much longer than the call all samples may be together: two clocks are never quite alike.
CLOCKS_APART = 1.02


class AgentProblem(Record):
    """What a device says is wrong."""

    kind: Literal["measurement", "model", "target", "usage"]
    what: Annotated[str, Field(min_length=1)]
    hint: str
    model: Annotated[int, Field(ge=0)] | None


@contextmanager
def reading() -> Iterator[None]:
    """Inside, what an answer is read by; what it breaks over is the answer's fault.

    Raises:
        MeasurementError: the answer is not valid.
    """
    try:
        yield
    except ValidationError as error:
        raise MeasurementError(f"{NOT_VALID}: {_first(error)}") from error
    except UNREADABLE as error:
        raise MeasurementError(NOT_VALID) from error


def agent_document(completed: Completed, job: Job) -> dict[str, Any]:
    """The document that an agent printed, one JSON document on its last line.

    Raises:
        ModelError, TargetError, UsageError: what the agent says is wrong.
        MeasurementError: there is no whole document, or the agent says so.
    """
    last_line = (completed.stdout.strip().splitlines() or [""])[-1]
    if len(last_line) > LONGEST_ANSWER:
        raise MeasurementError(f"the device's answer is longer than {LONGEST_ANSWER >> 20} MiB")
    try:
        document = json.loads(last_line)
    except RecursionError as error:
        raise MeasurementError(NOT_VALID) from error
    except ValueError as error:
        raise _no_answer(completed) from error
    if not isinstance(document, dict):
        raise _no_answer(completed)
    if "error" in document:
        with reading():
            raise _told(AgentProblem.model_validate(document["error"], strict=True), job)
    return document


def whole_answer(
    document: dict[str, Any],
    job: Job,
    *,
    expected: Mapping[str, object] | None = None,
    most_round_samples: int | None = None,
) -> Answer:
    """The answer in a document; it has all that was asked for, for every model.

    Args:
        document: read from JSON.
        job: what was asked.
        expected: facts of the runtime that were asked for, by name.
        most_round_samples: where that is not the job's.

    Raises:
        MeasurementError: it is not valid or not whole.
    """
    with reading():
        # As JSON, which is what it was: there, lists are as good as tuples.
        answer = Answer.model_validate_json(json.dumps(document), strict=True)
    kinds = {
        "measure": answer.samples,
        "profile": answer.layers,
        "build": answer.engines,
        "outputs": answer.outputs,
    }
    answered = len(kinds[job.mode])
    if answered != len(job.models):
        raise MeasurementError(f"the device answered for {answered} of {len(job.models)} models")
    for name, wanted in (expected or {}).items():
        value = getattr(answer.runtime, name)
        if value != wanted:
            raise MeasurementError(f"{NOT_VALID}: its {name} is {value}, asked for was {wanted}")
    if job.mode == "measure":
        _check_rounds(answer, job, most_round_samples or job.max_round_samples)
    _check_shapes(answer)
    return answer


def check_clock(answer: Answer, elapsed_s: float, overlap: float = 1.0) -> None:
    """Refuse samples and layers that took longer than the call that asked for them.

    Args:
        answer: of the device.
        elapsed_s: that the call took.
        overlap: how many inferences the runtime has under way at once, see `Capabilities`.

    Raises:
        MeasurementError: they did.
    """
    most_ms = 1e3 * elapsed_s * CLOCKS_APART * overlap
    sampled_ms = math.fsum(
        ms for model in answer.samples for times in model.rounds_ms for ms in times
    )
    layers_ms = math.fsum(layer.latency_ms for layers in answer.layers for layer in layers)
    loads_ms = math.fsum(ms for model in answer.samples for ms in model.loads_ms)
    spent_s = math.fsum(model.energy.seconds for model in answer.samples if model.energy)
    told_ms = max(sampled_ms + loads_ms + 1e3 * spent_s, layers_ms)
    if told_ms > most_ms:
        what = (
            f"it tells of {told_ms / 1e3:.3g} s of inference, and was asked {elapsed_s:.3g} s ago"
        )
        raise MeasurementError(f"{NOT_VALID}: {what}")


def check_threads(threads: int, cores: int) -> None:
    """Refuse figures of threads that waited for each other.

    Agents refuse it before anything is timed; this is for runtimes that have none.

    Raises:
        TargetError: there are more of them than cores.
    """
    if threads > cores:
        raise TargetError(CROWDED.format(threads, cores), hint=FEWER)


def check_computed(answer: Answer, job: Job, elapsed_s: float) -> None:
    """Refuse outputs for more samples than were sent, or for fewer without want of time.

    Args:
        answer: of the device.
        job: what was asked.
        elapsed_s: that the call took.

    Raises:
        MeasurementError: they are.
    """
    for model, computed in zip(job.models, answer.outputs, strict=True):
        had_time = elapsed_s * CLOCKS_APART < base.MOST_OUTPUT_SECONDS
        least = job.input_count if had_time else 1
        if not least <= computed.samples <= job.input_count:
            what = (
                f"{computed.samples} outputs after {elapsed_s:.3g} s, of {job.input_count} samples"
            )
            raise MeasurementError(f"{NOT_VALID}: {what}", where=str(model))


def row_count(file: Path) -> int:
    """How many rows the array of numbers in a file has, or each of several.

    Raises:
        MeasurementError: there is none, or they have different numbers of rows.
    """
    import numpy as np

    try:
        # One array by itself is not read beyond its head.
        loaded = np.load(file, mmap_mode="r", allow_pickle=False)
        is_one = isinstance(loaded, np.ndarray)
        arrays = [loaded] if is_one else [loaded[name] for name in loaded.files]
    except (OSError, ValueError, EOFError, MemoryError, BadZipFile) as error:
        raise MeasurementError("holds no array", where=file.name) from error
    if not arrays or any(array.dtype.kind not in "biuf" or not array.ndim for array in arrays):
        raise MeasurementError("holds no rows of numbers", where=file.name)
    counts = {len(array) for array in arrays}
    if len(counts) > 1:
        raise MeasurementError("its arrays have different numbers of rows", where=file.name)
    return counts.pop()


def finite_number(value: object) -> float:
    """A number of an answer: no text, no truth value, no NaN and no infinity.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"not a number: {str(value)[:80]}")
    return float(value)


def _check_rounds(answer: Answer, job: Job, most: int) -> None:
    least = min(job.min_round_samples, job.max_round_samples)
    for model, samples in zip(job.models, answer.samples, strict=True):
        counts = [len(times) for times in samples.rounds_ms]
        if len(counts) != job.rounds:
            what = f"the device answered {len(counts)} of {job.rounds} rounds"
            raise MeasurementError(what, where=str(model))
        if samples.loads_ms and len(samples.loads_ms) != job.rounds:
            what = f"{NOT_VALID}: {len(samples.loads_ms)} times to load in {job.rounds} rounds"
            raise MeasurementError(what, where=str(model))
        if not least <= min(counts) <= max(counts) <= most:
            what = (
                f"{min(counts)} to {max(counts)} samples a round, asked for were {least} to {most}"
            )
            raise MeasurementError(f"{NOT_VALID}: {what}", where=str(model))


def _check_shapes(answer: Answer) -> None:
    for layer in (layer for layers in answer.layers for layer in layers):
        shapes = (*layer.input_shape, *layer.weight_shape, *layer.output_shape)
        if any(size < 1 for size in shapes):
            raise MeasurementError(
                f"{NOT_VALID}: a layer has the sizes {first_few([*map(str, shapes)])}"
            )


def _no_answer(completed: Completed) -> MeasurementError:
    return MeasurementError(
        f"the measuring process {completed.failure()}",
        hint="is there enough memory and space on the device? edgespiral targets check NAME",
    )


def _told(problem: AgentProblem, job: Job) -> EdgeSpiralError:
    what, hint = _line(problem.what), _line(problem.hint) or None
    if problem.model is None:
        return ERRORS[problem.kind](what, hint=hint)
    model = job.models[problem.model]
    return ERRORS[problem.kind](with_layers(what, model), where=str(model), hint=hint)


def _line(text: str) -> str:
    return " ".join(text[:LONGEST_LINE].split())


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"[:300]
