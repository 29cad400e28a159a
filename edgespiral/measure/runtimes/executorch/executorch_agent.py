"""Runs programs by ExecuTorch: `executorch_agent.py request.json` prints one JSON document.

It lies on the device beside `agent.py`, whose clock, rounds and inputs it uses, and needs NumPy,
PyTorch and ExecuTorch's Python package. A model is a folder with its program.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

# A Python in its isolated or safe mode does not look beside the program by itself.
sys.path.insert(0, str(Path(__file__).parent))

from agent import (  # type: ignore[import-not-found]
    AgentError,
    Process,
    float_entries,
    measure,
    one_line,
    random_inputs,
    serve,
)

if TYPE_CHECKING:
    Json = dict[str, Any]


class Loaded:
    """One program, ready to run on made-up inputs, or on those of `run_on`."""

    def __init__(self, index: int, request: Json) -> None:
        self.index = index
        about = request["about"][index]
        self.inputs, self.outputs = list(about["inputs"]), about["outputs"]
        start = perf_counter_ns()
        self._program, self._method = _method(Path(request["models"][index]) / "model.pte", index)
        self.load_ms = (perf_counter_ns() - start) / 1e6
        self._fed = self._tensors(random_inputs(index, float_entries(about["inputs"]), {}))

    def run(self) -> None:
        """One inference."""
        self._method.execute(self._fed)

    def run_on(self, sample: Json) -> list[Any]:
        """The outputs for values by the inputs' names."""
        values = self._method.execute(self._tensors(sample))
        if len(values) != len(self.outputs):
            raise RuntimeError(f"gives {len(values)} outputs of {len(self.outputs)}")
        return [value.numpy().copy() for value in values]

    def _tensors(self, sample: Json) -> list[Any]:
        import numpy as np
        import torch

        return [torch.from_numpy(np.ascontiguousarray(sample[name])) for name in self.inputs]


def main(request: Json) -> Json:
    """Do what the request says and return the document to print."""
    process = Process(request)
    _use_threads(request["threads"])
    kernels = {name for about in request["about"] for name in about["kernels"]}
    runtime = {
        "runtime": "executorch",
        "runtime_version": version("executorch"),
        "provider": " + ".join(sorted(kernels)) or "none",
        "float_precision": "fp32",
    }
    if request["mode"] == "outputs":
        from agent_outputs import all_computed  # type: ignore[import-not-found]

        answers = {"outputs": all_computed(request, Loaded)}
    else:
        answers = {"samples": measure(request, Loaded)}
    return {**process.document(runtime), **answers}


def _use_threads(count: int) -> None:
    """Let ExecuTorch's kernels and PyTorch have as many threads as are asked for.

    Subnormal numbers are flushed, as for ONNX Runtime.
    """
    try:
        import torch

        portable_lib = _bindings()
    except ImportError as error:
        hint = "install executorch for the Python that runs there; here edgespiral[executorch] does"
        raise AgentError("target", one_line(error), hint=hint) from error
    torch.set_num_threads(count)
    torch.set_flush_denormal(True)
    portable_lib._unsafe_reset_threadpool(count)
    threads = portable_lib._threadpool_get_thread_count()
    if threads != count:
        raise AgentError("target", f"ExecuTorch has {threads} threads here, not {count}")


def _bindings() -> Any:  # noqa: ANN401
    """ExecuTorch's bindings, imported without its exporter where they do without.

    They take a warning's class from it, and all of it takes three times as long to import as all
    else here, at each start of this process.
    """
    import importlib
    from importlib.util import find_spec
    from types import ModuleType

    name, exporter = "executorch.extension.pybindings.portable_lib", "executorch.exir"
    spec = find_spec(exporter.partition(".")[0])
    hollow = ModuleType(exporter)
    hollow.__path__ = [
        f"{place}/exir" for place in (spec and spec.submodule_search_locations) or ()
    ]
    sys.modules.setdefault(exporter, hollow)
    try:
        bindings = importlib.import_module(name)
        importlib.import_module("executorch.runtime")
    except (ImportError, AttributeError):
        del sys.modules[exporter]
        bindings = importlib.import_module(name)
    return bindings


def _method(path: Path, index: int) -> tuple[Any, Any]:
    """A program and its forward; the program has the memory that this runs in."""
    from executorch.runtime import Runtime

    try:
        program = Runtime.get().load_program(path)
        return program, program.load_method("forward")
    except Exception as error:
        raise AgentError("model", f"cannot be loaded: {one_line(error)}", model=index) from error


if __name__ == "__main__":
    serve(main)
