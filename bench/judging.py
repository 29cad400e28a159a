"""What it costs that what ships is judged: its share of the main job's time, as JSON.

Usage: python bench/judging.py --weights TEACHER.safetensors [--data fashion-mnist] [--json FILE]
       python bench/judging.py --parts RUN [--data fashion-mnist] [--json FILE]

Runs the job of `main_job.py` in this process with a clock around each call that judges: the score
of files, the rebuilt source, the comparison on the device, doubts, the digests of what is read.
Processor time is counted beside wall time, that of processes that were started and have ended too,
as other programs on the machine stretch the one and not the other. `--parts` does each of these
calls once, for the teacher of a run that there is.

What judging adds is less than what it takes: a run that judges nothing asks PyTorch for the scores
that it reports, of teacher and student on validation and on test. A run that judges asks it on
validation alone, in float32, as the files are held against that. So the passes that a run without
judging has are timed once the run is over, and the difference to what judging takes is what it
adds: once in float32, in which `train` reports its scores, and once in what `score` takes by
itself, which is bf16 where that is native and rounds as no file does.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from main_job import EPOCHS, SPEEDUP

from edgespiral import api
from edgespiral.core.batches import first_inputs
from edgespiral.data import load, passes
from edgespiral.distill.evaluate import score
from edgespiral.export import rebuilt
from edgespiral.export.parity import file_score
from edgespiral.export.precision import validation_samples
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session
from edgespiral.models.saved import load_model, trace
from edgespiral.spiral import baseline, turn
from edgespiral.spiral.shipping import ending, publishing
from edgespiral.spiral.shipping.on_device import DEVICE_SAMPLES, check_on_device
from edgespiral.spiral.student import making
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Callable

# What judging is made of: name, and where it is called from. Nested calls count once.
CALLS = (
    ("score of the file", baseline, "judged"),
    ("score of the file", turn, "judged"),
    ("score of the file", ending, "file_scored"),
    ("rebuilt source", baseline, "check_source"),
    ("rebuilt source", ending, "check_source"),
    ("on the device", ending, "check_on_device"),
    ("doubts about the teacher", baseline, "doubts_about"),
    ("hashes of files", publishing, "sha256_file"),
    ("samples read twice", passes, "check_repeats"),
    ("digests of samples", passes.PassDigest, "add"),
)
# Whose scores in float32 are what files are held against.
HOLDING = (baseline, making)
FLOAT = "PyTorch's score in float32"
P, T = ParamSpec("P"), TypeVar("T")
Clock = dict[str, list[float]]


def cpu_s() -> float:
    """Processor time of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def timed(clock: Clock, name: str, call: Callable[P, T], depth: list[int]) -> Callable[P, T]:
    """`call`, whose time is added to `clock` unless it is a part of another such call."""

    @functools.wraps(call)
    def clocked(*arguments: P.args, **named: P.kwargs) -> T:
        depth[0] += 1
        wall, used = time.perf_counter(), cpu_s()
        try:
            return call(*arguments, **named)
        finally:
            depth[0] -= 1
            if not depth[0]:
                clock[name][0] += time.perf_counter() - wall
                clock[name][1] += cpu_s() - used

    return clocked


def timed_in_float(clock: Clock, call: Callable[P, T], depth: list[int]) -> Callable[P, T]:
    """`call`, whose time is added to `clock` where it is told to score in float32."""
    clocked = timed(clock, FLOAT, call, depth)

    @functools.wraps(call)
    def chosen(*arguments: P.args, **named: P.kwargs) -> T:
        return (clocked if named.get("precision") == "fp32" else call)(*arguments, **named)

    return chosen


def replaced(run: Path, data: str) -> dict[str, dict[str, float]]:
    """What PyTorch's scores take that a run without judging reports, by the precision."""
    splits = load(data)
    clock: Clock = defaultdict(lambda: [0.0, 0.0])
    for precision in ("auto", "fp32"):
        evaluate = timed(clock, precision, score, [0])
        for folder in (run / "teacher", run):
            model = trace(load_model(folder), first_inputs(splits))
            for split in (splits.validation, splits.test):
                evaluate(model, split, precision=precision, task=CLASSIFICATION)
    return seconds_of(clock)


