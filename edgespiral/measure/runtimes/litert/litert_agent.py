"""Runs models by LiteRT: `litert_agent.py request.json` prints one JSON document.

It lies on the device beside `agent.py`, whose clock, rounds and inputs it uses, and needs NumPy and
LiteRT's Python package, ai-edge-litert. A model is a folder with its file.
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

SIGNATURE = "serving_default"


class Loaded:
    """One model, ready to run on made-up inputs, or on those of `run_on`."""

    def __init__(self, index: int, request: Json) -> None:
        self.index = index
        about = request["about"][index]
        self.inputs, self.outputs = list(about["inputs"]), about["outputs"]
        start = perf_counter_ns()
        self._net = _net(Path(request["models"][index]) / "model.tflite", request["threads"], index)
        self.load_ms = (perf_counter_ns() - start) / 1e6
        try:
            self._find(about)
            self._feed(random_inputs(index, float_entries(about["inputs"]), {}))
        except (KeyError, ValueError) as error:  # as where the file was made of another model
            what = f"its file does not take or give what it does: {one_line(error)}"
            raise AgentError("model", what, model=index) from error
        self.run = self._net.invoke

    def _find(self, about: Json) -> None:
        """Where the file's inputs and outputs are, in the model's order."""
        signature = self._net.get_signature_runner(SIGNATURE)
        gives, takes = signature.get_output_details(), signature.get_input_details()
        self._gives = [gives[name]["index"] for name in about["output_ports"]]
        # An input that the model makes nothing of is not in the file.
        self._takes = [
            (name, takes[port]["index"])
            for name, port in zip(self.inputs, about["input_ports"], strict=True)
            if port in takes
        ]

    def run_on(self, sample: Json) -> list[Any]:
        """The outputs for values by the inputs' names."""
        self._feed(sample)
        self.run()
        return [self._net.get_tensor(place) for place in self._gives]

    def operators(self) -> list[Json]:
        """What the model is made of, once the delegate has taken its part."""
        tensors = self._net.get_tensor_details()
        names = {int(tensor["index"]): tensor["name"] for tensor in tensors}
        return [_operator(entry, names) for entry in self._net._get_ops_details()]

    def _feed(self, sample: Json) -> None:
        for name, place in self._takes:
            self._net.set_tensor(place, sample[name])


def main(request: Json) -> Json:
    """Do what the request says and return the document to print."""
    process = Process(request)
    placed: dict[int, list[Json]] = {}

    def load(index: int, request: Json) -> Loaded:
        model = Loaded(index, request)
        if index not in placed:
            placed[index] = model.operators()
        return model

    if request["mode"] == "outputs":
        from agent_outputs import all_computed  # type: ignore[import-not-found]

        answers = {"outputs": all_computed(request, load)}
    else:
        answers = {"samples": measure(request, load)}
    runtime = {
        "runtime": "litert",
        "runtime_version": version("ai-edge-litert"),
        "float_precision": request["float_precision"],
    }
    operators = [placed[index] for index in sorted(placed)]
    return {**process.document(runtime), **answers, "placed": operators}


def _operator(entry: Json, names: dict[int, str]) -> Json:
    places = {way: [int(place) for place in entry[way]] for way in ("inputs", "outputs")}
    name = next((names.get(place, "") for place in places["outputs"]), "")
    return {"op_name": entry["op_name"], "name": name, **places}


def _net(path: Path, threads: int, index: int) -> Any:  # noqa: ANN401
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        hint = "install ai-edge-litert for the Python that runs there; here edgespiral[litert] does"
        raise AgentError("target", one_line(error), hint=hint) from error
    try:
        net = Interpreter(str(path), num_threads=threads)
        net.allocate_tensors()
    except Exception as error:
        raise AgentError("model", f"cannot be loaded: {one_line(error)}", model=index) from error
    return net


if __name__ == "__main__":
    serve(main)
