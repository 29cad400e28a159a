"""What agents have in common: `python SOME_agent.py request.json` prints one JSON document.

This file is pushed to the device beside each of them, and needs nothing but the standard library
and, for inputs, NumPy. Times are taken inside the agent's process with a monotonic clock. The
models take turns in a shuffled order, so that a drift meets them all. An error is printed as
`{"error": {...}}`.
"""

from __future__ import annotations

import gc
import importlib
import json
import math
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Json = dict[str, Any]
    Run = Callable[[], object]
    Load = Callable[[int, Json], Any]

# Warm means that two blocks in a row differ by less than this share.
STABLE_SHARE = 0.05
LONGEST_WARMUP = 10
BLOCKS_PER_WARMUP = 4
LEAST_BLOCK_SAMPLES = 3
PROFILED_RUNS = 10
# After loading runs are slower by a third, as memory is first touched; a slow model's only once.
LEAST_SETTLING_RUNS, MOST_SETTLING_RUNS = 1, 3
CPU = "CPUExecutionProvider"
# Of the profiler's word on a node; the rest is many times as long.
KEPT = ("op_name", "provider", "node_index", "input_type_shape", "output_type_shape")
# All others go by NumPy's own names.
NUMPY_NAMES = {"float": "float32", "double": "float64"}
CROWDED = "{} threads would take turns on {} cores"
FEWER = "ask for fewer, or let it have more cores by affinity"
OLDEST_PYTHON = (3, 10)
NEWER = "name Python 3.10 or later in the target's [transport] python"


class AgentError(Exception):
    """What the host is told instead of an answer; `kind` names the host's error class."""

    def __init__(self, kind: str, what: str, *, hint: str = "", model: int | None = None) -> None:
        super().__init__(what)
        self.document: Json = {"kind": kind, "what": what, "hint": hint, "model": model}


class Process:
    """This process, which is kept to its cores before a runtime is loaded: threads inherit them.

    Args:
        request: what the host asks for.

    Raises:
        AgentError: this Python is too old, there are no such cores, or fewer than threads.
    """

    def __init__(self, request: Json) -> None:
        if sys.version_info < OLDEST_PYTHON:
            what = f"Python {platform.python_version()} is too old"
            raise AgentError("target", what, hint=NEWER)
        self._root, self._threads = Path(request["system_root"]), request["threads"]
        self._cores = pin(request["affinity"], self._root)
        cores = device_facts(self._root)["cores"]
        if self._threads > cores:
            raise AgentError("target", CROWDED.format(self._threads, cores), hint=FEWER)
        self._before = device_state(self._root)

    def document(self, runtime: Json) -> Json:
        """What a document says of the device, and of a runtime beside what it says itself."""
        used = re.search(r"VmHWM:\s*(\d+)", _text(self._root / "proc/self/status") or "")
        own: Json = {"threads": self._threads, "affinity": self._cores}
        own["peak_memory_mib"] = int(used[1]) / 1024 if used else None
        own["python_version"] = platform.python_version()
        return {
            "device": device_facts(self._root),
            "runtime": own | runtime,
            "before": self._before,
            "after": device_state(self._root),
        }


def serve(answer: Callable[[Json], Json]) -> None:
    """Print the `answer` to the request in the file that the command names, or what is wrong."""
    # A collection would be in the time of the sample that it falls into.
    gc.disable()
    # What a package prints by itself, and leaves in its buffer until the end, is no answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        print(json.dumps(answer(request)), file=answers, flush=True)
    except AgentError as problem:
        print(json.dumps({"error": problem.document}), file=answers, flush=True)
        sys.exit(1)


def pin(wanted: list[int] | str | None, root: Path) -> list[int] | None:
    """Keep this process to some cores, which are returned; None leaves all to it."""
    if wanted is None:
        return None
    cores = big_cores(root) if isinstance(wanted, str) else sorted(wanted)
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if not usable.issuperset(cores):
        hint = f"it may choose from: {sorted(usable)}"
        raise AgentError("target", f"a process cannot be kept to cores {cores} here", hint=hint)
    os.sched_setaffinity(0, cores)
    return cores


