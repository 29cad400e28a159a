"""Times ONNX models with `trtexec`: `trtexec_agent.py request.json` prints one JSON document.

This file is pushed to the device with `agent.py` and needs nothing but the standard library of
Python 3.8 and TensorRT's own command-line tool. Engines are built here, on the device that runs
them, with one timing cache. Each round starts the tool anew for each model in a shuffled order.
What the tool exports is handed on as it is: reading it is the host's part.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# A Python in its isolated or safe mode does not look beside the program by itself.
sys.path.insert(0, str(Path(__file__).parent))

from agent import (  # type: ignore[import-not-found]
    AgentError,
    device_facts,
    device_state,
    orders,
    samples_per_round,
    serve,
)

if TYPE_CHECKING:
    Json = dict[str, Any]

PLACES = ("/usr/src/tensorrt/bin", "/usr/local/tensorrt/bin")
BANNER = re.compile(r"TensorRT\.trtexec \[TensorRT v(\d+)\]")
COMPLAINT = re.compile(r"\[[EF]\] (?:\[TRT\] )?(.*)")
WARNING = re.compile(r"\[W\] (?:\[TRT\] )?(.*)")
GPU_LAYER = re.compile(r"\[GpuLayer\]")
GPU = re.compile(r"Selected Device: (.+)")
COMPUTE_CAPABILITY = re.compile(r"Compute Capability: (\d+\.\d+)")
# What an engine is bound to, in words.
BOUND_TO = {
    "built_on": "device",
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "runtime_version": "TensorRT",
}
FIRST_RUNS = 10
LONGEST_COMPLAINT = 300
# The first version without weakly typed networks: --fp16 and --int8 are gone.
ALWAYS_TYPED = 11


class Tool:
    """The device's `trtexec`; it is told only what its own help knows."""

    def __init__(self, request: Json) -> None:
        self.path = _find(request["trtexec"])
        help_text = self._ended(["--help"])
        banner = BANNER.search(help_text.stdout)
        if help_text.returncode != 0 or banner is None:
            words = " ".join((help_text.stderr or help_text.stdout).split())[-LONGEST_COMPLAINT:]
            raise AgentError("target", f"{self.path} does not tell its version: {words}")
        self.version = spelled(int(banner[1]))
        self.major = int(self.version.split(".")[0])
        self._known = set(re.findall(r"--\w+", help_text.stdout))

    def knows(self, flag: str) -> bool:
        """Whether this version has a flag."""
        return flag.partition("=")[0] in self._known

    def run(self, flags: list[str], model: int) -> str:
        """Run it and return its output."""
        missing = [flag for flag in flags if not self.knows(flag)]
        if missing:
            what = f"trtexec of TensorRT {self.version} has no {', '.join(missing)}"
            raise AgentError("target", what, hint="leave that out of the target's [runtime]")
        done = self._ended(flags)
        if done.returncode != 0:
            complaints = COMPLAINT.findall(done.stdout + done.stderr)
            words = " ".join(" ".join(complaints or [done.stdout, done.stderr]).split())
            what = f"trtexec failed with exit code {done.returncode}: "
            raise AgentError("model", what + words[-LONGEST_COMPLAINT:], model=model)
        return str(done.stdout)

    def _ended(self, flags: list[str]) -> Any:  # noqa: ANN401
        command = [self.path, *flags]
        try:
            return subprocess.run(  # noqa: S603 (the tool that the profile names)
                command, capture_output=True, text=True, errors="replace", check=False
            )
        except OSError as error:
            raise AgentError("target", f"{self.path}: {error.strerror}") from error


def spelled(number: int) -> str:
    """A version in words: two digits a part from TensorRT 10 on, one for the major part before."""
    unit = 1000 if number < 10_000 else 10_000
    return f"{number // unit}.{number % unit // 100}.{number % 100}"


def main(request: Json) -> Json:
    """Do what the request says and return the document to print."""
    tool, root = Tool(request), Path(request["system_root"])
    engines = [Engine(index, tool, request) for index in range(len(request["models"]))]
    before = device_state(root)
    answers = {"measure": measure, "profile": profile, "build": build}[request["mode"]](
        engines, request
    )
    return {
        "device": device_facts(root),
        "runtime": {
            "runtime": "tensorrt",
            "runtime_version": tool.version,
            "python_version": platform.python_version(),
            "provider": ", ".join(sorted({engine.processor() for engine in engines})),
            "threads": 1,
        },
        "before": before,
        "after": device_state(root),
        "answers": answers,
    }


