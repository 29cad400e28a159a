"""Reading what an agent printed: one JSON document on its last line, an answer or an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from edgespiral.core.errors import (
    EdgeSpiralError,
    MeasurementError,
    ModelError,
    TargetError,
    UsageError,
)
from edgespiral.measure.runtimes.base import Answer

if TYPE_CHECKING:
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Job

# What runs on the device: pushed along with the models.
AGENT = Path(__file__).with_name("agent.py")
ERRORS: dict[str, type[EdgeSpiralError]] = {
    "measurement": MeasurementError,
    "model": ModelError,
    "target": TargetError,
    "usage": UsageError,
}


def agent_document(completed: Completed, job: Job) -> dict[str, Any]:
    """The document that an agent printed.

    Raises:
        ModelError, TargetError, UsageError: what the agent says is wrong.
        MeasurementError: there is no whole document.
    """
    last_line = (completed.stdout.strip().splitlines() or [""])[-1]
    try:
        document = json.loads(last_line)
    except ValueError as error:
        raise _no_answer(completed) from error
    if not isinstance(document, dict):
        raise _no_answer(completed)
    if "error" in document:
        raise _told(document["error"], job)
    return document


def whole_answer(document: dict[str, Any], job: Job) -> Answer:
    """The answer in a document; it has an entry for every model.

    Raises:
        MeasurementError: it is not valid or not whole.
    """
    try:
        # As JSON, which is what it was: there, lists are as good as tuples.
        answer = Answer.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise MeasurementError(f"the device's answer is not valid: {_first(error)}") from error
    kinds = {"measure": answer.samples, "profile": answer.layers, "build": answer.engines}
    answered = len(kinds[job.mode])
    if answered != len(job.models):
        raise MeasurementError(f"the device answered for {answered} of {len(job.models)} models")
    return answer


def _no_answer(completed: Completed) -> MeasurementError:
    return MeasurementError(
        f"the measuring process {completed.failure()}",
        hint="is there enough memory and space on the device? edgespiral targets check NAME",
    )


def _told(told: dict[str, str | int | None], job: Job) -> EdgeSpiralError:
    index = told["model"]
    return ERRORS[str(told["kind"])](
        str(told["what"]),
        where=str(job.models[index]) if isinstance(index, int) else None,
        hint=str(told["hint"]) or None,
    )


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