def big_cores(root: Path) -> list[int]:
    """The cores of the largest capacity or, where that is not shown, of the highest clock."""
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        paths = (root / "sys/devices/system/cpu").glob(f"cpu[0-9]*/{name}")
        sizes = {int(re.findall(r"/cpu(\d+)/", str(path))[-1]): _numbers([path]) for path in paths}
        if sizes and all(sizes.values()):
            return sorted(core for core, size in sizes.items() if size == max(sizes.values()))
    what = "this system does not show which of its cores are big"
    raise AgentError("target", what, hint="name them: affinity = [4, 5], in the target's [runtime]")


def measure(request: Json, load: Load) -> list[Json]:
    """Samples of each model, `rounds_ms[round][sample]`, and what loads and waits took in each.

    Every round loads the models anew, in the order in which they then run: where memory lies, which
    changes a latency by several percent, then varies where the interval sees it.

    Args:
        load: makes a model of its position and the request: it has `index`, `load_ms` and `run`.
    """
    warm = [warmed(model, request["warmup_ms"]) for model in load_all(request, load)]
    counts = [samples_per_round(latency_ms, request) for _, latency_ms in warm]
    lists, root = ("loads_ms", "rounds_ms", "waits_ms"), Path(request["system_root"])
    answers: list[Json] = [{"warmup_count": n, **{key: [] for key in lists}} for n, _ in warm]
    for order in orders(len(counts), request["rounds"]):
        models = {index: load(index, request) for index in order}
        for index in order:
            answers[index]["loads_ms"].append(models[index].load_ms)
            before_ms = waited_ms(root)
            answers[index]["rounds_ms"].append(_take(models[index].run, counts[index]))
            if before_ms is not None:
                answers[index]["waits_ms"].append(waited_ms(root) - before_ms)
        del models
        gc.collect()
        gc.freeze()  # What stays, such as all that is imported, is looked at once.
    if request.get("energy_s"):
        from agent_energy import spent  # type: ignore[import-not-found]

        for index, answer in enumerate(answers):
            answer.update(spent(request, load(index, request).run))
    return answers


def _run_times(model: Any, count: int) -> None:  # noqa: ANN401
    for _ in range(count):
        model.run()


def profile_runs(
    request: Json, load: Load, take: Callable[[Any, int], object] = _run_times
) -> list[tuple[Any, int]]:
    """Have `take` run each model some times in every round, warm; the models, and how often."""
    models = load_all(request, load)
    warmup_ms = request["warmup_ms"] / BLOCKS_PER_WARMUP  # all that runs is to be read again
    warm_ms = [warmed(model, warmup_ms)[1] for model in models]
    counts = [min(PROFILED_RUNS, samples_per_round(ms, request)) for ms in warm_ms]
    for order in orders(len(models), request["rounds"]):
        for index in order:
            take(models[index], counts[index])
    return list(zip(models, counts, strict=True))


def package(name: str, extra: str = "") -> Any:  # noqa: ANN401
    """The Python package of a runtime.

    Args:
        name: that it is imported and installed by.
        extra: of EdgeSpiral, which brings it.

    Raises:
        AgentError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        hint = f"install {name} for the Python that runs there"
        here = f"; here edgespiral[{extra}] does" if extra else ""
        raise AgentError("target", one_line(error), hint=hint + here) from error


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
    """Samples that fill a block; of a run that takes as long as a whole warm-up, one is enough."""
    spent_ms, count, whole_ms = 0.0, 0, BLOCKS_PER_WARMUP * least_ms
    while spent_ms < least_ms or (count < LEAST_BLOCK_SAMPLES and spent_ms < whole_ms):
        sample_ms = timed_ms(run)
        spent_ms, count = spent_ms + sample_ms, count + 1
        yield sample_ms


def waited_ms(root: Path) -> Any:  # noqa: ANN401
    """How long this thread was ready to run and had no core, by now; None where nobody counts."""
    counters = re.fullmatch(r"[1-9]\d* (\d+) \d+", _text(root / "proc/thread-self/schedstat") or "")
    return int(counters[1]) / 1e6 if counters else None


def samples_per_round(latency_ms: float, request: Json) -> int:
    """As many samples as fill `round_ms`, within the request's bounds."""
    wanted = round(request["round_ms"] / latency_ms)
    return int(min(max(wanted, request["min_round_samples"]), request["max_round_samples"]))


def orders(models: int, rounds: int) -> list[list[int]]:
    """The order of the models in each round: shuffled, the same every time."""
    mixer = random.Random(0)
    return [mixer.sample(range(models), models) for _ in range(rounds)]


