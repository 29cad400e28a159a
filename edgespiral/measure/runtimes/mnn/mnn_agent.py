"""Runs models by MNN: `mnn_agent.py request.json` prints one JSON document.

It lies on the device beside `agent.py`, whose clock, rounds and inputs it uses, and needs NumPy and
MNN's Python package. A model is a folder with MNN's file.
"""

from __future__ import annotations

import sys
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
    package,
    profile_runs,
    random_inputs,
    serve,
)

if TYPE_CHECKING:
    Json = dict[str, Any]

MODES = {"fp32": "high", "fp16": "low"}


class Loaded:
    """One model in a session of its own, ready to run on made-up inputs or those of `run_on`."""

    def __init__(self, index: int, request: Json) -> None:
        self.index = index
        about, precision = request["about"][index], request["inference_precision"]
        shapes = about["inputs"]
        self.inputs, self.outputs = list(shapes), about["outputs"]
        start = perf_counter_ns()
        self.net = _net(Path(request["models"][index]) / "model.mnn", index)
        self.session = self._session(request, precision, shapes)
        self.load_ms = (perf_counter_ns() - start) / 1e6
        feeds = random_inputs(index, float_entries(shapes), {})
        self._feed(self.session, feeds)
        if precision != "fp32":
            self._require_lower(request, shapes, feeds)

    def run(self) -> None:
        """One inference."""
        _run(self.net, self.session)

    def run_on(self, sample: Json) -> list[Any]:
        """The outputs for values by the inputs' names."""
        self._feed(self.session, sample)
        self.run()
        return self._values(self.session)

    def operators(self, runs: int) -> list[Json]:
        """The operators in the order that they run, with their mean time in microseconds."""
        names: list[str] = []
        spent_ns: list[int] = []

        def before(tensors: Any, about: Any) -> bool:  # noqa: ANN401, ARG001
            names.append(about.getName())
            spent_ns.append(perf_counter_ns())
            return True

        def after(tensors: Any, about: Any) -> bool:  # noqa: ANN401, ARG001
            spent_ns[-1] = perf_counter_ns() - spent_ns[-1]
            return True

        for _ in range(runs):
            self.net.runSessionWithCallBackInfo(self.session, before, after)
        count = len(names) // runs
        return [
            {"name": names[place], "mean_us": sum(spent_ns[place::count]) / runs / 1e3}
            for place in range(count)
        ]

    def _session(self, request: Json, precision: str, shapes: Json) -> Any:  # noqa: ANN401
        config = {
            "backend": "CPU",
            "numThread": request["threads"],
            "precision": MODES[precision],
        }
        session = self.net.createSession(config)
        for name, tensor in self._tensors(session).items():
            if list(tensor.getShape()) != shapes[name]:
                self.net.resizeTensor(tensor, tuple(shapes[name]))
        self.net.resizeSession(session)
        return session

    def _tensors(self, session: Any) -> Json:  # noqa: ANN401
        """The session's inputs by name, which are all that the file has."""
        tensors: Json = self.net.getSessionInputAll(session)
        if set(tensors) != set(self.inputs):
            what = f"MNN takes {', '.join(tensors)} of it, the file {', '.join(self.inputs)}"
            raise AgentError("model", what, model=self.index)
        return tensors

    def _feed(self, session: Any, sample: Json) -> None:  # noqa: ANN401
        for name, tensor in self._tensors(session).items():
            tensor.copyFrom(_tensor(sample[name]))

    def _values(self, session: Any) -> list[Any]:  # noqa: ANN401
        import numpy as np

        tensors = self.net.getSessionOutputAll(session)
        values = []
        for name in self.outputs:
            if name not in tensors:
                raise RuntimeError(f"MNN gives no output {name!r}")
            host = _tensor(np.zeros(tensors[name].getShape(), np.float32))
            tensors[name].copyToHostTensor(host)
            values.append(np.array(host.getNumpyData()))
        return values

    def _require_lower(self, request: Json, shapes: Json, feeds: Json) -> None:
        """Refuse a lower precision in which all outputs are those of float32, bit by bit.

        MNN computes in float32 where its build or the processor has nothing lower, without a word.
        """
        import numpy as np

        exact = self._session(request, "fp32", shapes)
        self._feed(exact, feeds)
        _run(self.net, exact)
        self.run()
        pairs = zip(self._values(exact), self._values(self.session), strict=True)
        if all(np.array_equal(exactly, lower) for exactly, lower in pairs):
            what = f"MNN computes it in fp32 here, not in {request['inference_precision']}"
            raise AgentError("target", what)


def main(request: Json) -> Json:
    """Do what the request says and return the document to print."""
    process = Process(request)
    runtime = {
        "runtime": "mnn",
        "runtime_version": str(_mnn().version()),
        "provider": f"CPU {request['float_precision']}",
        "float_precision": request["float_precision"],
    }
    key, answers = ANSWERS[request["mode"]](request)
    return {**process.document(runtime), key: answers}


def measured(request: Json) -> tuple[str, list[Json]]:
    """Samples of each model."""
    return "samples", measure(request, Loaded)


def outputs(request: Json) -> tuple[str, list[Json]]:
    """Files with what each model computes."""
    from agent_outputs import all_computed  # type: ignore[import-not-found]

    return "outputs", all_computed(request, Loaded)


def profiled(request: Json) -> tuple[str, list[list[Json]]]:
    """The operators of each model with their mean time."""
    rounds: list[list[list[Json]]] = [[] for _ in request["models"]]

    def take(model: Loaded, count: int) -> None:
        rounds[model.index].append(model.operators(count))

    profile_runs(request, Loaded, take)
    return "nodes", [_means(own) for own in rounds]


ANSWERS = {"measure": measured, "profile": profiled, "outputs": outputs}


def _means(rounds: list[list[Json]]) -> list[Json]:
    """The operators with the mean of their rounds' times."""
    return [
        {"name": same[0]["name"], "mean_us": sum(node["mean_us"] for node in same) / len(same)}
        for same in zip(*rounds, strict=True)
    ]


def _net(path: Path, index: int) -> Any:  # noqa: ANN401
    try:
        return _mnn().Interpreter(str(path))
    except Exception as error:
        raise AgentError("model", f"cannot be loaded: {one_line(error)}", model=index) from error


def _run(net: Any, session: Any) -> None:  # noqa: ANN401
    failed = net.runSession(session)
    if failed:
        raise RuntimeError(f"MNN ends with error {failed}")


def _tensor(values: Any) -> Any:  # noqa: ANN401
    import numpy as np

    mnn = _mnn()
    contiguous = np.ascontiguousarray(values, np.float32)
    layout = mnn.Tensor_DimensionType_Caffe
    return mnn.Tensor(contiguous.shape, mnn.Halide_Type_Float, contiguous, layout)


def _mnn() -> Any:  # noqa: ANN401
    return package("MNN", "mnn")


if __name__ == "__main__":
    serve(main)
