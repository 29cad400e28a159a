"""Runs ONNX models in a browser: `browser_agent.py request.json` prints one JSON document.

It lies on the device beside `agent.py`, `browser_page.py`, a page and the files of onnxruntime-web,
and needs NumPy. Times are taken in the page, by the browser's clock.
"""

from __future__ import annotations

import base64
import json
import math
import statistics
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

# A Python in its isolated or safe mode does not look beside the program by itself.
sys.path.insert(0, str(Path(__file__).parent))

from agent import (  # type: ignore[import-not-found]
    BLOCKS_PER_WARMUP,
    LEAST_BLOCK_SAMPLES,
    LONGEST_WARMUP,
    NUMPY_NAMES,
    PROFILED_RUNS,
    STABLE_SHARE,
    AgentError,
    Process,
    nodes_of,
    orders,
    random_inputs,
    samples_per_round,
    serve,
)
from browser_page import Page, command_of, opened, version_of  # type: ignore[import-not-found]

if TYPE_CHECKING:
    Json = dict[str, Any]

# A sample lasts as many ticks of the clock, so that one of them is 1 % of it at most.
TICKS_PER_SAMPLE = 100
# Runs after a load that are not counted.
SETTLING_RUNS = 2
# What stands in an error of onnxruntime-web where a GPU lacks an operator.
LACKING = "fallback to CPU EP has been explicitly disabled"
NAMED = 3
HIDDEN = "the browser's tab was hidden, and hidden tabs are slowed down"


class Warm(NamedTuple):
    """What warming a model up took: its first inference, how many there were, and one of them."""

    first_ms: float
    runs: int
    latency_ms: float


class Loaded:
    """One model in a session of the page, ready to run on made-up inputs.

    Where `shared`, the processor computes what a GPU lacks.
    """

    def __init__(self, index: int, request: Json, page: Page, *, shared: bool = False) -> None:
        self.index, self.page = index, page
        options = {
            "model": request["models"][index],
            "beside": request["beside"][index],
            "profiled": request["mode"] == "profile",
        }
        try:
            about = page.ask("open", index, shared=shared, **options)
        except AgentError as error:
            if LACKING not in error.document["what"]:
                raise
            raise _lacking(index, request, page) from error
        self.fetch_ms: float = about["fetch_ms"]
        self.load_ms: float = about["load_ms"]
        self.outputs: list[str] = about["outputs"]
        entries = [_entry(value) for value in about["inputs"]]
        self.inputs = [entry.name for entry in entries]
        self._kinds = {entry.name: entry.kind for entry in entries}
        self.feed(random_inputs(index, entries, request["shapes"]))

    def feed(self, values: Json) -> None:
        """Let the next inferences be of values by the inputs' names."""
        tensors = {name: _tensor(value, self._kinds[name]) for name, value in values.items()}
        self.page.ask("feed", self.index, tensors=tensors)

    def run_on(self, sample: Json) -> list[Any]:
        """The outputs for values by the inputs' names."""
        self.feed(sample)
        return [_array(value) for value in self.page.ask("once", self.index)["outputs"]]

    def take(self, count: int, batch: int) -> list[float]:
        """Samples in milliseconds, each the mean of `batch` inferences."""
        samples: list[float] = self.page.ask("take", self.index, count=count, batch=batch)[
            "samples_ms"
        ]
        return samples

    def close(self) -> None:
        """Give its memory back."""
        self.page.ask("close", self.index)


def main(request: Json) -> Json:
    """Do what the request says and return the document to print."""
    process = Process(request)
    command = command_of(request["browser"])
    version = version_of(command)
    way = {name: request[name] for name in ("backend", "software_gpu")}
    with opened(command, Path.cwd(), **way) as page:
        facts = page.ask("facts", threads=request["threads"])
        if not facts["isolated"]:
            what = "the page is not isolated from others, without which a browser has no threads"
            raise AgentError("target", what, hint="name a Chromium of 2021 or later")
        gpu = _gpu(facts.get("adapter"), **way)
        answers: Json = ANSWERS[request["mode"]](request, page, facts)
        was_hidden = page.was_hidden
    runtime = {
        "runtime": "browser",
        "runtime_version": f"onnxruntime-web {facts['version']}",
        "provider": f"{gpu or 'wasm'} in {version}",
        # Of this process, not of the browser.
        "peak_memory_mib": None,
        "cold_start_ms": answers.pop("cold_start_ms", None),
    }
    document: Json = {**process.document(runtime), **answers}
    document["after"]["throttling"] = HIDDEN if was_hidden else None
    return document


def _gpu(adapter: Json | None, *, backend: str, software_gpu: bool) -> str | None:
    """What computes where it is WebGPU; what stands in for a GPU is told as that."""
    if backend != "webgpu":
        return None
    if adapter is None or (adapter["is_software"] and not software_gpu):
        raise AgentError(
            "target",
            "the browser has no GPU for WebGPU",
            hint="software_gpu = true, in the target's [runtime], lets SwiftShader stand in for "
            "one, to try the way out: its times say nothing of a GPU",
        )
    stand_in = ", the processor in place of a GPU" if adapter["is_software"] else ""
    return f"webgpu ({adapter['name']}{stand_in})"


def _lacking(index: int, request: Json, page: Page) -> AgentError:
    """That the GPU does not take all of a model, with the layers that the processor would."""
    model = Loaded(index, {**request, "mode": "profile"}, page, shared=True)
    page.ask("once", index)
    events = _profile(model)
    names = [
        str(event["name"]).removesuffix("_kernel_time")
        for event in events
        if event.get("args", {}).get("provider") == "CPUExecutionProvider"
    ]
    first = ", ".join(dict.fromkeys(names[:NAMED]))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return AgentError(
        "model", f"WebGPU does not take all of it: the processor would compute {first}{more}",
        hint="measure it with backend = \"wasm\"", model=index,
    )  # fmt: skip


