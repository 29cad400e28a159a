"""Runs ONNX models by OpenVINO: `openvino_agent.py request.json` prints one JSON document.

It lies on the device beside `agent.py`, whose clock, rounds and inputs it uses, and needs NumPy and
OpenVINO's Python package.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

# A Python in its isolated or safe mode does not look beside the program by itself.
sys.path.insert(0, str(Path(__file__).parent))

from agent import (  # type: ignore[import-not-found]
    AgentError,
    Process,
    measure,
    one_line,
    package,
    profile_runs,
    random_inputs,
    serve,
)

if TYPE_CHECKING:
    Json = dict[str, Any]

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
# What the device's own list of abilities calls them.
ABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16"}
# Layers with weights, by the names that the compiled model has for them.
HEAVY = ("Convolution", "FullyConnected", "RNNSeq", "RNNCell")
QUANTISED = ("FakeQuantize", "QuantizeLinear", "DequantizeLinear")
EIGHT_BITS = ("i8", "u8")
NAMED = 3
# Where in OpenVINO's own source something was found wrong, before what is wrong.
PLACES = re.compile(r"^(Exception from|Check '.*' failed at) .*")


class Loaded:
    """One model, compiled and ready to run on fixed random inputs, or on those of `run_on`."""

    def __init__(self, index: int, request: Json) -> None:
        self.index = index
        start = perf_counter_ns()
        model = _read(index, request)
        read_ms = (perf_counter_ns() - start) / 1e6
        entries = [_entry(value) for value in model.inputs]
        self.inputs = [entry.name for entry in entries]
        self.outputs = [_name(value) for value in model.outputs]
        feeds = {}
        if request["mode"] != "outputs":
            feeds = random_inputs(index, entries, request["shapes"])
            if model.is_dynamic():
                model.reshape({name: list(values.shape) for name, values in feeds.items()})
        start = perf_counter_ns()
        self.compiled = _compiled(model, index, request)
        self.load_ms = read_ms + (perf_counter_ns() - start) / 1e6
        self._inference = self.compiled.create_infer_request()
        for position, name in enumerate(self.inputs if feeds else ()):
            self._inference.set_input_tensor(position, _tensor(feeds[name]))

    def run(self) -> None:
        """One inference."""
        self._inference.infer()

    def run_on(self, sample: Json) -> list[Any]:
        """The outputs for values by the inputs' names."""
        for position, name in enumerate(self.inputs):
            self._inference.set_input_tensor(position, _tensor(sample[name]))
        self.run()
        count = len(self.outputs)
        return [self._inference.get_output_tensor(i).data.copy() for i in range(count)]


def main(request: Json) -> Json:
    """Do what the request says and return the document to print."""
    process = Process(request)
    provider = _provider(request)
    key, answers = ANSWERS[request["mode"]](request)
    runtime = {
        "runtime": "openvino",
        "runtime_version": _openvino().__version__.partition("-")[0],
        "provider": provider,
        "float_precision": request["inference_precision"],
    }
    return {**process.document(runtime), key: answers}


def measured(request: Json) -> tuple[str, list[Json]]:
    """Samples of each model."""
    return "samples", measure(request, Loaded)


def profiled(request: Json) -> tuple[str, list[list[Json]]]:
    """The layers of each model with their mean time, as OpenVINO's own counters have it."""
    models = profile_runs(request, Loaded)
    return "nodes", [_nodes(model.compiled) for model, _ in models]


def outputs(request: Json) -> tuple[str, list[Json]]:
    """Files with what each model computes."""
    from agent_outputs import all_computed  # type: ignore[import-not-found]

    return "outputs", all_computed(request, Loaded)


ANSWERS = {"measure": measured, "profile": profiled, "outputs": outputs}


def _provider(request: Json) -> str:
    """The device asked for, which is there and has the precision asked for, and that precision."""
    device, precision = request["device"], request["inference_precision"]
    core = _openvino().Core()
    there = core.available_devices
    if not any(device in (name, name.partition(".")[0]) for name in there):
        hint = f"this OpenVINO has: {', '.join(there) or 'none'}"
        raise AgentError("target", f"the device {device} is not here", hint=hint)
    able = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    if ABILITIES[precision] not in able:
        hint = f"this {device} computes in: {', '.join(able)}"
        raise AgentError("target", f"{device} does not compute in {precision}", hint=hint)
    return f"{device} {HINTS[precision]}"


def _read(index: int, request: Json) -> Any:  # noqa: ANN401
    try:
        return _openvino().Core().read_model(request["models"][index])
    except Exception as error:
        raise AgentError("model", f"cannot be loaded: {_reason(error)}", model=index) from error


