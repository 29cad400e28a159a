"""Honest things that faults are done to: a small network, its weights, runs, models and suites.

All of it is made by the product's own commands, each thing when it is first asked for.
A fault works on a copy.
"""

from __future__ import annotations

import json
import shutil
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import sandbox
from tests.faults.forkserver import Limits
from tests.faults.place import Place

if TYPE_CHECKING:
    from tests.faults.forkserver import ForkServer

NET = '''"""A network of three convolutions for images of 8 x 8 pixels."""
from torch import nn


def make():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )


def small():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )
'''
TARGET = """schema = 1
name = "{name}"
[runtime]
kind = "{kind}"
{runtime}
[transport]
kind = "{transport}"
{way}
[measure]
warmup_ms = 2
rounds = {rounds}
round_ms = {round_ms}
min_samples = 12
"""
PLAN = """model = "net.py:make"
data = "digits"
weights = "weights.safetensors"
target = "tiny.toml"
speedup = 1.3
turns = 1
epochs = 0.2
max_drop = 95.0
allocation = "uniform"
"""
RECIPE = 'schema = 1\nname = "few"\nsamples = 32\nmethod = "minmax"\n'
SUITE = """schema = 1
name = "suite"
target = "tiny.toml"
time_limit_s = 1.0
[[model]]
name = "net"
path = "net.onnx"
budget_ms = 50.0
"""
# Enough for a slow machine that does other things too.
LIMITS = Limits(seconds=240)


class MaterialError(RuntimeError):
    """The product does not make what faults are to be done to."""


