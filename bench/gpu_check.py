"""What only a machine with a GPU can show: training, NCCL, several processes, engines, throughput.

Usage: sh bench/gpu_check.sh [--json FILE] [--on-cpu]

Each check runs in a process of its own with a time limit, and what it found is written at once. A
check that this machine cannot make is skipped, with the reason. Exit codes: 0 nothing failed, 1 a
check failed, 2 there is no GPU. `--on-cpu` runs what the CPU can, small, to try the script itself.

- training: ResNet-20 learns digits, in the precision that `--amp auto` takes.
- nccl: a sum over processes, a batch norm over them, and a step of DistributedDataParallel.
- scoring: seconds of a turn's scores of channels and branches.
- compiled: a student compiled by `torch.compile` learns digits, and how fast its steps are.
- processes: `edgespiral compress --devices` with all GPUs, in parts of batches and with a compiled
  student, ends with code 0; scores, prices and teachers' outputs are asked in shares there.
- sharded: a run with `--shard-teacher` is stopped in its training, by SIGTERM, and one process
  goes on with it to the end.
- throughput: `bench/training_step.py`, against a plain loop, and with several GPUs against plain
  `DistributedDataParallel` on all of them; 0.97 is asked for.
- engines: TensorRT for RTX builds ResNet-20 for this GPU, runs it, and computes what PyTorch does.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import distributed, nn

from edgespiral.core.batches import first_inputs
from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.data import load
from edgespiral.distill import compute
from edgespiral.distill.evaluate import score
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.export.onnx import export_onnx
from edgespiral.models import build
from edgespiral.models.saved import trace
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.planning.importance import Scorer
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgespiral.distill.settings import Progress

NAME, DATA = "resnet20", "digits"
LEAST_SCORE, LEAST_THROUGHPUT = 80.0, 0.97
LARGEST_DIFFERENCE = 0.02
# What TensorRT for RTX builds for, see targets/tensorrt-rtx.toml.
RTX = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
NO_GPU = "no GPU that PyTorch can use; --on-cpu tries the script on the CPU"


class SkippedError(Exception):
    """This machine cannot make the check."""


@dataclass(frozen=True)
class Place:
    """Where a check runs."""

    on_cpu: bool
    folder: Path

    @property
    def device(self) -> torch.device:
        """The device that is checked."""
        return torch.device("cpu" if self.on_cpu else "cuda")

    @property
    def weights(self) -> Path:
        """Those that the check of training leaves to the others."""
        return self.folder / "weights.safetensors"


def require(holds: bool, words: str) -> None:
    """Fail a check."""
    if not holds:
        raise AssertionError(words)


def training(place: Place) -> dict[str, Any]:
    """Train a network, and leave its weights to other checks."""
    splits = load(DATA)
    torch.manual_seed(0)
    model = build(NAME, classes=10, input_shape=splits.input_shape)
    report = train(
        model, splits, TrainSettings(epochs=3 if place.on_cpu else 12), Objective(CLASSIFICATION)
    )
    reached = score(model, splits.validation, task=CLASSIFICATION)
    state = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(state, place.weights)
    require(place.on_cpu or reached > LEAST_SCORE, f"only {reached:.1f} % on validation")
    return {"score": reached, "precision": report.precision, "seconds": report.seconds}


def nccl(place: Place) -> dict[str, Any]:
    """Collectives of a group of one process: whether the library works with this driver."""
    backend = "gloo" if place.on_cpu else "nccl"
    distributed.init_process_group(
        backend, store=distributed.HashStore(), rank=0, world_size=1, device_id=_index(place)
    )
    value = torch.full((4,), 3.0, device=place.device)
    distributed.all_reduce(value)
    require(bool((value == 3).all()), f"a sum over one process is {value.tolist()}")
    norm: nn.Module = nn.BatchNorm2d(8)
    if not place.on_cpu:
        norm = nn.SyncBatchNorm.convert_sync_batchnorm(norm)
    layers = (nn.Conv2d(3, 8, 3), norm, nn.Flatten(), nn.Linear(8 * 6 * 6, 2))
    model = nn.Sequential(*layers).to(place.device)
    inputs = torch.randn(4, 3, 8, 8, device=place.device)
    parallel = nn.parallel.DistributedDataParallel(model)
    parallel(inputs).square().mean().backward()
    require(
        all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters()),
        "a gradient is missing or not finite",
    )
    distributed.destroy_process_group()
    return {"backend": backend, "gpus": torch.cuda.device_count()}


def scoring(place: Place) -> dict[str, Any]:
    """Score the channels of the trained network."""
    splits = load(DATA)
    model = trace(_trained(place), first_inputs(splits))
    source = PrunableModel.of(model, splits.input_shape)
    start = time.perf_counter()
    importance = Scorer("fisher", splits.train, 4.0, 0, CLASSIFICATION).importance(source, 1)
    taken = time.perf_counter() - start
    values = torch.cat(list(importance.channels.values()))
    require(bool(values.isfinite().all()), "a score is not finite")
    return {"seconds": taken, "channels": len(values)}


def processes(place: Place) -> dict[str, Any]:
    """A whole run in a process for each GPU, and what its students' scores are."""
    count = _count(place)
    options = ["--devices", str(count), "--accumulate", "2"]
    options += [] if place.on_cpu else ["--compile"]
    start = time.perf_counter()
    done = subprocess.run(
        compress(place, "run", *options), capture_output=True, text=True, check=False
    )
    require(done.returncode == 0, f"code {done.returncode}: {done.stderr[-400:]}")
    seconds = time.perf_counter() - start
    result = json.loads((place.folder / "run" / "result.json").read_text(encoding="utf-8"))
    score_lost = result["teacher"]["test_score"] - result["student"]["test_score"]
    return {"processes": count, "seconds": seconds, "score_lost": score_lost}