def _compiled(model: Any, index: int, request: Json) -> Any:  # noqa: ANN401
    device, hint = request["device"], HINTS[request["inference_precision"]]
    options: Json = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
    if device == "CPU":
        options |= {
            "INFERENCE_NUM_THREADS": request["threads"],
            "NUM_STREAMS": 1,
            # As for ONNX Runtime: threads are kept to cores by the target's affinity alone, and
            # subnormal weights are flushed.
            "ENABLE_CPU_PINNING": False,
            "CPU_DENORMALS_OPTIMIZATION": True,
        }
    if request["mode"] == "profile":
        options["PERF_COUNT"] = True
    try:
        compiled = _openvino().Core().compile_model(model, device, options)
    except Exception as error:
        raise AgentError("model", f"cannot be loaded: {_reason(error)}", model=index) from error
    used = compiled.get_property("EXECUTION_DEVICES")
    if not all(name.partition(".")[0] == device.partition(".")[0] for name in used):
        what = f"runs on {', '.join(used)}, and not on {device}"
        raise AgentError("model", what, hint="set device in the target's [runtime]", model=index)
    if device == "CPU":
        _check_precision(model, compiled, hint, index)
    return compiled


def _check_precision(model: Any, compiled: Any, hint: str, index: int) -> None:  # noqa: ANN401
    """Refuse layers with weights that run in another precision than was asked for."""
    is_quantised = any(node.get_type_name() in QUANTISED for node in model.get_ops())
    heavy = [node for node in _facts(compiled) if node["kind"] in HEAVY]
    astray = [node for node in heavy if node["precision"] not in (hint, *EIGHT_BITS)]
    if is_quantised and not any(node["precision"] in EIGHT_BITS for node in heavy):
        astray, hint = heavy, "8 bits"
    if astray:
        names = ", ".join(node["name"] for node in astray[:NAMED])
        more = ", ..." if len(astray) > NAMED else ""
        what = (
            f"OpenVINO runs {len(astray)} of its layers in {astray[0]['precision']} instead of "
            f"{hint}: {names}{more}"
        )
        raise AgentError("model", what, model=index)


def _nodes(compiled: Any) -> list[Json]:  # noqa: ANN401
    return [node for node in _facts(compiled) if node["kind"] in HEAVY and node["mean_us"]]


def _facts(compiled: Any) -> list[Json]:  # noqa: ANN401
    """What a compiled model says of its nodes, in the order that they run."""
    return [_fact(node) for node in compiled.get_runtime_model().get_ordered_ops()]


def _fact(node: Any) -> Json:  # noqa: ANN401
    about = {key: getattr(value, "value", value) for key, value in node.get_rt_info().items()}
    sources = [value.get_source_output().get_node().get_friendly_name() for value in node.inputs()]
    return {
        "name": about["originalLayersNames"].partition(",")[0] or node.get_friendly_name(),
        "kind": about["layerType"],
        "precision": about["runtimePrecision"],
        "mean_us": about.get("execTimeMcs", "not_executed").replace("not_executed", ""),
        "reads": sources[:1],
        "inputs": [_sizes(value) for value in node.inputs()],
        "outputs": [_sizes(value) for value in node.outputs()],
    }


def _sizes(value: Any) -> list[int]:  # noqa: ANN401
    shape = value.get_partial_shape()
    return [size.get_length() if size.is_static else 0 for size in shape]


def _entry(value: Any) -> SimpleNamespace:  # noqa: ANN401
    """An input as `random_inputs` reads it."""
    sizes = [size.get_length() if size.is_static else None for size in value.get_partial_shape()]
    kind = value.get_element_type()
    name = kind.get_type_name()
    kind_name = name if name == "string" else kind.to_dtype().name
    return SimpleNamespace(name=_name(value), shape=sizes, type=f"tensor({kind_name})")


def _name(value: Any) -> str:  # noqa: ANN401
    """The name that the ONNX file has for an input or an output."""
    names = value.get_names()
    own = value.get_node().get_friendly_name().partition("/sink_port")[0]
    return str(own if own in names else min(names))


def _tensor(values: Any) -> Any:  # noqa: ANN401
    import numpy as np

    return _openvino().Tensor(np.ascontiguousarray(values))


def _openvino() -> Any:  # noqa: ANN401
    return package("openvino", "openvino")


def _reason(error: Exception) -> str:
    """What OpenVINO says is wrong, in one line, without the places in its source."""
    lines = [PLACES.sub("", line).strip() for line in str(error).splitlines()]
    return " ".join(filter(None, lines)) or one_line(error)


if __name__ == "__main__":
    serve(main)