def seconds_of(clock: Clock) -> dict[str, dict[str, float]]:
    """The times of a clock, as the document has them."""
    return {name: {"wall_s": wall, "cpu_s": used} for name, (wall, used) in clock.items()}


def parts(run: Path, data: str) -> dict[str, dict[str, float]]:
    """What each call takes for a run's teacher, and what scoring it with PyTorch does."""
    teacher, splits, clock = run / "teacher", load(data), defaultdict(lambda: [0.0, 0.0])
    onnx, model, samples = teacher / "model.onnx", load_model(teacher), splits.validation

    def source() -> None:
        with rebuilt.FreshProcess() as fresh:
            for _ in range(2):
                rebuilt.check_rebuilt(fresh, teacher, onnx, validation_samples(splits, 16))

    def on_device() -> None:
        with Session(load_profile("host-cpu")) as session:
            check_on_device(session, onnx, splits, DEVICE_SAMPLES, task=CLASSIFICATION)

    calls: dict[str, Callable[[], object]] = {
        f"the file on {len(samples)} samples": lambda: file_score(
            onnx, samples, task=CLASSIFICATION
        ),
        f"PyTorch on {len(samples)} samples": lambda: score(
            model, samples, precision="fp32", task=CLASSIFICATION
        ),
        "the rebuilt source, twice": source,
        f"{DEVICE_SAMPLES} samples on the device and here": on_device,
    }
    for name, call in calls.items():
        timed(clock, name, call, [0])()
    return seconds_of(clock)


def main(argv: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--weights", type=Path)
    either.add_argument("--parts", type=Path, metavar="RUN")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--json", type=Path, default=Path("bench/results/judging.json"))
    asked = parser.parse_args(argv)
    if asked.parts:
        document = {"parts": parts(asked.parts, asked.data)}
        asked.json.write_text(json.dumps(document, indent=1) + "\n")
        print(json.dumps(document, indent=1))
        return 0
    document = measured(asked.weights, asked.data)
    asked.json.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document, indent=1))
    return 0


def clocks() -> Clock:
    """A clock around every call that judges, from now on."""
    clock: Clock = defaultdict(lambda: [0.0, 0.0])
    depth = [0]
    for name, owner, call in CALLS:
        setattr(owner, call, timed(clock, name, getattr(owner, call), depth))
    for owner in HOLDING:
        owner.score = timed_in_float(clock, owner.score, depth)
    # The fresh Python imports PyTorch beside all else; its processor time is known at its end.
    rebuilt.FreshProcess._end = timed(clock, "rebuilt source", rebuilt.FreshProcess._end, depth)
    return clock


def measured(weights: Path, data: str) -> dict[str, Any]:
    """The main job, and what judging took and added within it."""
    clock = clocks()
    start, used = time.perf_counter(), cpu_s()
    with tempfile.TemporaryDirectory(prefix="edgespiral-") as folder:
        out = Path(folder)
        done = api.compress(
            "resnet20",
            data,
            out=out / "run",
            weights=weights,
            speedup=SPEEDUP,
            epochs=EPOCHS,
            latency_cache=out / "latency",
        )
        wall, all_s = time.perf_counter() - start, cpu_s() - used
        without = replaced(out / "run", data)
    judging = seconds_of(clock)
    taken = {key: sum(part[key] for part in judging.values()) for key in ("wall_s", "cpu_s")}
    return {
        "command": f"python bench/judging.py --weights TEACHER.safetensors --data {data}",
        "outcome": done.result.outcome,
        "turns": done.result.turns,
        "wall_s": wall,
        "cpu_s": all_s,
        "parts": judging,
        "scores_without_judging": without,
        "taken": taken,
        "share_of_wall_taken": taken["wall_s"] / wall,
        "added": {
            precision: {
                "share_of_wall": (taken["wall_s"] - passes["wall_s"]) / wall,
                "share_of_cpu": (taken["cpu_s"] - passes["cpu_s"]) / all_s,
            }
            for precision, passes in without.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
