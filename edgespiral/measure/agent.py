"""Times ONNX models on a device: `python agent.py request.json` prints one JSON document.

This file is pushed to the device alone and runs there as its own process, so it needs nothing but
the standard library, NumPy and ONNX Runtime. Times are taken inside this process with a monotonic
clock. The models take turns, round by round in a shuffled order, so that a drift of the machine
meets them all alike. An error is printed as `{"error": {...}}`, with a non-zero exit.
"""

from __future__ import annotations

import gc
import json
import math
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Json = dict[str, Any]
    Run = Callable[[], object]

# Warm means that two blocks in a row differ by less than this share.
STABLE_SHARE = 0.05
LONGEST_WARMUP = 10
BLOCKS_PER_WARMUP = 4
LEAST_BLOCK_SAMPLES = 3
PROFILED_RUNS = 10
# The first runs after loading are slower by a third: memory is first touched.
LEAST_SETTLING_RUNS, MOST_SETTLING_RUNS = 2, 3
KINDS = {"conv": "Conv FusedConv", "lstm": "LSTM", "gru": "GRU"}
KINDS["gemm"] = "Gemm FusedGemm MatMul FusedMatMul"
OPERATORS = {name: kind for kind, names in KINDS.items() for name in names.split()}
GATES = {"lstm": 4, "gru": 3}
# All others go by NumPy's own names.
NUMPY_NAMES = {"float": "float32", "double": "float64"}
OLDEST_PYTHON = (3, 10)


class AgentError(Exception):
    """What the host is told instead of an answer; `kind` names the host's error class."""

    def __init__(self, kind: str, what: str, *, hint: str = "", model: int | None = None) -> None:
        super().__init__(what)
        self.document = {"kind": kind, "what": what, "hint": hint, "model": model}


class Loaded:
    """One model in a session of its own, ready to run on fixed random inputs."""

    def __init__(self, index: int, request: Json) -> None:
        self.index = index
        self.session = _open(index, request)
        _check_provider(self.session.get_providers(), request["provider"])
        feeds = _random_inputs(index, self.session.get_inputs(), request["shapes"])
        # Binding keeps the conversion of inputs and outputs from and to NumPy out of the times.
        self.binding = self.session.io_binding()
        for name, values in feeds.items():
            self.binding.bind_cpu_input(name, values)
        for output in self.session.get_outputs():
            self.binding.bind_output(output.name)

    def run(self) -> None:
        """One inference."""
        self.session.run_with_iobinding(self.binding)


def main(request_path: str) -> Json:
    """Do what the request says and return the document to print."""
    if sys.version_info < OLDEST_PYTHON:
        hint = "name Python {}.{} or later in the target's [transport] python".format(
            *OLDEST_PYTHON
        )
        raise AgentError("target", f"Python {platform.python_version()} is too old", hint=hint)
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    root = Path(request["system_root"])
    before = device_state(root)
    answer = profile if request["mode"] == "profile" else measure
    with tempfile.TemporaryDirectory(prefix="edgespiral-profile-") as folder:
        answers = answer({**request, "profile_folder": folder})
    return {
        "device": device_facts(root),
        "runtime": runtime_facts(request),
        "before": before,
        "after": device_state(root),
        "layers" if request["mode"] == "profile" else "samples": answers,
    }


def measure(request: Json) -> list[Json]:
    """Samples of each model, `rounds_ms[round][sample]`.

    Every round loads the models anew. Where their memory happens to lie changes the latency of one
    and the same model by several percent for as long as it stays loaded; this makes it vary within
    a measurement, where the interval sees it, and not only between two.
    """
    warm = [_warmed(model, request["warmup_ms"]) for model in _load_all(request)]
    counts = [samples_per_round(latency_ms, request) for _, latency_ms in warm]
    rounds: list[list[list[float]]] = [[] for _ in counts]
    for order in orders(len(counts), request["rounds"]):
        models = _load_all(request)
        for index in order:
            rounds[index].append(_take(models[index].run, counts[index]))
        del models
        gc.collect()
    return [
        {"warmup_count": count, "rounds_ms": taken}
        for (count, _), taken in zip(warm, rounds, strict=True)
    ]


def profile(request: Json) -> list[list[Json]]:
    """Time of each weighted layer of each model, from ONNX Runtime's own profiler."""
    models = _load_all(request)
    warm = [_warmed(model, request["warmup_ms"]) for model in models]
    counts = [min(PROFILED_RUNS, samples_per_round(ms, request)) for _, ms in warm]
    for order in orders(len(models), request["rounds"]):
        for index in order:
            for _ in range(counts[index]):
                models[index].run()
    files = [Path(model.session.end_profiling()) for model in models]
    kept = [count * request["rounds"] for count in counts]
    return [
        layers(json.loads(file.read_text(encoding="utf-8")), runs)
        for file, runs in zip(files, kept, strict=True)
    ]


