"""A stand-in for ONNX Runtime's `onnxruntime_perf_test`, where there is no Android device.

It takes the flags of the real tool and refuses others, times the model with ONNX Runtime's Python
package, and writes the result file, the profile and the messages in the formats of the real one
(as its public sources write them; the code is this project's own).
"""

import resource
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime as ort

VALUES = set("fFmertpxycdouiSTCR")
SWITCHES = set("AMsvIPqzDZnlgXh")
PROVIDERS = {"cpu": "CPUExecutionProvider", "xnnpack": "XnnpackExecutionProvider"}


def parsed(words: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    flags: dict[str, list[str]] = {}
    rest = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        name = word.lstrip("-")
        if not word.startswith("-"):
            rest.append(word)
        elif name in SWITCHES:
            flags[name] = []
        elif name in VALUES:
            flags.setdefault(name, []).append(waiting.pop(0))
        else:
            raise SystemExit(f"ERROR: Unknown command line flag '{name}'")
    return flags, rest


def opened(model: str, flags: dict[str, list[str]]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(flags.get("x", ["0"])[0])
    options.inter_op_num_threads = int(flags.get("y", ["0"])[0])
    print(f"Setting intra_op_num_threads to {options.intra_op_num_threads}")
    for override in flags.get("f", []):
        name, _, size = override.rpartition(":")
        options.add_free_dimension_override_by_name(name, int(size))
    if "p" in flags:
        options.enable_profiling = True
        options.profile_file_prefix = flags["p"][0]
    provider = PROVIDERS.get(flags.get("e", ["cpu"])[0])
    if provider not in ort.get_available_providers():
        raise RuntimeError(f"{flags['e'][0]} is not supported in this build")
    return ort.InferenceSession(model, options, providers=[provider])


def inputs(session: ort.InferenceSession, flags: dict[str, list[str]]) -> dict[str, np.ndarray]:
    if "I" not in flags:
        raise RuntimeError("there is no test data for model")
    source = np.random.default_rng(int(flags.get("S", ["0"])[0]))
    return {
        entry.name: source.random(
            [size if isinstance(size, int) else 1 for size in entry.shape], np.float32
        )
        for entry in session.get_inputs()
    }


def timed(session: ort.InferenceSession, feeds: dict[str, np.ndarray]) -> float:
    start = perf_counter()
    session.run(None, feeds)
    return perf_counter() - start


def main(words: list[str]) -> None:
    flags, rest = parsed(words)
    if not 1 <= len(rest) <= 2 or flags.get("m") not in (["times"], None):
        sys.stderr.write("See 'onnxruntime_perf_test --help'.")
        raise SystemExit(255)
    session = opened(rest[0], flags)
    feeds = inputs(session, flags)
    first = timed(session, feeds)
    spent = [timed(session, feeds) for _ in range(int(flags["r"][0]))]
    if "p" in flags:
        session.end_profiling()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"First inference time cost: {round(1e3 * first)} ms")
    print(f"Total inference time cost: {sum(spent):g} s")
    print(f"Total inference requests: {len(spent)}")
    print(f"Average inference time cost: {1e3 * sum(spent) / len(spent):g} ms")
    # The result file is added to; a model goes by the name of its folder.
    folder = Path(rest[0]).resolve().parent.name
    with Path(rest[1]).open("a") as file:
        file.writelines(f"{folder},{s:g},{peak},50,{run}\n" for run, s in enumerate(spent))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Exception as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(255)
