"""How often the gate is wrong, and what others say of the same changes in the same minutes.

    python bench/gate.py --trials 300 --slow-trials 100 --out bench/results/gate.json

Three real models of equal layers: one, and two with more layers, whose true ratios are measured at
length first. A trial takes an old and a new model and asks each method whether the new one is
slower: the gate (in turns), a fixed threshold on the medians of two runs one after the other, and
pytest-benchmark's `--benchmark-compare-fail`. Equal models must not alarm; slower ones must be
caught. All of it is done alone and beside a neighbour that computes and copies in bursts.

Trials go to OUT.jsonl as they are done, and the same command goes on where it was stopped; with
`--for-s SECONDS` it stops by itself, after the trial in which that time is over. OUT is written
once all trials are done; bench/gate_table.py shows it. A trial takes about ten seconds, of which
the gate takes one to two: of each kind of trial, alone and beside a neighbour, only the first
--rival-trials ask the others too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from gate_summary import TOLERANCE_PERCENT, results
from onnx import TensorProto, helper, numpy_helper

from edgespiral.core.statistics.intervals import round_medians
from edgespiral.core.statistics.stats import paired_ratio
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.core.system.versions import versions
from edgespiral.gate.checks import Limits
from edgespiral.gate.sampling import sample
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    Json = dict[str, Any]

CHANNELS, SIZE = 32, 20
# One layer in 19 is 5.3 %, of which what every run costs beside its layers takes a little.
LAYERS = {"same": 19, "5 %": 20, "10 %": 21}
TRUTH_ROUNDS_A_PROCESS = 50
TWO_RUNS = """
import sys, statistics, time
import numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feed = {"x0": np.random.default_rng(0).normal(size=session.get_inputs()[0].shape).astype("float32")}
for _ in range(50):
    session.run(None, feed)
times = []
for _ in range(1000):
    start = time.perf_counter()
    session.run(None, feed)
    times.append(time.perf_counter() - start)
print(statistics.median(times))
"""
PYTEST_BENCHMARK = """
import os
import numpy as np, onnxruntime as ort
def test_model(benchmark):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    feed = {"x0": np.random.default_rng(0).normal(size=shape).astype("float32")}
    benchmark(session.run, None, feed)
"""
NEIGHBOUR = """
import random, sys, time
import numpy as np
source = random.Random(int(sys.argv[1]))
block, half = np.ones(4_000_000), np.ones((256, 256))
while True:
    until = time.monotonic() + source.uniform(0.02, 0.4)
    while time.monotonic() < until:
        half @ half
        block.copy()
    time.sleep(source.uniform(0.02, 0.4))
"""


def write_chain(path: Path, layers: int) -> Path:
    """A model of equal 3x3 convolutions: its work is in proportion to their number."""
    shape = [1, CHANNELS, SIZE, SIZE]
    source = np.random.default_rng(0)
    weights = [
        source.normal(0, 0.05, (CHANNELS, CHANNELS, 3, 3)).astype(np.float32) for _ in range(layers)
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"], pads=[1, 1, 1, 1])
            for i in range(layers)
        ],
        "chain",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{layers}", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights)],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


@contextmanager
def neighbour(wanted: bool, seed: int) -> Iterator[None]:
    """A process beside that computes and copies memory in bursts of 20 to 400 ms."""
    if not wanted:
        yield
        return
    beside = subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(seed)])
    try:
        yield
    finally:
        beside.kill()
        beside.wait()


def gate(target: str, old: Path, new: Path, time_limit_s: float) -> Json:
    """The gate's verdict and samples."""
    start = perf_counter()
    with Session(load_profile(target)) as session:
        limits = Limits(tolerance_percent=TOLERANCE_PERCENT)
        found = sample(session, [old, new], limits, time_limit_s=time_limit_s)
    medians = [round_medians(taken.rounds_ms) for taken in found.taken]
    return {
        "verdict": found.checks[0].verdict,
        "change_percent": found.checks[0].value,
        "seconds": perf_counter() - start,
        "processes": found.taken[0].processes,
        "round_medians_ms": [[round(float(ms), 6) for ms in side] for side in medians],
    }


def two_runs(old: Path, new: Path) -> Json:
    """Medians of 1000 runs each, one model after the other, as a CI script would have them."""
    start = perf_counter()
    medians = [
        float(subprocess.check_output([sys.executable, "-c", TWO_RUNS, str(model)]))
        for model in (old, new)
    ]
    change = 100 * (medians[1] / medians[0] - 1)
    return {"change_percent": change, "seconds": perf_counter() - start}


def pytest_benchmark(old: Path, new: Path, folder: Path) -> Json:
    """pytest-benchmark with its defaults: save the old one, compare the new one with it."""
    start = perf_counter()
    (folder / "test_model.py").write_text(PYTEST_BENCHMARK)
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_model.py"]
    call.append(f"--benchmark-storage=file://{folder / 'store'}")
    compare = ["--benchmark-compare=0001", "--benchmark-compare-fail=median:5%"]
    codes = []
    for model, more in ((old, ["--benchmark-save=old"]), (new, [*compare, "--benchmark-save=new"])):
        environment = {**os.environ, "MODEL": str(model.resolve())}
        done = subprocess.run(
            [*call, *more], cwd=folder, env=environment, capture_output=True, check=False
        )
        codes.append(done.returncode)
    stored = sorted((folder / "store").rglob("*.json"))
    before, after = (json.loads(path.read_text())["benchmarks"][0]["stats"] for path in stored)
    return {
        "change_percent": {
            name: 100 * (after[name] / before[name] - 1) for name in ("min", "median")
        },
        "exit_code_at_median_5_percent": codes[1],
        "seconds": perf_counter() - start,
    }


