"""A stand-in for LiteRT's `benchmark_model`, where there is no device and no such program.

It takes the flags of the real one, ignores others as that does, and prints in its formats (as its
public sources write them; the code is this project's own). The times are made up. A file is no
LiteRT file but an ONNX file of the same model, which it runs where outputs are asked for.
"""

import sys
from pathlib import Path

TAKES = {
    *("graph", "num_runs", "min_secs", "max_secs", "warmup_runs", "warmup_min_secs"),
    *("num_threads", "use_xnnpack", "enable_op_profiling", "profiling_output_csv_file"),
    *("input_layer", "input_layer_shape", "input_layer_value_files", "output_filepath"),
}
HEAD = "node type, first, avg_ms, %, cdf%, mem KB, times called, name"
LOADING = "AllocateTensors, 0.05, 0.05, 100%, 100%, 0, 1, AllocateTensors/0"
LINE = "=" * 30


def said(text: str) -> None:
    print(f"INFO: {text}", file=sys.stderr)


def counted(count: int, us: int) -> str:
    if count < 2:
        return f"count={count}" if count == 0 else f"count={count} curr={us}"
    return f"count={count} first={us + 2} curr={us} min={us - 1} max={us + 2} avg={us}.5 std=3"


def profile() -> str:
    rows = ["TfLiteXNNPackDelegate, 0.2, 0.2, 95%, 100%, 0, 1, [y]:3"]
    inside = ["Convolution (NHWC; F32) IGEMM, 0.1, 0.1, 100%, 100%, 0, 1, Delegate/Conv:0"]
    parts = [
        ("Profiling Info for Benchmark Initialization:", [LOADING]),
        ("Operator-wise Profiling Info for Regular Benchmark Runs:", rows),
        ("Delegate internal: ", inside),
    ]
    return "\n".join(
        "\n".join(
            [
                *(title, f"{LINE} Run Order {LINE}", HEAD, *table, ""),
                *(f"{LINE} Top by Computation Time {LINE}", HEAD, *table, ""),
            ]
        )
        for title, table in parts
    )


def computed(model: Path, flags: dict[str, str]) -> bytes:
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(model.read_bytes())
    shape = [int(size) for size in flags["input_layer_shape"].split(",")]
    _, _, file = flags["input_layer_value_files"].partition(":")
    values = np.frombuffer(Path(file).read_bytes(), np.float32).reshape(shape)
    outputs = session.run(None, {session.get_inputs()[0].name: values})
    return b"".join(output.tobytes() for output in outputs)


def main(words: list[str]) -> int:
    flags = dict(word.removeprefix("--").split("=", 1) for word in words)
    said("STARTING!")
    unknown = [f"--{name}={value}" for name, value in flags.items() if name not in TAKES]
    if unknown:
        print(f"WARN: Unconsumed cmdline flags: {' '.join(unknown)}", file=sys.stderr)
    said("Log parameter values verbosely: [0]")
    said(f"Num threads: [{flags['num_threads']}]")
    model = Path(flags["graph"])
    content = model.read_bytes()
    if not content:
        print("ERROR: Failed to load model model-0/model.tflite", file=sys.stderr)
        return 1
    said(f"Loaded model {model}")
    if "use_xnnpack" in flags:
        said("XNNPACK delegate created.")
        how = "completely executed by the delegate."
        said(f"Explicitly applied XNNPACK delegate, and the model graph will be {how}")
    said(f"The input model file size (MB): {len(content) / 1e6:g}")
    said("Initialized session in 0.352ms.")
    us = 20 + len(content) // 1000
    for runs in (int(flags["warmup_runs"]), int(flags["num_runs"])):
        said(f"Running benchmark for at least {runs} iterations and at least 0 seconds")
        said(counted(runs, us) + "\n")
    mean = f"{us}.5" if int(flags["num_runs"]) > 1 else f"{us}"
    said(
        f"Inference timings in us: Init: 352, First inference: {us + 30}, Warmup (avg): {us + 9}, "
        f"Inference (avg): {mean}"
    )
    if "profiling_output_csv_file" in flags:
        Path(flags["profiling_output_csv_file"]).write_text(profile())
    if "output_filepath" in flags:
        Path(flags["output_filepath"]).write_bytes(computed(model, flags))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