def measured(request: Json, page: Page, facts: Json) -> Json:
    """Samples of each model, as `agent.measure` takes them, and what the first took from nothing.

    The page and the runtime stay loaded among rounds, the models do not.
    """
    tick_ms, warm, cold_ms = facts["tick_ms"], [], []
    for index in range(len(request["models"])):
        model = Loaded(index, request, page)
        warm.append(_warm(model, request, tick_ms))
        cold_ms.append(facts["ready_ms"] + model.fetch_ms + model.load_ms + warm[-1].first_ms)
        model.close()
    samples = _rounds(request, page, warm, tick_ms)
    return {"samples": samples, "cold_start_ms": cold_ms[0]}


def _rounds(request: Json, page: Page, warm: list[Warm], tick_ms: float) -> list[Json]:
    answers: list[Json] = [
        {"warmup_count": own.runs, "loads_ms": [], "rounds_ms": []} for own in warm
    ]
    for order in orders(len(warm), request["rounds"]):
        models = {index: Loaded(index, request, page) for index in order}
        for index in order:
            latency_ms, model = warm[index].latency_ms, models[index]
            batch = batch_of(latency_ms, tick_ms)
            model.take(SETTLING_RUNS, batch)
            count = samples_per_round(latency_ms * batch, request)
            answers[index]["loads_ms"].append(model.load_ms)
            answers[index]["rounds_ms"].append(model.take(count, batch))
        for model in models.values():
            model.close()
    return answers


def outputs(request: Json, page: Page, facts: Json) -> Json:  # noqa: ARG001
    """Files with what each model computes."""
    from agent_outputs import all_computed  # type: ignore[import-not-found]

    def load(index: int, request: Json) -> Loaded:
        return Loaded(index, request, page)

    return {"outputs": all_computed(request, load)}


def profiled(request: Json, page: Page, facts: Json) -> Json:
    """The nodes of each model with their times, from ONNX Runtime's own profiler."""
    models = [Loaded(index, request, page) for index in range(len(request["models"]))]
    warm = [_warm(model, request, facts["tick_ms"]) for model in models]
    counts = [min(PROFILED_RUNS, samples_per_round(own.latency_ms, request)) for own in warm]
    for order in orders(len(models), request["rounds"]):
        for index in order:
            models[index].take(counts[index], 1)
    nodes = [_nodes(model, counts[model.index] * request["rounds"]) for model in models]
    return {"nodes": nodes}


ANSWERS = {"measure": measured, "profile": profiled, "outputs": outputs}


def batch_of(latency_ms: float, tick_ms: float) -> int:
    """How many inferences a sample is the mean of, for the clock to carry it."""
    return max(1, math.ceil(TICKS_PER_SAMPLE * tick_ms / latency_ms))


def _warm(model: Loaded, request: Json, tick_ms: float) -> Warm:
    """Run until the time has passed and no longer falls, as `agent.warm_up` does."""
    first_ms: float = max(model.page.ask("once", model.index)["run_ms"], tick_ms)
    latency_ms, previous_ms, count, spent_ms = first_ms, math.inf, 1, 0.0
    block_ms = request["warmup_ms"] / BLOCKS_PER_WARMUP
    while True:
        batch = batch_of(latency_ms, tick_ms)
        samples = max(LEAST_BLOCK_SAMPLES, math.ceil(block_ms / (batch * latency_ms)))
        taken_ms = model.take(samples, batch)
        count, spent_ms = count + samples * batch, spent_ms + sum(taken_ms) * batch
        latency_ms = max(statistics.median(taken_ms), tick_ms / batch)
        is_stable = abs(latency_ms - previous_ms) < STABLE_SHARE * latency_ms
        is_over = spent_ms >= LONGEST_WARMUP * request["warmup_ms"]
        if is_over or (is_stable and spent_ms >= request["warmup_ms"]):
            return Warm(first_ms, count, latency_ms)
        previous_ms = latency_ms


def _nodes(model: Loaded, runs: int) -> list[Json]:
    nodes: list[Json] = nodes_of(_profile(model), runs)
    return nodes


def _profile(model: Loaded) -> list[Json]:
    """What ONNX Runtime's profiler printed of a model, which is closed."""
    text = model.page.ask("profile", model.index)["text"]
    model.close()
    start = text.find("[")
    if start < 0:
        raise AgentError("measurement", "the browser told no times of layers", model=model.index)
    events: list[Json] = json.loads(text[start:])
    return events


def _entry(value: Json) -> Any:  # noqa: ANN401
    """An input as `random_inputs` reads it."""
    # Of what is no tensor nothing more is told.
    kind = value.get("type", "sequence")
    about = {"type": f"tensor({kind})", "kind": kind, "shape": value.get("shape", [1])}
    return SimpleNamespace(name=value["name"], **about)


def _tensor(value: Any, kind: str) -> Json:  # noqa: ANN401
    import numpy as np

    values = np.ascontiguousarray(value, np.dtype(NUMPY_NAMES.get(kind, kind)))
    text = base64.b64encode(values.tobytes()).decode()
    return {"type": kind, "dims": list(values.shape), "base64": text}


def _array(value: Json) -> Any:  # noqa: ANN401
    import numpy as np

    values = np.frombuffer(base64.b64decode(value["base64"]), np.dtype(value["type"]))
    return values.reshape(value["dims"]).copy()


if __name__ == "__main__":
    serve(main)