class Material:
    """The honest things, in a folder of the scratch."""

    def __init__(self, server: ForkServer) -> None:
        self._server = server
        self.folder = sandbox.scratch() / "material"
        self.folder.mkdir(exist_ok=True)

    @cached_property
    def net(self) -> Path:
        """A file of two factories."""
        return self._text("net.py", NET)

    @cached_property
    def tiny(self) -> Path:
        """A target that measures for some milliseconds on this machine."""
        return self._text("tiny.toml", target("tiny"))

    @cached_property
    def long(self) -> Path:
        """A target that measures for many seconds on this machine."""
        return self._text("long.toml", target("long", rounds=40, round_ms=250))

    @cached_property
    def plan(self) -> Path:
        """A plan of the network's compression."""
        return self._text("plan.toml", PLAN)

    @cached_property
    def recipe(self) -> Path:
        """How int8 is calibrated on few samples."""
        return self._text("few.toml", RECIPE)

    @cached_property
    def suite(self) -> Path:
        """A suite of one model."""
        return self._text("suite.toml", SUITE)

    @cached_property
    def trained(self) -> Path:
        """A finished training."""
        return self._made("trained", "train", "net.py:make", "--data", "digits", "--epochs", "2")

    @property
    def weights(self) -> Path:
        """Its weights."""
        return self.trained / "weights.safetensors"

    @cached_property
    def checkpoint(self) -> Path:
        """The same weights as PyTorch saves them."""
        import torch
        from safetensors.torch import load_file

        path = self.folder / "weights.pt"
        torch.save(load_file(self.weights), path)
        return path

    @cached_property
    def run(self) -> Path:
        """A finished compression."""
        return self._made("run", "compress", "--config", "plan.toml")

    @cached_property
    def planned(self) -> Path:
        """The same compression as it was when its turn was planned and nothing trained for it."""
        return self._planned(self.run)

    @cached_property
    def int8_planned(self) -> Path:
        """The compression to int8 as it was when its turn was planned."""
        return self._planned(self.int8_run)

    @cached_property
    def int8_run(self) -> Path:
        """A finished compression to int8, trained on with its rounding."""
        words = ("--precision", "int8", "--recipe", "few.toml", "--qat", "always")
        return self._made("int8-run", "compress", "--config", "plan.toml", *words)

    @property
    def onnx(self) -> Path:
        """A float ONNX file."""
        return self.run / "model.onnx"

    @property
    def latencies(self) -> Path:
        """The cache that the finished compression left."""
        assert self.run
        return self.folder / "run-cache"

    @cached_property
    def bench_result(self) -> Path:
        """What `bench --out` wrote."""
        place = self.place("bench")
        self._do(place, "bench", "run", "suite.toml", "--out", "result.json")
        return Path(shutil.move(place.cwd / "result.json", self.folder / "result.json"))

    @cached_property
    def baseline(self) -> Path:
        """What `bench save` wrote, of enough processes to be compared with."""
        place = self.place("baseline")
        self._do(place, "bench", "save", "base", "suite.toml")
        saved = place.cwd / ".edgespiral" / "baselines" / "base.json"
        return Path(shutil.move(saved, self.folder / "base.json"))

    @cached_property
    def images(self) -> Path:
        """A folder of two classes of small pictures."""
        import numpy as np
        from PIL import Image

        folder, random = self.folder / "images", np.random.default_rng(0)
        for name in ("a", "b"):
            (folder / name).mkdir(parents=True)
            for index in range(20):
                pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / name / f"{index:02}.png")
        return folder

    @cached_property
    def trtexec(self) -> Path:
        """The tests' stand-in for NVIDIA's trtexec, as a program."""
        stand_in = sandbox.ROOT / "tests" / "stand_ins" / "trtexec.py"
        text = f'#!/bin/sh\nexec {sys.executable} {stand_in} 10.3.0 "$@"\n'
        path = self._text("trtexec", text)
        path.chmod(0o755)
        return path

    @cached_property
    def desk(self) -> Path:
        """A target of the stand-in for trtexec."""
        own = f'precision = "fp32"\ntrtexec = "{self.trtexec}"'
        return self._text("desk.toml", target("desk", kind="tensorrt", runtime=own))

    @cached_property
    def engine(self) -> Path:
        """An engine that the stand-in built, with its record beside it."""
        place = self.place("engine")
        shutil.copy(self.desk, place.cwd)
        self._do(place, "build", "net.onnx", "--target", "desk.toml", "--out", "net.engine")
        for name in ("net.engine", "net.engine.json"):
            shutil.move(place.cwd / name, self.folder / name)
        return self.folder / "net.engine"

    def place(self, name: str) -> Place:
        """A place whose working folder has a network in PyTorch and ONNX, weights, target, plan,
        recipe and suite.
        """
        place = self._place(name)
        shutil.copy(self.weights, place.cwd)
        shutil.copy(self.onnx, place.cwd / "net.onnx")
        return place

    def _place(self, name: str) -> Place:
        place = Place.make(name)
        for path in (self.net, self.tiny, self.plan, self.recipe, self.suite):
            shutil.copy(path, place.cwd)
        return place

    def _planned(self, run: Path) -> Path:
        goal = self.folder / f"{run.name}-planned"
        (goal / "teacher").mkdir(parents=True)
        for path in (run / "teacher").iterdir():
            shutil.copy(path, goal / "teacher")
        lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
        count = [json.loads(line)["kind"] for line in lines].index("turn-planned") + 1
        (goal / "journal.jsonl").write_bytes(b"".join(lines[:count]))
        return goal

    def _text(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def _made(self, name: str, *words: str) -> Path:
        place = self._place(name)
        if words[0] == "compress":
            shutil.copy(self.weights, place.cwd)
        self._do(place, *words, "--out", name)
        goal = self.folder / name
        shutil.move(place.cwd / name, goal)
        kept = place.cache / "edgespiral"
        if kept.is_dir():
            shutil.move(kept, self.folder / f"{name}-cache")
        place.remove()
        return goal

    def _do(self, place: Place, *words: str) -> None:
        outcome = self._server.run(words, place, LIMITS)
        if outcome.exit_code not in (0, 12):
            raise MaterialError(
                f"{' '.join(words)}: exit code {outcome.exit_code}: {outcome.stderr}"
            )


def target(
    name: str,
    *,
    kind: str = "onnxruntime",
    runtime: str = "",
    transport: str = "local",
    way: str = "timeout_s = 60",
    rounds: int = 6,
    round_ms: int = 2,
) -> str:
    """The text of a target's file.

    Args:
        kind, transport: of runtime and transport.
        runtime, way: further lines of those two tables.
    """
    return TARGET.format(
        name=name,
        kind=kind,
        runtime=runtime,
        transport=transport,
        way=way,
        rounds=rounds,
        round_ms=round_ms,
    )
