"""How the time and the memory of each phase of a run grow with what it is given, as JSON.

Usage: python bench/scaling.py [AXIS ...] [--whole] [--pieces] [--json FILE] [--markdown FILE]

Axes: network (ResNet-18, -34, -50, by parameters), groups (chains of convolutions, by groups of
channels), classes, data (training samples), turns, devices. Each point is a run of its own process
on noise, with random weights, of one epoch in all; `--whole` adds ResNet-101 and -152, ViT-B/16 and
DenseNet-121 and -201. What is there by then is written after each point, and a later call does the
points that lack. A phase's exponent is the slope of the logarithm of its processor's seconds over
that of the axis, by least squares: 0 grows with nothing, 1 in step. The part that planning has of
ten epochs is told for the samples of the run, and, reckoned from these, for CIFAR-10's 45,000.
Memory is the largest resident set of the run's process during the phase, less that before the run:
imports and data. `--pieces` adds what docs/guides/scale.md multiplies: JPEG files that one core
reads in a second, and ResNet-50's ONNX file on this machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import psutil
import torch
import torchvision
from before_training import processor_s
from PIL import Image
from torch import nn

import edgespiral
from edgespiral.core.batches import DataSplits
from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.data import load
from edgespiral.data.tensors import StoredRows
from edgespiral.prune.prunable import PrunableModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIDE, CLASSES, SAMPLES, HELD_OUT, WIDTH, CHAIN = 32, 10, 512, 128, 32, 8
LARGE = ("resnet101", "resnet152", "vit_b_16", "densenet121", "densenet201")
# Values of each axis; those that a network is of are by its name.
AXES: dict[str, tuple[Any, ...]] = {
    "network": ("resnet18", "resnet34", "resnet50"),
    "groups": (8, 16, 32, 64),
    "classes": (10, 100, 1000),
    "data": (512, 1024, 2048, 4096),
    "turns": (1, 2, 4),
    "devices": (1, 2, 3),
}
# Of what a run says it is doing, the phase that it is a part of.
PHASES = (
    ("finding", "opening"),
    ("trying the model", "opening"),
    ("the teacher", "teacher"),
    ("asking the teacher", "asking the teacher"),
    ("scoring", "scoring"),
    ("measuring", "planning"),
    ("planning", "planning"),
    ("trying learning", "rate"),
    ("distilling", "training"),
)
ENDING = "export, score, measure"
LEAST_S, EVERY_S = 0.05, 0.02
# Of the training that planning is held against: CIFAR-10's split without its validation part.
EPOCHS, CIFAR_SAMPLES = 10, 45_000
LONGEST_POINT_S = 900
JPEGS, RUNS = 128, 20


class Clock(edgespiral.Listener):
    """Seconds and largest memory of each phase; what is in none belongs to the one before it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor_s: dict[str, float] = {}
        self.peak_mib: dict[str, float] = {}
        self._process = psutil.Process()
        self._phase, self._before = "opening", self._mib()
        self._since = time.perf_counter(), processor_s()
        threading.Thread(target=self._watch, daemon=True).start()

    @contextmanager
    def steps(self, label: str) -> Iterator[Callable[[int, int, str], None]]:
        """A phase begins; after a training comes what is done with its student."""
        phase = next((name for start, name in PHASES if label.startswith(start)), self._phase)
        self._turn_to(phase)
        yield lambda *_: None
        if phase in ("training", "scoring", "rate", "asking the teacher"):
            self._turn_to(ENDING if phase == "training" else "planning")

    def run_closed(self, error: BaseException | None) -> None:  # noqa: ARG002
        """The last phase ends."""
        self._turn_to("")

    def _turn_to(self, phase: str) -> None:
        now = time.perf_counter(), processor_s()
        for spent, end, since in zip(
            (self.seconds, self.processor_s), now, self._since, strict=True
        ):
            spent[self._phase] = spent.get(self._phase, 0.0) + end - since
        self._phase, self._since = phase, now

    def _watch(self) -> None:
        while True:
            phase = self._phase
            grown = self._mib() - self._before
            self.peak_mib[phase] = max(self.peak_mib.get(phase, 0.0), grown)
            time.sleep(EVERY_S)

    def _mib(self) -> float:
        return float(self._process.memory_info().rss) / 2**20


def chain(groups: int, classes: int) -> nn.Module:
    """Convolutions one after the other, each of which is a group of channels."""
    layers: list[nn.Module] = []
    widths = [3, *[WIDTH] * groups]
    for number, (before, after) in enumerate(pairwise(widths)):
        stride = 2 if number in (1, 3) else 1
        layers += [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, classes))