def sharded(place: Place) -> dict[str, Any]:
    """A run whose teacher is shared out, stopped once it is planned, and gone on with by one."""
    count, out = _count(place), place.folder / "sharded"
    command = compress(place, out.name, "--shard-teacher", "--devices", str(count))
    going = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while going.poll() is None and not _is_planned(out / "journal.jsonl"):
        time.sleep(0.2)
    going.terminate()
    stopped = going.wait()
    require(stopped in (0, 128 + signal.SIGTERM), f"code {stopped}, not that of SIGTERM")
    command = compress(place, out.name, "--resume")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"code {done.returncode}: {done.stderr[-400:]}")
    return {"processes": count, "stopped_with": stopped}


def _is_planned(journal: Path) -> bool:
    return journal.is_file() and '"turn-planned"' in journal.read_text(encoding="utf-8")


def compress(place: Place, out: str, *options: str) -> list[str]:
    """The command of a short run in a folder of the check's."""
    return [
        *(sys.executable, "-m", "edgespiral", "compress", NAME, "--data", DATA),
        *("--weights", str(place.weights), "--speedup", "1.3", "--max-drop", "90"),
        *("--epochs", "1" if place.on_cpu else "4", "--batch-size", "64"),
        *("--out", str(place.folder / out), *options),
        *(["--device", "cpu"] if place.on_cpu else []),
    ]


def throughput(place: Place) -> dict[str, Any]:
    """The trainer's steps against a plain loop's, on one GPU and on all of them."""
    by_count = {count: _step(place, count) for count in sorted({1, _gpus(place)})}
    for count, measured in by_count.items():
        high = measured["ci95"][1]
        on = f"{count} processes"
        require(
            place.on_cpu or high >= LEAST_THROUGHPUT, f"{on}: at most {high:.3f} of a plain loop"
        )
    return {f"of_{count}": measured for count, measured in by_count.items()}