def trial(
    given: argparse.Namespace, models: dict[str, Path], kind: str, *, busy: bool, rivals: bool
) -> Json:
    """One question, put to the gate and, with `rivals`, to the others, in an order that changes."""
    old, new = models["same"], models[kind]
    source = random.Random()
    answers: Json = {}
    with neighbour(busy, source.randrange(10**6)), tempfile.TemporaryDirectory() as folder:
        methods = {
            "gate": lambda: gate(given.target, old, new, given.time_limit_s),
            "two runs": lambda: two_runs(old, new),
            "pytest-benchmark": lambda: pytest_benchmark(old, new, Path(folder)),
        }
        names = list(methods) if rivals else ["gate"]
        source.shuffle(names)
        for name in names:
            answers[name] = methods[name]()
    return {"kind": kind, "neighbour": busy, "load": os.getloadavg()[0], **answers}


def truth(given: argparse.Namespace, models: dict[str, Path]) -> Json:
    """How much slower the models really are, in percent with 95 % intervals."""
    rounds: list[list[tuple[float, ...]]] = [[] for _ in models]
    with Session(load_profile(given.target)) as session:
        while len(rounds[0]) < given.truth_rounds:
            found = session.measure(list(models.values()), rounds=TRUTH_ROUNDS_A_PROCESS)
            for taken, measurement in zip(rounds, found, strict=True):
                taken.extend(measurement.rounds_ms)
    same, *slower = rounds
    return {name: _slower(same, one) for name, one in zip(list(models)[1:], slower, strict=True)}


def _slower(same: list[tuple[float, ...]], other: list[tuple[float, ...]]) -> Json:
    ratio = paired_ratio(other, same)
    return {
        "slower_percent": 100 * (ratio.value - 1),
        "ci95_percent": [100 * (end - 1) for end in (ratio.ci95.low, ratio.ci95.high)],
        "rounds": len(same),
        "median_ms": float(np.median(round_medians(other))),
    }


def pending(given: argparse.Namespace, done: list[Json]) -> Iterator[tuple[str, bool]]:
    """The trials yet to do, conditions and kinds mixed so that no hour has all of one."""
    wanted = {"same": given.trials, "5 %": given.slow_trials, "10 %": given.slow_trials}
    counts = {(kind, busy): 0 for kind in wanted for busy in (False, True)}
    for one in done:
        counts[one["kind"], one["neighbour"]] += 1
    left = [key for key, count in counts.items() for _ in range(count, wanted[key[0]])]
    random.Random(len(left)).shuffle(left)
    yield from left


def rivals_asked(trials: list[Json], kind: str, busy: bool) -> int:
    """In how many trials of a kind the others were asked too."""
    alike = [one for one in trials if (one["kind"], one["neighbour"]) == (kind, busy)]
    return sum("two runs" in one for one in alike)


def settings(given: argparse.Namespace) -> Json:
    """What all trials of a document have in common."""
    return {
        "target": load_profile(given.target).model_dump(mode="json", by_alias=True),
        "versions": versions(),
        "cores": os.cpu_count(),
        "tolerance_percent": TOLERANCE_PERCENT,
        "time_limit_s": given.time_limit_s,
    }


def trials_so_far(log: Path) -> list[Json]:
    """What was written before; a last line that was cut short is taken out of the file."""
    text = log.read_text() if log.is_file() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_text(log, whole)
    return [json.loads(line) for line in whole.splitlines()]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--target", default="host-cpu")
    parser.add_argument("--trials", type=int, default=300, help="of equal models")
    parser.add_argument("--slow-trials", type=int, default=100, help="of each slow-down")
    parser.add_argument("--time-limit-s", type=float, default=20)
    parser.add_argument("--truth-rounds", type=int, default=2000)
    parser.add_argument("--rival-trials", type=int, default=100, help="of each kind at most")
    parser.add_argument("--for-s", type=float, default=float("inf"), help="stop after this long")
    given, start = parser.parse_args(), perf_counter()
    make_folder(given.out.parent)
    log = given.out.with_suffix(".jsonl")
    done = trials_so_far(log)
    with tempfile.TemporaryDirectory() as folder, log.open("a") as stream:
        models = {
            kind: write_chain(Path(folder) / f"chain{layers}.onnx", layers)
            for kind, layers in LAYERS.items()
        }
        if not done:
            done.append({"settings": settings(given), "truth": truth(given, models)})
            print(json.dumps(done[0]), file=stream, flush=True)
        head, trials = done[0], done[1:]
        if head["settings"] != settings(given):
            raise SystemExit(f"error: {log} is of other settings: {head['settings']}")
        for kind, busy in pending(given, trials):
            if perf_counter() - start > given.for_s:
                raise SystemExit(f"{len(trials)} trials so far; go on with the same command")
            rivals = rivals_asked(trials, kind, busy) < given.rival_trials
            trials.append(trial(given, models, kind, busy=busy, rivals=rivals))
            print(json.dumps(trials[-1]), file=stream, flush=True)
            told = trials[-1]["gate"]
            print(kind, busy, told["verdict"], f"{told['change_percent']:+.2f} %", flush=True)
    document = results(head, trials)
    write_text(given.out, json.dumps(document, indent=2) + "\n")
    print(json.dumps(document["trials"], indent=2))


if __name__ == "__main__":
    main()
