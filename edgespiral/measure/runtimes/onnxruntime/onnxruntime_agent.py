"""Runs ONNX models by ONNX Runtime: `onnxruntime_agent.py request.json` prints one JSON document.

It lies on the device beside `agent.py`, whose clock, rounds and inputs it uses, and needs NumPy and
ONNX Runtime's Python package.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

# A Python in its isolated or safe mode does not look beside the program by itself.
sys.path.insert(0, str(Path(__file__).parent))

from agent import (  # type: ignore[import-not-found]
    CPU,
    AgentError,
    Process,
    measure,
    nodes_of,
    one_line,
    package,
    profile_runs,
    random_inputs,
    serve,
)

if TYPE_CHECKING:
    Json = dict[str, Any]


class Loaded:
    """One model in a session of its own, ready to run on fixed random inputs."""

    def __init__(self, index: int, request: Json) -> None:
        self.index = index
        start = perf_counter_ns()
        self.session = _open(index, request)
        self.load_ms = (perf_counter_ns() - start) / 1e6
        feeds = random_inputs(index, self.session.get_inputs(), request["shapes"])
        # Binding keeps the conversion of inputs and outputs from and to NumPy out of the times.
        self.binding = self.session.io_binding()
        for name, values in feeds.items():
            self.binding.bind_cpu_input(name, values)
        for output in self.session.get_outputs():
            self.binding.bind_output(output.name)

    def run(self) -> None:
        """One inference."""
        self.session.run_with_iobinding(self.binding)


def main(request: Json) -> Json:
    """Do what the request says and return the document to print."""
    process = Process(request)
    if request["mode"] == "outputs":
        answers = {"outputs": outputs(request)}
    else:
        with tempfile.TemporaryDirectory(prefix="edgespiral-profile-") as folder:
            answers = timed({**request, "profile_folder": folder})
    runtime = {
        "runtime": request.get("runtime", "onnxruntime"),
        "runtime_version": package("onnxruntime").__version__,
        "provider": request["provider"],
    }
    return {**process.document(runtime), **answers}


def timed(request: Json) -> Json:
    """Samples or nodes of each model, and what ran its nodes."""
    where = placed(request)
    if request["mode"] == "profile":
        return {"placed": where, "nodes": profile(request)}
    return {"placed": where, "samples": measure(request, Loaded)}


def outputs(request: Json) -> list[Json]:
    """Files with what each model computes."""
    return [_computed(index, request) for index in range(len(request["models"]))]


def _computed(index: int, request: Json) -> Json:
    from agent_outputs import computed  # type: ignore[import-not-found]

    session = _open(index, request)
    inputs, outputs = (
        [value.name for value in values] for values in (session.get_inputs(), session.get_outputs())
    )
    file: Json = computed(index, request, lambda row: session.run(None, row), inputs, outputs)
    return file


def placed(request: Json) -> list[list[Json]]:
    """The nodes of each model with what ran them, unless only the CPU could.

    A session that has a provider leaves what that cannot run to the CPU, without a word.
    """
    few = {**request, "mode": "profile", "rounds": 1}
    return [] if request["provider"] == CPU else profile(few)


def profile(request: Json) -> list[list[Json]]:
    """The nodes of each model with their times, from ONNX Runtime's own profiler."""
    models = profile_runs(request, Loaded)
    return [_profiled(model, count * request["rounds"]) for model, count in models]


def _profiled(model: Loaded, runs: int) -> list[Json]:
    file = Path(model.session.end_profiling())
    events = json.loads(file.read_text(encoding="utf-8"))
    # Another session of this second would write to the same name.
    file.unlink()
    nodes: list[Json] = nodes_of(events, runs)
    return nodes


def _open(index: int, request: Json) -> Any:  # noqa: ANN401
    ort = package("onnxruntime")
    provider = request["provider"]
    available = ort.get_available_providers()
    if provider not in available:
        hint = f"this ONNX Runtime has: {', '.join(available)}"
        raise AgentError("target", f"{provider} does not run here", hint=hint)
    options = ort.SessionOptions()
    options.intra_op_num_threads = request["session_threads"]
    options.log_severity_level = 4
    # Subnormal weights can make a trained net ten times slower; a deployment would flush them too.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    if request["mode"] == "profile":
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(request["profile_folder"]) / f"model-{index}")
    path, providers = request["models"][index], [(provider, request["provider_options"])]
    try:
        return ort.InferenceSession(path, options, providers=providers, enable_fallback=0)
    except Exception as error:
        raise AgentError("model", f"cannot be loaded: {one_line(error)}", model=index) from error


if __name__ == "__main__":
    serve(main)
