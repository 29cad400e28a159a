"""A stand-in for NVIDIA's `trtexec`, for machines without TensorRT: it proves nothing about speed.

`python trtexec.py VERSION FLAGS...` takes the flags that a version has and refuses others, "builds"
an engine that keeps the ONNX model, times that with ONNX Runtime and writes files in the formats of
the real tool (keys and banner as its public sources write them; the text is this project's own).
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime as ort

COMMON = re.findall(
    r"--\w+",
    """--onnx --saveEngine --loadEngine --timingCacheFile --profilingVerbosity --skipInference
    --useDLACore --allowGPUFallback --sparsity --memPoolSize --shapes --iterations
    --duration --warmUp --noDataTransfers --useCudaGraph --useSpinWait --exportTimes --dumpProfile
    --exportProfile --exportLayerInfo --help --verbose""",
)
WEAK = ["--fp16", "--int8"]
OWN = {
    "8.6.1": [*WEAK, "--buildOnly"],
    "10.3.0": [*WEAK, "--stronglyTyped"],
    "11.1.0": ["--stronglyTyped"],
}
NUMBERS = {"8.6.1": "8601", "10.3.0": "100300", "11.1.0": "110100"}
MARK = b"STAND-IN ENGINE "


def main(version: str, arguments: list[str]) -> int:
    title = f"TensorRT.trtexec [TensorRT v{NUMBERS[version]}] # trtexec {' '.join(arguments)}"
    print(f"&&&& RUNNING {title}")
    flags = {key: value for key, _, value in (word.partition("=") for word in arguments)}
    known = [*COMMON, *OWN[version]]
    unknown = [key for key in flags if key not in known]
    if "--help" in flags:
        print("=== Stand-in ===", *(f"  {flag}" for flag in known), sep="\n")
        return 0
    try:
        if unknown:
            raise ValueError(f"Unknown option: {unknown[0]} {flags[unknown[0]]}")
        if "--stronglyTyped" in flags and set(WEAK) & set(flags):
            raise ValueError("Precision flags cannot be used with strongly typed networks")
        run(version, flags)
    except Exception as error:
        print(f"[01/01/2024-00:00:00] [E] [TRT] {error}", file=sys.stderr)
        print(f"&&&& FAILED {title}")
        return 1
    print(f"&&&& PASSED {title}")
    return 0


def run(version: str, flags: dict[str, str]) -> None:
    print("[01/01/2024-00:00:00] [I] === Device Information ===")
    print(f"[01/01/2024-00:00:00] [I] Selected Device: {os.environ.get('STAND_IN_GPU', 'Orin')}")
    print("[01/01/2024-00:00:00] [I] Compute Capability: 8.7")
    if "--onnx" in flags:
        print("[01/01/2024-00:00:00] [W] [TRT] This engine is a stand-in")
        model = Path(flags["--onnx"]).read_bytes()
        ort.InferenceSession(model)
        print("[I] [TRT] ---------- Layers Running on DLA ----------")
        if "--useDLACore" in flags:
            print("[I] [TRT] [DlaLayer] {ForeignNode[conv]}\n[I] [TRT] [GpuLayer] SOFTMAX: y")
        Path(flags["--saveEngine"]).write_bytes(MARK + f"{version}\n".encode() + model)
        if "--timingCacheFile" in flags:
            Path(flags["--timingCacheFile"]).touch()
    else:
        head, _, model = Path(flags["--loadEngine"]).read_bytes().partition(b"\n")
        if head != MARK + version.encode():
            raise ValueError("The engine plan file is not compatible with this version of TensorRT")
    if "--skipInference" not in flags and "--buildOnly" not in flags:
        infer(model, flags, typed=version.startswith("11"))


def infer(model: bytes, flags: dict[str, str], *, typed: bool) -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        if "--exportProfile" in flags:
            options.enable_profiling = True
            options.profile_file_prefix = f"{folder}/p"
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(model, options)
        feeds = {
            entry.name: np.zeros(
                [size if isinstance(size, int) else 1 for size in entry.shape]
            ).astype(np.float32)
            for entry in session.get_inputs()
        }
        session.run(None, feeds)
        spent = [timed(session, feeds) for _ in range(int(flags["--iterations"]) + 1)]
        if "--exportTimes" in flags:
            Path(flags["--exportTimes"]).write_text(exported(spent, "--noDataTransfers" in flags))
        if "--exportProfile" in flags:
            events = json.loads(Path(session.end_profiling()).read_text())
            write_profile(events, len(spent) + 1, flags, typed=typed)


def timed(session: ort.InferenceSession, feeds: dict[str, np.ndarray]) -> float:
    start = perf_counter()
    session.run(None, feeds)
    return (perf_counter() - start) * 1e3


def exported(spent: list[float], without_transfers: bool) -> str:
    copy, start, lines = 0.0 if without_transfers else 0.5, 200.0, []
    for compute in spent:
        ends = [start + copy, start + copy + compute, start + copy + compute + copy]
        row = {
            "startEnqMs": start,
            "endEnqMs": start + 0.01,
            "startH2dMs": start,
            "endH2dMs": ends[0],
            "startComputeMs": ends[0],
            "endComputeMs": ends[1],
            "startD2hMs": ends[1],
            "endD2hMs": ends[2],
            "h2dMs": copy,
            "computeMs": compute,
            "d2hMs": copy,
            "latencyMs": compute + 2 * copy,
        }
        pairs = ", ".join(f'"{key}" : {value:g}' for key, value in row.items())
        lines.append(f"{', ' if lines else '  '}{{ {pairs} }}\n")
        start = ends[2]
    return f"[\n{''.join(lines)}]\n"


def write_profile(events: list[dict], runs: int, flags: dict[str, str], *, typed: bool) -> None:
    spent: dict[str, float] = {}
    for event in events:
        name = event["name"].removesuffix("_kernel_time")
        if event.get("cat") == "Node" and name != event["name"]:
            spent[name] = spent.get(name, 0.0) + event["dur"] / 1e3
    total = sum(spent.values())
    rows = [
        f', {{ "name" : "{name}", "timeMs" : {ms:g}, "averageMs" : {ms / runs:g}, "medianMs" : '
        f'{ms / runs:g}, "percentage" : {100 * ms / total:g} }}\n'
        for name, ms in spent.items()
    ]
    Path(flags["--exportProfile"]).write_text(f'[\n  {{ "count" : {runs} }}\n{"".join(rows)}]\n')
    layers = [{"Name": name, "Metadata": f"[ONNX Layer: {name}]"} for name in spent]
    ends = "I/O Tensors" if typed else "Bindings"
    Path(flags["--exportLayerInfo"]).write_text(json.dumps({"Layers": layers, ends: []}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
