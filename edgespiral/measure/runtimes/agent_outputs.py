"""What agents do to tell what a model computes: run it on given inputs, and write a file.

It is pushed beside `agent.py` where outputs are asked for, and the host fetches the file.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from agent import AgentError, load_all, one_line  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Json = dict[str, Any]
    Run = Callable[[Json], list[Any]]
    Load = Callable[[int, Json], Any]


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


def all_computed(request: Json, load: Load) -> list[Json]:
    """The files of all models, each of which `load` makes with `inputs`, `outputs` and `run_on`."""
    return [
        computed(model.index, request, model.run_on, model.inputs, model.outputs)
        for model in load_all(request, load)
    ]


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
        what = f"cannot be run: {one_line(error)}"
        raise AgentError("model", what, model=index) from error
