"""Runs ONNX models on given inputs: `outputs_agent.py request.json` prints one JSON document.

It lies on the device beside `agent.py` and needs what that needs. What a model computes is written
to a file, which the host fetches.
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
    Json = dict[str, Any]


def main(request_path: str) -> Json:
    """Do what the request says and return the document to print."""
    if sys.version_info < OLDEST_PYTHON:
        raise AgentError("target", f"Python {platform.python_version()} is too old", hint=NEWER)
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    root = Path(request["system_root"])
    cores = pin(request["affinity"], root)
    before = device_state(root)
    answers = [computed(index, request) for index in range(len(request["models"]))]
    return {**facts(request, cores, root), "before": before, "outputs": answers}


def computed(index: int, request: Json) -> Json:
    """The file with a model's outputs for the inputs (n, ...), one run for each sample.

    One input and one output are in `.npy` files, several in `.npz` files by their names.

    A slow device stops at the time that it has, and has done the first of them.
    """
    import numpy as np

    session = _open(index, request)
    samples = _samples(request["inputs"], [value.name for value in session.get_inputs()], index)
    count = len(next(iter(samples.values())))
    rows: list[list[Any]] = []
    end_s = monotonic() + request["most_seconds"]
    for at in range(count):
        sample = {name: values[at : at + 1] for name, values in samples.items()}
        rows.append(_row(session, sample, index))
        total_bytes = sum(value.nbytes for value in rows[0]) * count
        if total_bytes > request["most_bytes"]:
            what = f"its outputs take {total_bytes} bytes, {request['most_bytes']} are allowed"
            raise AgentError("model", what, hint="ask for fewer samples", model=index)
        if monotonic() > end_s:
            break
    name = f"outputs-{index}.npy"
    outputs = [np.concatenate(values) for values in zip(*rows, strict=True)]
    with Path(name).open("wb") as file:
        if len(outputs) == 1:
            np.save(file, outputs[0], allow_pickle=False)
        else:
            names = [value.name for value in session.get_outputs()]
            np.savez(file, **dict(zip(names, outputs, strict=True)))
    return {"file": name, "samples": len(rows)}


def _samples(path: str, names: list[str], index: int) -> Json:
    """Values (n, ...) by the names of a model's inputs."""
    import numpy as np

    loaded = np.load(path, allow_pickle=False)
    samples = dict(loaded) if hasattr(loaded, "files") else {names[0]: loaded}
    if set(samples) != set(names):
        what = f"takes {', '.join(names)}, and is given {', '.join(samples)}"
        raise AgentError("model", what, model=index)
    return samples


def _row(session: Any, sample: Json, index: int) -> list[Any]:  # noqa: ANN401
    try:
        return list(session.run(None, sample))
    except Exception as error:
        what = f"cannot be run: {_one_line(error)}"
        raise AgentError("model", what, model=index) from error


if __name__ == "__main__":
    try:
        print(json.dumps(main(sys.argv[1])))  # noqa: T201
    except AgentError as problem:
        print(json.dumps({"error": problem.document}))  # noqa: T201
        sys.exit(1)
