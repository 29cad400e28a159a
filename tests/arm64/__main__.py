"""`python -m tests.arm64`: the way to an ARM64 device, walked on an emulated one; `make arm64`.

It proves that the path works. Its times are QEMU's, and mean nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from edgespiral.measure.tiny import write_tiny_model, write_tiny_module
from tests.arm64.machine import Machine, require
from tests.arm64.root import NotHereError, made

ROOT = Path(__file__).resolve().parents[2]
NOTHING = "these times are of an emulator, and mean nothing"
# What a run may come to where times mean nothing (docs/exit-codes.md).
OUTCOMES = {"compress": (0, 10, 11, 12)}
# Of each step, by the clock: a race of one pass has two processes for each of some ten rows, and an
# emulated Python takes seconds to start; beside other programs it takes several times as long.
LONGEST_S = {"train": 600, "check": 900, "compress": 2400, "race": 3600}
# Small: what takes time there are the starts of processes.
NET = """from torch import nn


def net():
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10))
"""
# OpenVINO, which makes its kernels as it loads a model, does not come to its end there in minutes.
RACING = ("onnxruntime", "mnn", "ncnn", "litert")
# The least that is still a measurement: a process of the emulated Python takes seconds to start.
TARGET = """schema = 1
name = "arm64-emulated"

[runtime]
kind = "onnxruntime"
threads = 1

[transport]
kind = "ssh"
host = "arm64"
config = "{config}"
timeout_s = 600

[measure]
warmup_ms = 1
rounds = 6
round_ms = 1
min_samples = 12
max_samples = 200

[device]
channel_multiple = 4
description = "ARM64 Linux in QEMU: its times mean nothing"
"""


def main(arguments: list[str]) -> int:
    """Walk the way; 0 where every step comes to its end."""
    asked = _parser().parse_args(arguments)
    try:
        require()
        wheels = made(asked.root, asked.uv)
        print(f"an ARM64 root with {', '.join(wheels)}: {asked.root}", flush=True)
        with (
            tempfile.TemporaryDirectory(prefix="edgespiral-arm64-") as work,
            Machine(asked.root, Path(work)) as machine,
        ):
            return _walked(machine, Path(work), asked.steps)
    except NotHereError as error:
        sys.stderr.write(f"no ARM64 machine: {error}\n")
        return 2


def _walked(machine: Machine, work: Path, chosen: list[str]) -> int:
    target, net = work / "arm64-emulated.toml", work / "net.py"
    target.write_text(TARGET.format(config=machine.config))
    net.write_text(NET)
    teacher, run = work / "teacher", work / "run"
    steps = {
        "train": [
            "train",
            f"{net}:net",
            "--data",
            "digits",
            "--epochs",
            "2",
            "--out",
            str(teacher),
        ],
        "check": ["targets", "check", str(target)],
        "compress": [
            *("compress", f"{net}:net", "--data", "digits"),
            *("--weights", str(teacher / "weights.safetensors")),
            *("--target", str(target), "--speedup", "1.2", "--turns", "1", "--epochs", "0.3"),
            *("--criterion", "l1", "--allocation", "uniform", "--max-drop", "100"),
            *("--device-samples", "4", "--out", str(run)),
        ],
        "race": ["targets", "race", str(target), *_raced(work, run, chosen)],
    }
    for name, words in steps.items():
        if name in chosen:
            print(f"$ edgespiral {' '.join(words)}", flush=True)
            environment = {**os.environ, "XDG_CACHE_HOME": str(work / "cache")}
            command = [sys.executable, "-m", "edgespiral", *words]
            try:
                done = subprocess.run(command, cwd=ROOT, env=environment, timeout=LONGEST_S[name])
            except subprocess.TimeoutExpired:
                print(f"{name} did not end in {LONGEST_S[name] // 60} minutes; {NOTHING}")
                return 1
            code = done.returncode
            if code not in OUTCOMES.get(name, (0,)):
                print(f"{name} ended with exit code {code}; {NOTHING}")
                return code
    print(f"done: {', '.join(name for name in steps if name in chosen)}; {NOTHING}")
    return 0


def _raced(work: Path, run: Path, chosen: list[str]) -> list[str]:
    """What is raced in one pass, and by which runtimes: a run's file, or else a tiny model."""
    words = ["--passes", "1", *(word for name in RACING for word in ("--runtime", name))]
    if "compress" in chosen:
        return [str(run / "model.onnx"), "--data", "digits", *words]
    write_tiny_module(work)
    return [str(write_tiny_model(work / "tiny.onnx")), *words]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.arm64", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT / ".tools" / "arm64")
    parser.add_argument("--uv", type=Path, default=ROOT / ".tools" / "bin" / "uv")
    parser.add_argument("--steps", nargs="+", default=["train", "check", "compress", "race"])
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