def timed_ms(run: Run) -> float:
    """Milliseconds that one call takes."""
    start = perf_counter_ns()
    run()
    return (perf_counter_ns() - start) / 1e6


def warm_up(run: Run, warmup_ms: float) -> tuple[int, float]:
    """Run until the time has passed and no longer falls; return the count and a latency in ms.

    On a machine too noisy to be stable this ends after ten times as long: the interval of the
    result then says how noisy it was.
    """
    start, count, previous = perf_counter_ns(), 0, math.inf
    while True:
        block = list(_block(run, warmup_ms / BLOCKS_PER_WARMUP))
        count += len(block)
        latency_ms = statistics.median(block)
        elapsed_ms = (perf_counter_ns() - start) / 1e6
        stable = abs(latency_ms - previous) < STABLE_SHARE * latency_ms
        if (stable and elapsed_ms >= warmup_ms) or elapsed_ms >= LONGEST_WARMUP * warmup_ms:
            return count, latency_ms
        previous = latency_ms


def _block(run: Run, least_ms: float) -> Iterator[float]:
    spent_ms, count = 0.0, 0
    while spent_ms < least_ms or count < LEAST_BLOCK_SAMPLES:
        sample_ms = timed_ms(run)
        spent_ms, count = spent_ms + sample_ms, count + 1
        yield sample_ms


def samples_per_round(latency_ms: float, request: Json) -> int:
    """As many samples as fill `round_ms`, within the request's bounds."""
    wanted = round(request["round_ms"] / latency_ms)
    return int(min(max(wanted, request["min_round_samples"]), request["max_round_samples"]))


def orders(models: int, rounds: int) -> Iterator[list[int]]:
    """The order of the models in each round: shuffled, the same every time."""
    mixer = random.Random(0)
    order = list(range(models))
    for _ in range(rounds):
        mixer.shuffle(order)
        yield list(order)


