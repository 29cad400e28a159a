"""Runs ONNX models on given inputs: `outputs_agent.py request.json` prints one JSON document.

It lies on the device beside `agent.py` and needs what that needs; agents of other runtimes use
`computed`. What a model computes is written to a file, which the host fetches.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from agent import (  # type: ignore[import-not-found]
    NEWER,
    OLDEST_PYTHON,
    AgentError,
    _one_line,
    _open,
    device_state,
    facts,
    pin,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Json = dict[str, Any]
    Run = Callable[[Json], list[Any]]


def main(request_path: str) -> Json:
    """Do what the request says and return the document to print."""
    if sys.version_info < OLDEST_PYTHON:
        raise AgentError("target", f"Python {platform.python_version()} is too old", hint=NEWER)
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    root = Path(request["system_root"])
    cores = pin(request["affinity"], root)
    before = device_state(root)
    answers = [_answer(index, request) for index in range(len(request["models"]))]
    return {**facts(request, cores, root), "before": before, "outputs": answers}


def _answer(index: int, request: Json) -> Json:
    session = _open(index, request)
    inputs, outputs = (
        [value.name for value in values] for values in (session.get_inputs(), session.get_outputs())
    )
    return computed(index, request, lambda sample: list(session.run(None, sample)), inputs, outputs)


def computed(
    index: int, request: Json, run: Run, inputs: Sequence[str], outputs: Sequence[str]
) -> Json:
    """The file with a model's outputs for the inputs (n, ...), one run for each sample.

    One input and one output are in `.npy` files, several in `.npz` files by their names.

    A slow device stops at the time that it has, and has done the first of them.
    """
    import numpy as np

    samples = _samples(request["inputs"], inputs, index)
    count = len(next(iter(samples.values())))
    rows: list[list[Any]] = []
    end_s = monotonic() + request["most_seconds"]
    for at in range(count):
        sample = {name: values[at : at + 1] for name, values in samples.items()}
        rows.append(_row(run, sample, index))
        total_bytes = sum(value.nbytes for value in rows[0]) * count
        if total_bytes > request["most_bytes"]:
            what = f"its outputs take {total_bytes} bytes, {request['most_bytes']} are allowed"
            raise AgentError("model", what, hint="ask for fewer samples", model=index)
        if monotonic() > end_s:
            break
    name = f"outputs-{index}.npy"
    arrays = [np.concatenate(values) for values in zip(*rows, strict=True)]
    with Path(name).open("wb") as file:
        if len(arrays) == 1:
            np.save(file, arrays[0], allow_pickle=False)
        else:
            named: Json = dict(zip(outputs, arrays, strict=True))
            np.savez(file, **named)
    return {"file": name, "samples": len(rows)}


def _samples(path: str, names: Sequence[str], index: int) -> Json:
    """Values (n, ...) by the names of a model's inputs."""
    import numpy as np

    loaded = np.load(path, allow_pickle=False)
    samples = dict(loaded) if hasattr(loaded, "files") else {names[0]: loaded}
    if set(samples) != set(names):
        what = f"takes {', '.join(names)}, and is given {', '.join(samples)}"
        raise AgentError("model", what, model=index)
    return samples


def _row(run: Run, sample: Json, index: int) -> list[Any]:
    try:
        return run(sample)
    except Exception as error:
        what = f"cannot be run: {_one_line(error)}"
        raise AgentError("model", what, model=index) from error


if __name__ == "__main__":
    try:
        print(json.dumps(main(sys.argv[1])))  # noqa: T201
    except AgentError as problem:
        print(json.dumps({"error": problem.document}))  # noqa: T201
        sys.exit(1)