def nodes_of(events: list[Json], runs: int) -> list[Json]:
    """The nodes that ran, in their order, with their last `runs` times, from a profile's events."""
    by_node: dict[Any, tuple[Json, list[int]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            node = {"name": event["name"], **{key: event["args"].get(key) for key in KEPT}}
            key = node["name"], node["node_index"]
            by_node.setdefault(key, (node, []))[1].append(event["dur"])
    return [
        {**node, "durations_us": durations_us[-runs:]} for node, durations_us in by_node.values()
    ]


def load_all(request: Json, load: Load) -> list[Any]:
    """All models of a request, in its order."""
    return [load(index, request) for index in range(len(request["models"]))]


def warmed(model: Any, warmup_ms: float) -> tuple[int, float]:  # noqa: ANN401
    """What `warm_up` says of a model, whose first run may fail; the first has warmed the device."""
    try:
        model.run()
    except Exception as error:
        what = f"cannot be run: {one_line(error)}"
        raise AgentError("model", what, model=model.index) from error
    return warm_up(model.run, warmup_ms / BLOCKS_PER_WARMUP if model.index else warmup_ms)


def float_entries(shapes: Json) -> list[Any]:
    """Inputs of float32 as `random_inputs` reads them, of their shapes by name."""
    return [
        SimpleNamespace(name=name, shape=shape, type="tensor(float)")
        for name, shape in shapes.items()
    ]


def _take(run: Run, count: int) -> list[float]:
    for _ in range(min(MOST_SETTLING_RUNS, max(LEAST_SETTLING_RUNS, count // 4))):
        run()
    return [timed_ms(run) for _ in range(count)]


def random_inputs(index: int, inputs: list[Any], shapes: Json, seed: int = 0) -> Json:
    """Values for a model's inputs by name, of the same kind and size every time."""
    unknown = set(shapes) - {entry.name for entry in inputs} - {""}
    if unknown or ("" in shapes and len(inputs) != 1):
        names = ", ".join(entry.name for entry in inputs)
        what = f"no input called {', '.join(sorted(unknown))}" if unknown else "has several inputs"
        raise AgentError("usage", what, hint=f"give a shape by name: {names}", model=index)
    return {
        entry.name: _random_input(index, entry, shapes.get(entry.name, shapes.get("")), seed)
        for entry in inputs
    }


def _random_input(index: int, entry: Any, shape: list[int] | None, seed: int) -> Any:  # noqa: ANN401
    import numpy as np

    shape = list(entry.shape) if shape is None else shape
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
    source = np.random.default_rng(seed)
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


def device_state(root: Path) -> Json:
    """What may change during a run; None where the system does not tell."""
    cpus = root / "sys/devices/system/cpu"
    zones = [*(root / "sys/class/thermal").glob("thermal_zone*/temp")]
    sensors = [*(root / "sys/class/hwmon").glob("hwmon*/temp*_input")]
    firmware = (root / "sys/devices/platform").glob("soc*/soc*firmware/get_throttled")
    cooling = (root / "sys/class/thermal").glob("cooling_device*")
    at_work = [path for path in cooling if _numbers([path / "cur_state"])]
    frequencies = _numbers(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    temperatures = _numbers(zones or sensors)
    throttles = _numbers(cpus.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"), least=0)
    governors = {_text(path) for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return {
        "governor": ", ".join(sorted(filter(None, governors))) or None,
        "power_mode": _text(root / "sys/firmware/acpi/platform_profile") or _jetson_mode(),
        "cooling": sorted({_text(path / "type") or path.name for path in at_work}),
        "firmware_flags": next(filter(None, map(_text, firmware)), None),
        "throttle_count": sum(throttles) if throttles else None,
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
    answer = subprocess.run([tool, "-q"], capture_output=True, text=True, check=False)  # noqa: S603
    lines = [line.partition(":") for line in answer.stdout.splitlines()]
    return next((mode.strip() for key, _, mode in lines if key == "NV Power Mode"), None)


def _numbers(paths: Any, least: int = 1) -> list[float]:  # noqa: ANN401
    texts = [_text(path) or "" for path in paths]
    return [float(text) for text in texts if re.fullmatch(r"-?\d+", text) and int(text) >= least]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip(" \n\0") or None
    except OSError:
        return None


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