class Engine:
    """A model that was built for this device; one that was built before is taken again."""

    def __init__(self, index: int, tool: Tool, request: Json) -> None:
        self._index, self._tool, self._request = index, tool, request
        model = request["models"][index]
        self._is_given = request["is_engine"][index]
        if self._is_given:
            self.path, self.log = Path(model), ""
            device = device_facts(Path(request["system_root"]))["device"]
            self._check_built({"built_on": device, "runtime_version": tool.version})
        else:
            self.path, self.log = self._built(model)
        # What it was built on; from its first run on, what it runs on.
        self._gpu = gpu_facts(self.log)

    def processor(self) -> str:
        """What it runs on, in words: a device may have several GPUs, and get another one."""
        own = _processor(self._request, self.log)
        name, capability = self._gpu["gpu"], self._gpu["compute_capability"]
        words = [name, f"compute capability {capability}" if capability else None]
        known = ", ".join(filter(None, words))
        return f"{own} ({known})" if known else own

    def _built(self, model: str) -> tuple[Path, str]:
        """The engine and what the tool said as it built it."""
        flags = build_flags(self._tool, self._request)
        flags += precision_flags(self._tool, self._request, self._index)
        parts = self._request["parts"][self._index]
        content = b"".join(Path(name).read_bytes() for name in parts)
        key = hashlib.sha256(content + repr((self._tool.version, flags)).encode()).hexdigest()
        goal = Path("engines") / key
        log = goal.with_suffix(".log")
        if not (goal.is_file() and log.is_file()):
            goal.parent.mkdir(exist_ok=True)
            part = goal.with_suffix(".part")
            output = self._tool.run(
                [f"--onnx={model}", f"--saveEngine={part}", *flags], self._index
            )
            log.write_text(output, encoding="utf-8")
            part.replace(goal)
        return goal, log.read_text(encoding="utf-8")

    def times(self, count: int, warmup_ms: float) -> list[Json]:
        """What the tool exports for `count` inferences and those under way at the end."""
        goal = Path("times.json")
        flags = [f"--iterations={count}", "--duration=0", f"--warmUp={round(warmup_ms)}"]
        flags += [] if self._request["data_transfers"] else ["--noDataTransfers"]
        flags += ["--useCudaGraph"] if self._request["cuda_graph"] else []
        self._run([*flags, "--useSpinWait", f"--exportTimes={goal}"], goal)
        rows: list[Json] = _read(goal, self._index)
        return rows

    def layers(self, count: int, warmup_ms: float) -> Json:
        """What the tool exports of each layer: its time, and what is known of it."""
        profile, info = Path("profile.json"), Path("layers.json")
        flags = [f"--iterations={count}", "--duration=0", f"--warmUp={round(warmup_ms)}"]
        flags += ["--dumpProfile", f"--exportProfile={profile}", f"--exportLayerInfo={info}"]
        self._run([*flags, "--profilingVerbosity=detailed"], profile, info)
        return {"profile": _read(profile, self._index), "layers": _read(info, self._index)}

    def _run(self, flags: list[str], *goals: Path) -> None:
        for goal in goals:
            if goal.exists():
                goal.unlink()
        dla = self._request["dla_core"]
        core = [] if dla is None else [f"--useDLACore={dla}"]
        shapes = shape_flags(self._request) if self._is_given else []
        output = self._tool.run([f"--loadEngine={self.path}", *core, *shapes, *flags], self._index)
        self._gpu = gpu_facts(output)
        if self._is_given:
            self._check_built(self._gpu)

    def _check_built(self, here: Json) -> None:
        """Refuse an engine whose record names another device than this one."""
        record = self._request["built"][self._index] or {}
        for key, value in here.items():
            if value and record.get(key) and record[key] != value:
                what = f"was built for {BOUND_TO[key]} {record[key]}, and this is {value}"
                hint = "an engine is not portable: build it here, from its ONNX file"
                raise AgentError("model", what, hint=hint, model=self._index)


