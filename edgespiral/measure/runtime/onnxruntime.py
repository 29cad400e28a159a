"""ONNX Runtime through its Python package, by the agent that is pushed along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edgespiral.core.errors import (
    EdgeSpiralError,
    MeasurementError,
    ModelError,
    TargetError,
    UsageError,
)
from edgespiral.measure.model_files import model_files
from edgespiral.measure.runtime.base import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.core.profile import TargetProfile
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtime.base import Job

AGENT = Path(__file__).parents[1] / "agent.py"
REQUEST = "request.json"
ERRORS: dict[str, type[EdgeSpiralError]] = {
    "model": ModelError,
    "target": TargetError,
    "usage": UsageError,
}


class OnnxRuntime:
    """Runs the agent.

    Args:
        threads: threads inside an operator.
        provider: the execution provider that must run the model.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    def __init__(self, threads: int, provider: str, *, system_root: str = "/") -> None:
        self._settings = {"threads": threads, "provider": provider, "system_root": system_root}

    @classmethod
    def from_profile(cls, profile: TargetProfile) -> OnnxRuntime:
        """The runtime that a profile describes."""
        return cls(profile.runtime.threads, profile.runtime.provider)

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """The agent, the models with what belongs to them, and the request."""
        pushed: dict[str, Path | str] = {"agent.py": AGENT}
        names = []
        for index, model in enumerate(job.models):
            parts = model_files(model)
            pushed |= {f"model-{index}/{name}": path for name, path in parts.items()}
            names.append(f"model-{index}/{model.name}")
        request = {
            **self._settings,
            "mode": job.mode,
            "models": names,
            "shapes": {name: list(shape) for name, shape in job.shapes.items()},
            "rounds": job.rounds,
            "round_ms": job.round_ms,
            "warmup_ms": job.warmup_ms,
            "min_round_samples": job.min_round_samples,
            "max_round_samples": job.max_round_samples,
        }
        return {**pushed, REQUEST: json.dumps(request)}

    def argv(self, python: str) -> list[str]:
        """The agent, with its request."""
        return [python, "agent.py", REQUEST]

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, which is the last line that it prints."""
        last_line = (completed.stdout.strip().splitlines() or [""])[-1]
        try:
            document = json.loads(last_line)
        except ValueError as error:
            raise _no_answer(completed) from error
        if not isinstance(document, dict) or "error" in document:
            raise _told(document, job) if isinstance(document, dict) else _no_answer(completed)
        try:
            answer = Answer.model_validate_json(last_line)
        except ValidationError as error:
            raise MeasurementError(f"the device's answer is not valid: {_first(error)}") from error
        answered = len(answer.layers if job.mode == "profile" else answer.samples)
        if answered != len(job.models):
            raise MeasurementError(
                f"the device answered for {answered} of {len(job.models)} models"
            )
        return answer


def _no_answer(completed: Completed) -> MeasurementError:
    return MeasurementError(
        f"the measuring process {completed.failure()}",
        hint="is there enough memory on the device? edgespiral targets check NAME",
    )


def _told(document: dict[str, dict[str, str | int | None]], job: Job) -> EdgeSpiralError:
    told = document["error"]
    index = told["model"]
    return ERRORS[str(told["kind"])](
        str(told["what"]),
        where=str(job.models[index]) if isinstance(index, int) else None,
        hint=str(told["hint"]) or None,
    )


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