def _step(place: Place, count: int) -> dict[str, Any]:
    out = place.folder / "throughput.json"
    size = ("--rounds", "5", "--steps", "2") if place.on_cpu else ("--side", "64", "--steps", "60")
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [sys.executable, *(launcher if count > 1 else []), "bench/training_step.py", NAME]
    command += [*size, "--batch-size", str(128 * count), "--json", str(out)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    (row,) = json.loads(out.read_text(encoding="utf-8"))["rows"]
    return {key: row[key] for key in ("throughput_over_plain", "ci95", "precision", "batch_size")}


def _gpus(place: Place) -> int:
    return 2 if place.on_cpu else torch.cuda.device_count()


def _count(place: Place) -> int:
    """How many processes a run has here."""
    if _gpus(place) < 2:
        raise SkippedError("one GPU: NCCL wants one for each process")
    return _gpus(place)


def compiled(place: Place) -> dict[str, Any]:
    """The trainer's steps with a compiled student, and its score."""
    splits = load(DATA)
    rates: dict[bool, float] = {}
    for compiles in (False, True):
        torch.manual_seed(0)
        model = build(NAME, classes=10, input_shape=splits.input_shape)
        heard: list[Progress] = []
        settings = TrainSettings(epochs=3 if place.on_cpu else 12, compiles=compiles)
        train(model, splits, settings, Objective(CLASSIFICATION), progress=heard.append)
        # The second half: what comes before has the time of compiling in it.
        middle, last = heard[len(heard) // 2 - 1], heard[-1]
        seconds = [settings.batch_size * p.step / p.samples_per_s for p in (middle, last)]
        rates[compiles] = (last.step - middle.step) / (seconds[1] - seconds[0])
    reached = score(model, splits.validation, task=CLASSIFICATION)
    require(place.on_cpu or reached > LEAST_SCORE, f"only {reached:.1f} % on validation")
    return {"score": reached, "speed_over_plain": rates[True] / rates[False]}


def engines(place: Place) -> dict[str, Any]:
    """An engine that is built for this GPU, run on it and held to PyTorch's outputs."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        raise SkippedError("tensorrt_rtx is not installed")
    if place.on_cpu:
        raise SkippedError("an engine runs on a GPU alone")
    capability = ".".join(map(str, torch.cuda.get_device_capability()))
    if capability not in RTX:
        raise SkippedError(f"TensorRT for RTX has no kernels for compute capability {capability}")
    model, inputs = _trained(place), first_inputs(load(DATA), 1)
    onnx = place.folder / "model.onnx"
    export_onnx(model, onnx, example=inputs)
    bundled = Path("targets/tensorrt-rtx.toml").read_text(encoding="utf-8")
    profile = place.folder / "this-gpu.toml"
    write_text(profile, bundled.replace('"8.9"', f'"{capability}"', 1))
    command = [sys.executable, "-m", "edgespiral", "build", str(onnx), "--target", str(profile)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (engine,) = place.folder.glob("*.engine")
    outputs, milliseconds = _run_engine(engine.read_bytes(), inputs.cuda())
    difference = float((outputs.cpu() - model(inputs)).abs().max())
    require(difference < LARGEST_DIFFERENCE, f"outputs differ by {difference:.3g}")
    return {"latency_ms": milliseconds, "largest_difference": difference}


def _run_engine(content: bytes, inputs: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The outputs of an engine of one input and one output, and its median time."""
    import tensorrt_rtx as trt

    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(content)
    context, stream = engine.create_execution_context(), torch.cuda.Stream()
    names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
    is_input = [engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names]
    outputs = torch.empty(tuple(engine.get_tensor_shape(names[is_input.index(False)]))).cuda()
    for name, given in zip(names, is_input, strict=True):
        context.set_tensor_address(name, (inputs if given else outputs).data_ptr())
    times = []
    for _ in range(220):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record(stream)
        context.execute_async_v3(stream.cuda_stream)
        end.record(stream)
        end.synchronize()
        times.append(start.elapsed_time(end))
    return outputs, sorted(times[20:])[100]


# With seconds that each may take; less than the whole script's 480 together.
CHECKS: dict[str, tuple[Callable[[Place], dict[str, Any]], int]] = {
    "training": (training, 60),
    "nccl": (nccl, 30),
    "scoring": (scoring, 40),
    "compiled": (compiled, 60),
    "processes": (processes, 90),
    "sharded": (sharded, 90),
    "throughput": (throughput, 60),
    "engines": (engines, 45),
}


def _index(place: Place) -> torch.device | None:
    return None if place.on_cpu else torch.device("cuda:0")


def _trained(place: Place) -> nn.Module:
    splits = load(DATA)
    model = build(NAME, classes=10, input_shape=splits.input_shape)
    model.load_state_dict(load_file(place.weights))
    return model.eval()


def checked(name: str, place: Place) -> dict[str, Any]:
    """What one check found, in a process of its own."""
    command = [sys.executable, __file__, "--only", name, "--folder", str(place.folder)]
    command += ["--on-cpu"] if place.on_cpu else []
    limit_s = CHECKS[name][1]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return {"outcome": "failed", "reason": f"took longer than {limit_s} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
        return {"outcome": "failed", "reason": lines[-1]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def only(name: str, place: Place) -> None:
    """Make one check, and print what it found."""
    with compute.on_device(str(place.device)):
        try:
            answer = {"outcome": "passed", **CHECKS[name][0](place)}
        except SkippedError as reason:
            answer = {"outcome": "skipped", "reason": str(reason)}
    print(json.dumps(answer))


def main() -> int:
    """Make all checks, print a line for each, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--on-cpu", action="store_true")
    parser.add_argument("--only", choices=CHECKS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        only(options.only, Place(options.on_cpu, options.folder))
        return 0
    if not options.on_cpu and not torch.cuda.is_available():
        print(f"skipped: {NO_GPU}")
        return 2
    gpu = None if options.on_cpu else torch.cuda.get_device_name(0)
    record: dict[str, Any] = {"gpu": gpu, "versions": versions(), "checks": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in CHECKS:
            found = checked(name, Place(options.on_cpu, Path(folder)))
            record["checks"][name] = found
            print(f"{name}: {found['outcome']}", found.get("reason", ""))
            if options.json:
                write_text(options.json, json.dumps(record, indent=1) + "\n")
    outcomes = {found["outcome"] for found in record["checks"].values()}
    return int("failed" in outcomes)


if __name__ == "__main__":
    sys.exit(main())
