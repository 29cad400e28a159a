"""Runs models by ncnn: `ncnn_agent.py request.json` prints one JSON document.

It lies on the device beside `agent.py`, whose clock, rounds and inputs it uses, and needs NumPy and
ncnn's Python package. A model is a folder with ncnn's two files.
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
    package,
    random_inputs,
    serve,
)

if TYPE_CHECKING:
    Json = dict[str, Any]

NAMED = 3
# ncnn's own default is to keep and to compute in 16 bits what it can.
LOWERED = (
    *("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"),
    *("use_bf16_storage", "use_bf16_packed", "use_vulkan_compute"),
)


class Loaded:
    """One model, ready to run on fixed random inputs, or on those of `run_on`."""

    def __init__(self, index: int, request: Json) -> None:
        self.index = index
        folder, about = Path(request["models"][index]), request["about"][index]
        self.names, self.outputs, self._axes = about["inputs"], about["outputs"], about["axes"]
        start = perf_counter_ns()
        self.net = _net(folder, index, request["threads"])
        self.load_ms = (perf_counter_ns() - start) / 1e6
        self.inputs = list(self.names)
        self._mats = self._fed(random_inputs(index, float_entries(self.names), {}))

    def run(self) -> None:
        """One inference."""
        self._extracted(self._mats)

    def run_on(self, sample: Json) -> list[Any]:
        """The outputs for values by the inputs' names."""
        import numpy as np

        values = self._extracted(self._fed(sample))
        axes = (self._axes.get(f"out{place}", 0) for place in range(len(values)))
        return [
            np.array(value) if axis is None else np.expand_dims(np.array(value), axis)
            for value, axis in zip(values, axes, strict=True)
        ]

    def _fed(self, sample: Json) -> list[Any]:
        """Inputs as ncnn takes them: without the axis of the batch, which is 1 there."""
        import numpy as np

        mats = []
        for place, name in enumerate(self.names):
            axis = self._axes.get(f"in{place}", 0)
            values = sample[name]
            if axis is not None:
                if values.shape[axis] != 1:
                    raise AgentError("model", f"input {name!r} is not of batch 1", model=self.index)
                values = np.squeeze(values, axis)
            values = np.ascontiguousarray(values)
            mats.append(_ncnn().Mat(values).clone())
        return mats

    def _extracted(self, mats: list[Any]) -> list[Any]:
        extractor = self.net.create_extractor()
        for place, mat in enumerate(mats):
            extractor.input(f"in{place}", mat)
        values = []
        for place in range(len(self.outputs)):
            failed, value = extractor.extract(f"out{place}")
            if failed:
                raise RuntimeError(f"ncnn gives no output {self.outputs[place]!r}")
            values.append(value)
        return values


def main(request: Json) -> Json:
    """Do what the request says and return the document to print."""
    process = Process(request)
    if request["mode"] == "outputs":
        from agent_outputs import all_computed  # type: ignore[import-not-found]

        answers = {"outputs": all_computed(request, Loaded)}
    else:
        answers = {"samples": measure(request, Loaded)}
    runtime = {
        "runtime": "ncnn",
        "runtime_version": str(_ncnn().__version__),
        "provider": "CPU",
        "float_precision": "fp32",
    }
    return {**process.document(runtime), **answers}


def _require_layers(param: Path, index: int) -> None:
    """Refuse a model with layers that this ncnn does not have; the first two lines tell counts."""
    lines = param.read_text(encoding="utf-8").splitlines()[2:]
    kinds = dict.fromkeys(line.split()[0] for line in lines if line.strip())
    lacking = [kind for kind in kinds if _ncnn().layer_to_index(kind) < 0]
    if lacking:
        what = f"cannot be loaded: ncnn has no layer for {', '.join(lacking[:NAMED])}"
        raise AgentError("model", what, model=index)


def _net(folder: Path, index: int, threads: int) -> Any:  # noqa: ANN401
    _require_layers(folder / "model.ncnn.param", index)
    net = _ncnn().Net()
    net.opt.num_threads = threads
    for name in LOWERED:
        if hasattr(net.opt, name):
            setattr(net.opt, name, False)
    for load, name in ((net.load_param, "model.ncnn.param"), (net.load_model, "model.ncnn.bin")):
        if load(str(folder / name)):
            what = f"cannot be loaded: ncnn does not take {name}"
            raise AgentError("model", what, model=index)
    return net


def _ncnn() -> Any:  # noqa: ANN401
    return package("ncnn", "ncnn")


if __name__ == "__main__":
    serve(main)