def layers(events: list[Json], runs: int) -> list[Json]:
    """The weighted layers in the order that they run, from a profile's events.

    Each layer's time is the mean of the middle half of its last `runs` times: the profiler counts
    whole microseconds, which a median would keep and a mean resolves.
    """
    found: dict[tuple[str, str], tuple[Json, list[float]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            layer = _layer(event["args"])
            if layer is not None:
                key = (event["name"], event["args"].get("node_index", ""))
                found.setdefault(key, (layer, []))[1].append(event["dur"] / 1e3)
    return [{**layer, "latency_ms": middle_mean(ms[-runs:])} for layer, ms in found.values()]


def middle_mean(values: list[float]) -> float:
    """Mean of the values between the quartiles."""
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def _layer(args: Json) -> Json | None:
    name, operator = args["op_name"], OPERATORS.get(args["op_name"])
    if operator is None:
        return None
    inputs = [next(iter(shape.values())) for shape in args["input_type_shape"]]
    outputs = [next(iter(shape.values())) for shape in args["output_type_shape"]]
    # Packed weights are not listed among the inputs. Two matrices are a product of activations.
    is_attention = name.endswith("MatMul") and len(inputs) > 1 and len(inputs[1]) > 1
    if is_attention or not inputs[0] or not outputs[0]:
        return None
    given, result = inputs[0], outputs[-1]
    fan_in, fan_out, batch = given[-1], result[-1], math.prod(result[:-1])
    if operator == "conv":
        shapes = (given, inputs[1], result)
    elif operator in GATES:
        shapes = (given, [GATES[operator] * fan_out, fan_in], [given[0], *result[-3:]])
    else:
        shapes = ([batch, fan_in], [fan_out, fan_in], [batch, fan_out])
    keys = ("input_shape", "weight_shape", "output_shape")
    return {"operator": operator, **dict(zip(keys, shapes, strict=True))}


def _load_all(request: Json) -> list[Loaded]:
    return [Loaded(index, request) for index in range(len(request["models"]))]


def _warmed(model: Loaded, warmup_ms: float) -> tuple[int, float]:
    try:
        return warm_up(model.run, warmup_ms)
    except Exception as error:
        raise AgentError("model", f"cannot be run: {one_line(error)}", model=model.index) from error


def _take(run: Run, count: int) -> list[float]:
    for _ in range(min(MOST_SETTLING_RUNS, max(LEAST_SETTLING_RUNS, count // 4))):
        run()
    return [timed_ms(run) for _ in range(count)]


def _open(index: int, request: Json) -> Any:  # noqa: ANN401
    ort = _runtime()
    provider = request["provider"]
    _check_provider(ort.get_available_providers(), provider, anywhere=True)
    options = ort.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    # Subnormal weights can make a trained net ten times slower; a deployment would flush them too.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    if provider != "CPUExecutionProvider":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if request["mode"] == "profile":
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(request["profile_folder"]) / f"model-{index}")
    try:
        session = ort.InferenceSession(request["models"][index], options, providers=[provider])
    except Exception as error:
        raise AgentError("model", f"cannot be loaded: {one_line(error)}", model=index) from error
    session.disable_fallback()
    return session


def _check_provider(found: list[str], wanted: str, *, anywhere: bool = False) -> None:
    if wanted not in (found if anywhere else found[:1]):
        hint = f"this ONNX Runtime has: {', '.join(found)}"
        raise AgentError("target", f"{wanted} does not run here", hint=hint)


def _random_inputs(index: int, inputs: list[Any], shapes: dict[str, list[int]]) -> Json:
    unknown = set(shapes) - {entry.name for entry in inputs} - {""}
    if unknown or ("" in shapes and len(inputs) != 1):
        names = ", ".join(entry.name for entry in inputs)
        what = f"no input called {', '.join(sorted(unknown))}" if unknown else "has several inputs"
        raise AgentError("usage", what, hint=f"give a shape by name: {names}", model=index)
    return {
        entry.name: _random_input(index, entry, shapes.get(entry.name, shapes.get("")))
        for entry in inputs
    }


def _random_input(index: int, entry: Any, given: list[int] | None) -> Any:  # noqa: ANN401
    import numpy as np

    shape = list(entry.shape) if given is None else given
    if not all(isinstance(size, int) and size > 0 for size in shape):
        written = "x".join(str(size) if size else "?" for size in shape)
        hint = "give one: --shape 1x3x224x224, or NAME:1x3x224x224"
        what = f"input {entry.name!r} has no fixed shape: {written}"
        raise AgentError("model", what, hint=hint, model=index)
    name = entry.type[len("tensor(") : -1]
    try:
        kind = np.dtype(NUMPY_NAMES.get(name, name))
    except TypeError as error:
        what = f"input {entry.name!r} is a {entry.type}, which cannot be made up"
        raise AgentError("model", what, model=index) from error
    source = np.random.default_rng(0)
    # Small whole numbers are valid as indices too.
    values = source.standard_normal(shape) if kind.kind == "f" else source.integers(0, 2, shape)
    return values.astype(kind)


def device_facts(root: Path) -> Json:
    """What does not change: the processor, the system and the cores this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    return {
        "device": _device_name(root),
        "architecture": platform.machine(),
        "operating_system": f"{platform.system()} {platform.release()}",
        "cores": len(usable(0)) if usable else (os.cpu_count() or 1),
    }


def runtime_facts(request: Json) -> Json:
    """The versions that ran, and what they were told."""
    return {
        "runtime": "onnxruntime",
        "runtime_version": _runtime().__version__,
        "python_version": platform.python_version(),
        "provider": request["provider"],
        "threads": request["threads"],
    }


def device_state(root: Path) -> Json:
    """What may change during a run; None where the system does not tell."""
    cpus = root / "sys/devices/system/cpu"
    zones = [*(root / "sys/class/thermal").glob("thermal_zone*/temp")]
    sensors = [*(root / "sys/class/hwmon").glob("hwmon*/temp*_input")]
    frequencies = _numbers(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    temperatures = _numbers(zones or sensors)
    governors = {_text(path) for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return {
        "governor": ", ".join(sorted(filter(None, governors))) or None,
        "power_mode": _text(root / "sys/firmware/acpi/platform_profile") or _jetson_mode(),
        "temperature_c": max(temperatures) / 1e3 if temperatures else None,
        "frequency_mhz": max(frequencies) / 1e3 if frequencies else None,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _device_name(root: Path) -> str:
    board = _text(root / "sys/firmware/devicetree/base/model")
    lines = (_text(root / "proc/cpuinfo") or "").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return board or next(iter(names), "") or platform.processor() or platform.machine()


def _jetson_mode() -> str | None:
    """The power mode of an NVIDIA Jetson, as its own tool tells it."""
    tool = shutil.which("nvpmodel", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if tool is None:
        return None
    told = subprocess.run([tool, "-q"], capture_output=True, text=True, check=False)  # noqa: S603
    lines = [line.partition(":") for line in told.stdout.splitlines()]
    return next((mode.strip() for key, _, mode in lines if key == "NV Power Mode"), None)


def _numbers(paths: Any) -> list[float]:  # noqa: ANN401
    texts = [_text(path) for path in paths]
    return [float(text) for text in texts if text and text.lstrip("-").isdigit() and int(text) > 0]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip(" \n\0") or None
    except OSError:
        return None


def _runtime() -> Any:  # noqa: ANN401
    try:
        import onnxruntime
    except ImportError as error:
        hint = "install onnxruntime for the Python that runs there"
        raise AgentError("target", one_line(error), hint=hint) from error
    return onnxruntime


def one_line(error: BaseException) -> str:
    """An error's text without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    gc.disable()
    try:
        print(json.dumps(main(sys.argv[1])))  # noqa: T201
    except AgentError as problem:
        print(json.dumps({"error": problem.document}))  # noqa: T201
        sys.exit(1)