def network(name: str) -> nn.Module:
    """One of torchvision's, with random weights, for images of this size."""
    options = {"image_size": SIDE} if name.startswith("vit") else {}
    model: nn.Module = torchvision.models.get_model(name, num_classes=CLASSES, **options)
    return model


def noise(samples: int, classes: int) -> DataSplits:
    """Images that are to be told apart by nothing."""
    torch.manual_seed(1)
    parts = [
        StoredRows(torch.randn(count, 3, SIDE, SIDE), torch.arange(count) % classes)
        for count in (samples, HELD_OUT, HELD_OUT)
    ]
    return DataSplits("noise", *parts, tuple(map(str, range(classes))), (3, SIDE, SIDE))


def targets(number: int, folder: Path) -> list[str]:
    """This machine, measured in short rounds under so many names."""
    profile = edgespiral.load_profile("host-cpu").model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    profile["measure"] |= {"round_ms": 10, "warmup_ms": 10, "min_samples": 5}
    sections = "".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in profile.items()
        if isinstance(table, dict)
    )
    paths = [folder / f"device-{at}.toml" for at in range(number)]
    for path in paths:
        path.write_text(f'schema = 1\nname = "{path.stem}"\n{sections}')
    return list(map(str, paths))


def point(axis: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 (a name or a number)
    """A run with one thing as large as `value`, and what each of its phases took."""
    torch.manual_seed(0)
    given = {"groups": CHAIN, "classes": CLASSES, "data": SAMPLES, "turns": 1, "devices": 1}
    given[axis] = value
    is_named = axis == "network" or isinstance(value, str)
    model = network(value) if is_named else chain(given["groups"], given["classes"])
    splits = noise(given["data"], given["classes"])
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        edgespiral.compress(
            model.eval(),
            splits,
            target=tuple(targets(given["devices"], Path(folder))),
            speedup=1.5,
            max_drop=100.0,
            epochs=1.0,
            batch_size=32,
            turns=given["turns"],
            learning_rate=0.01,
            out=Path(folder) / "run",
            latency_cache=Path(folder) / "cache",
            listener=clock,
        )
    size = given.get(axis) if not is_named else _size(axis, model)
    ends = {"processor_s": clock.processor_s, "peak_mib": clock.peak_mib}
    return {"axis": axis, "value": value, "size": size, "seconds": clock.seconds, **ends}


def _size(axis: str, model: nn.Module) -> int:
    if axis == "groups":
        return len(PrunableModel.of(model.eval(), torch.zeros(1, 3, SIDE, SIDE)).groups)
    return sum(parameter.numel() for parameter in model.parameters())


def exponents(points: list[dict[str, Any]]) -> dict[str, float | None]:
    """Of each phase; None where it took next to nothing, or with fewer than three sizes."""
    phases = dict.fromkeys(name for row in points for name in row["seconds"])
    return {phase: _exponent(points, phase) for phase in phases}


def _exponent(points: list[dict[str, Any]], phase: str) -> float | None:
    pairs = [(row["size"], row["processor_s"].get(phase, 0.0)) for row in points]
    if len({size for size, _ in pairs}) < 3 or min(seconds for _, seconds in pairs) < LEAST_S:
        return None
    sizes, seconds = np.log(np.array(pairs, dtype=float)).T
    return float(np.polyfit(sizes, seconds, 1)[0])


def planning_share(row: dict[str, Any], samples: int | None = None) -> float:
    """The part that planning has of a run of ten epochs, in which only training grows.

    Args:
        row: of one epoch.
        samples: of the training split, of which only training grows too; the row's own if None.
    """
    seconds = row["processor_s"]
    training = seconds.get("training", 0.0)
    planning = seconds.get("planning", 0.0) + seconds.get("scoring", 0.0)
    own = row["value"] if row["axis"] == "data" else SAMPLES
    times = EPOCHS * (samples or own) / own
    return float(planning / (sum(seconds.values()) + (times - 1) * training))


def record(points: list[dict[str, Any]], measured: dict[str, float]) -> dict[str, Any]:
    """All that is known so far."""
    by_axis = {axis: [row for row in points if row["axis"] == axis] for axis in AXES}
    return {
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "pieces": measured,
        "exponents": {axis: exponents(rows) for axis, rows in by_axis.items() if rows},
        "points": [row | _shares(row) for row in points],
    }


# Of each key in the JSON file the words in a table, and the samples.
SHARES = {
    "planning_of_ten_epochs": ("", None),
    "planning_of_ten_epochs_of_cifar": (" of 45,000", CIFAR_SAMPLES),
}


def _shares(row: dict[str, Any]) -> dict[str, float]:
    return {key: planning_share(row, samples) for key, (_, samples) in SHARES.items()}


def markdown(known: dict[str, Any]) -> str:
    """A table for each axis: of each phase seconds, the processor's, peak MiB; and its exponent."""
    lines: list[str] = []
    for axis, fitted in known["exponents"].items():
        rows = [row for row in known["points"] if row["axis"] == axis]
        heads = " | ".join(f"{row['value']}" for row in rows)
        lines += [f"| {axis} | {heads} | exponent |", "|---" * (len(rows) + 2) + "|"]
        for phase, exponent in fitted.items():
            cells = [
                f"{row['seconds'].get(phase, 0.0):.1f}, {row['processor_s'].get(phase, 0.0):.1f}, "
                f"{row['peak_mib'].get(phase, 0.0):.0f}"
                for row in rows
            ]
            told = "" if exponent is None else f"{exponent:.2f}"
            lines.append(f"| {phase} | {' | '.join(cells)} | {told} |")
        for key, (words, _) in SHARES.items():
            shares = " | ".join(f"{100 * row[key]:.1f} %" for row in rows)
            lines.append(f"| planning, of ten epochs{words} | {shares} | |")
        lines.append("")
    return "\n".join(lines)


def pieces() -> dict[str, float]:
    """What larger runs are made of, in seconds of one core, whatever else it is busy with."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        pixels = np.random.default_rng(0).integers(0, 255, (8, 12, 3), dtype=np.uint8)
        for number in range(JPEGS):
            path = place / "data" / f"class-{number % 2}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).resize((500, 375)).save(path, quality=90)
        source = load(f"folder:{place / 'data'}?size=224").train
        next(iter(source.epoch(batch_size=8)))
        begun = processor_s()
        count = sum(len(inputs) for inputs, _ in source.epoch(batch_size=8))
        jpeg_per_s = count / (processor_s() - begun)
        model = torchvision.models.get_model("resnet50", num_classes=CLASSES).eval()
        splits = noise(64, CLASSES)
        large = StoredRows(torch.randn(64, 3, 224, 224), torch.arange(64) % CLASSES)
        data = replace(splits, train=large, validation=large, test=large, input_shape=(3, 224, 224))
        edgespiral.export_model(model, data, place / "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(place / "model.onnx", options)
        image = {session.get_inputs()[0].name: np.zeros((1, 3, 224, 224), np.float32)}
        session.run(None, image)
        begun = processor_s()
        for _ in range(RUNS):
            session.run(None, image)
        onnx_s = (processor_s() - begun) / RUNS
    return {"jpeg_images_per_core_s": jpeg_per_s, "resnet50_onnx_core_ms": 1000 * onnx_s}


def _in_process(axis: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 (a name or a number)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        words = ["--point", json.dumps([axis, value]), "--json", file.name]
        command = [sys.executable, __file__, *words]
        subprocess.run(command, check=True, timeout=LONGEST_POINT_S)
        row: dict[str, Any] = json.loads(Path(file.name).read_text())
    return row


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("axes", nargs="*", default=list(AXES))
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--pieces", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point is not None:
        write_text(asked.json, json.dumps(point(*asked.point)))
        return
    whole = {"network": LARGE[:3], "groups": LARGE[3:]} if asked.whole else {}
    wanted = [(axis, v) for axis in asked.axes for v in (*AXES[axis], *whole.get(axis, ()))]
    is_begun = asked.json is not None and asked.json.is_file()
    earlier = json.loads(asked.json.read_text()) if is_begun else {}
    points, measured = earlier.get("points", []), earlier.get("pieces", {})
    if asked.pieces and not measured:
        measured = pieces()
        print(json.dumps(measured), flush=True)
    for axis, value in wanted:
        if any((row["axis"], row["value"]) == (axis, value) for row in points):
            continue
        points.append(_in_process(axis, value))
        print(json.dumps(points[-1]), flush=True)
        if asked.json:
            write_text(asked.json, json.dumps(record(points, measured), indent=2) + "\n")
    known = record(points, measured)
    if asked.json:
        write_text(asked.json, json.dumps(known, indent=2) + "\n")
    if asked.markdown:
        write_text(asked.markdown, markdown(known))
    print(json.dumps(known["exponents"], indent=2))


if __name__ == "__main__":
    main()