def build_flags(tool: Tool, request: Json) -> list[str]:
    """What the tool is told of how to build an engine."""
    flags = ["--timingCacheFile=timing.cache", "--profilingVerbosity=detailed"]
    flags.append("--skipInference" if tool.knows("--skipInference") else "--buildOnly")
    if request["dla_core"] is not None:
        flags += [f"--useDLACore={request['dla_core']}", "--allowGPUFallback"]
    if request["sparsity"]:
        flags.append("--sparsity=enable")
    if request["workspace_mib"]:
        flags.append(f"--memPoolSize=workspace:{request['workspace_mib']}")
    return flags + shape_flags(request)


def precision_flags(tool: Tool, request: Json, model: int) -> list[str]:
    """What the tool is told of the types that a model is to be computed in."""
    own: list[str] = request["precision_flags"][model]
    if request["strongly_typed"]:
        # From 11 on there are no others, and the flag may go.
        is_told = tool.major < ALWAYS_TYPED or tool.knows("--stronglyTyped")
        return ["--stronglyTyped"] if is_told else []
    if own and tool.major >= ALWAYS_TYPED:
        what = f"TensorRT {tool.version} computes in the types that a model's file has"
        hint = "set strongly_typed = true in the target's [runtime]"
        raise AgentError("target", what, hint=hint)
    return own


def shape_flags(request: Json) -> list[str]:
    """What the tool is told of inputs without fixed sizes."""
    sizes = [f"{name}:{'x'.join(map(str, size))}" for name, size in request["shapes"].items()]
    return [f"--shapes={','.join(sizes)}"] if sizes else []


def measure(engines: list[Engine], request: Json) -> list[Json]:
    """What was exported in each round of each model."""
    key = "latencyMs" if request["data_transfers"] else "computeMs"
    counts = []
    for engine in engines:
        first = engine.times(FIRST_RUNS, request["warmup_ms"])
        latency_ms = statistics.median([max(float(row.get(key, 0)), 1e-3) for row in first])
        counts.append(samples_per_round(latency_ms, request))
    rounds: list[list[list[Json]]] = [[] for _ in engines]
    for order in orders(len(engines), request["rounds"]):
        for index in order:
            rounds[index].append(engines[index].times(counts[index], request["warmup_ms"]))
    return [{"warmup_count": FIRST_RUNS, "rounds": samples} for samples in rounds]


def profile(engines: list[Engine], request: Json) -> list[Json]:
    """What was exported of each model's layers."""
    count = request["min_round_samples"] * request["rounds"]
    return [engine.layers(count, request["warmup_ms"]) for engine in engines]


def build(engines: list[Engine], _request: Json) -> list[Json]:
    """Where each engine lies, and what the tool said as it built it."""
    return [
        {
            "file": str(engine.path),
            "warnings": list(dict.fromkeys(WARNING.findall(engine.log))),
            **gpu_facts(engine.log),
        }
        for engine in engines
    ]


def gpu_facts(output: str) -> Json:
    """The GPU in the tool's output; None where it does not tell."""
    patterns = {"gpu": GPU, "compute_capability": COMPUTE_CAPABILITY}
    matches = {key: pattern.search(output) for key, pattern in patterns.items()}
    return {key: match[1].strip() if match else None for key, match in matches.items()}


def _find(named: str | None) -> str:
    if named:
        return named
    path = os.pathsep.join([os.environ.get("PATH", ""), *PLACES])
    program = shutil.which("trtexec", path=path)
    if program is None:
        hint = "install TensorRT with its tools (JetPack: apt-get install tensorrt), or name it"
        what = f"there is no trtexec on the PATH or in {', '.join(PLACES)}"
        raise AgentError("target", what, hint=f"{hint} in the target's [runtime] trtexec")
    return program


def _processor(request: Json, log: str) -> str:
    if request["dla_core"] is None:
        return "gpu"
    left = len(GPU_LAYER.findall(log))
    return f"dla {request['dla_core']}" + (f" with {left} layers on the gpu" if left else "")


def _read(path: Path, model: int) -> Any:  # noqa: ANN401
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = f"trtexec did not write a whole {path}: {error}"
        raise AgentError("measurement", what, model=model) from error


if __name__ == "__main__":
    serve(main)
