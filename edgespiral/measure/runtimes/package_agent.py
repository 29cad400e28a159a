"""Drives a runtime that is a Python package on the device: the request, the turns, the answer.

It lies on the device beside `agent.py` and the agent of that runtime, which says how a model is
loaded and what there is to know of the runtime.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from agent import (  # type: ignore[import-not-found]
    NEWER,
    OLDEST_PYTHON,
    AgentError,
    _one_line,
    device_state,
    document,
    measure,
    pin,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Json = dict[str, Any]
    Load = Callable[[int, Json], Any]
    Facts = Callable[[Json], Json]
    Profile = Callable[[Json], list[Any]]


def run(load: Load, facts: Facts, profile: Profile | None = None) -> None:
    """Do what the request says that the command line names, and print one JSON document.

    Args:
        load: loads a model by its place: `index`, `load_ms`, the names `inputs` and `outputs`,
            `run()` on made-up inputs, and `run_on(sample)` on values by name.
        facts: what there is to know of the runtime, once it is known to be here.
        profile: the nodes of each model, where the runtime tells their times.
    """
    gc.disable()
    # What a package prints by itself, and leaves in its buffer until the end, is no answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        print(json.dumps(answered(sys.argv[1], load, facts, profile)), file=answers, flush=True)
    except AgentError as problem:
        print(json.dumps({"error": problem.document}), file=answers, flush=True)
        sys.exit(1)


def answered(request_path: str, load: Load, facts: Facts, profile: Profile | None = None) -> Json:
    """Do what the request says and return the document to print."""
    if sys.version_info < OLDEST_PYTHON:
        raise AgentError("target", f"Python {platform.python_version()} is too old", hint=NEWER)
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    root = Path(request["system_root"])
    # Before the runtime is loaded: its threads inherit the cores.
    cores = pin(request["affinity"], root)
    runtime = facts(request)
    before = device_state(root)
    if request["mode"] == "profile" and profile is not None:
        key, answers = "nodes", profile(request)
    elif request["mode"] == "outputs":
        key, answers = "outputs", _outputs(request, load)
    else:
        key, answers = "samples", measure(request, load)
    return {**document(runtime, request, cores, root), "before": before, key: answers}


def entries(shapes: Json, kind: str = "float") -> list[Any]:
    """Inputs as `agent.random_inputs` reads them, all of one kind."""
    return [
        SimpleNamespace(name=name, shape=shape, type=f"tensor({kind})")
        for name, shape in shapes.items()
    ]


def missing(package: str, extra: str, error: ImportError) -> AgentError:
    """That a runtime's package is not on this device; here an extra brings it."""
    hint = f"install {package} for the Python that runs there; here edgespiral[{extra}] does"
    return AgentError("target", _one_line(error), hint=hint)


def _outputs(request: Json, load: Load) -> list[Json]:
    """Files with what each model computes."""
    from outputs_agent import computed  # type: ignore[import-not-found]

    models = [load(index, request) for index in range(len(request["models"]))]
    return [
        computed(model.index, request, model.run_on, model.inputs, model.outputs)
        for model in models
    ]
