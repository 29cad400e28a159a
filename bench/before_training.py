"""Everything that a run does before its first training step, timed phase by phase.

`python bench/planning.py --whole resnet50` runs it. It is a real run, on images of noise around
a pattern a class; it ends where training would begin.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torchvision

import edgespiral
from edgespiral.core.batches import DataSplits
from edgespiral.core.listener import Silent
from edgespiral.data.tensors import Normalisation, TensorSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLASSES, HELD_OUT = 10, 64
# Labels of the bars under which a student, or a trial of one, is trained.
TRAINING = ("distilling", "trying learning rates", "training")


class TrainingBegins(KeyboardInterrupt):
    """The first training step would be next."""


class Clock(Silent):
    """A listener that puts down how long a run takes until each thing that it says."""

    def __init__(self) -> None:
        self.phases: list[dict[str, Any]] = []
        self._wall_s, self._cpu_s = time.perf_counter(), processor_s()

    def say(self, text: str) -> None:
        """Until a line."""
        self._mark(text.strip())

    @contextmanager
    def steps(self, label: str) -> Iterator[Callable[[int, int, str], None]]:
        """Until each part of what a bar is about, and until its end."""
        if label.startswith(TRAINING):
            self._mark("cut, checks")
            raise TrainingBegins
        parts: list[str] = []

        def advance(_done: int, _total: int, detail: str) -> None:
            if detail and [detail] != parts[-1:]:
                parts.append(detail)
                self._mark(f"{label}: before the first of {detail} was done")

        yield advance
        self._mark(label)

    def _mark(self, text: str) -> None:
        wall_s, cpu_s = time.perf_counter(), processor_s()
        phase = {"wall_s": wall_s - self._wall_s, "cpu_s": cpu_s - self._cpu_s, "until": text}
        self.phases.append(phase)
        print(f"{phase['wall_s']:8.1f} s {phase['cpu_s']:8.1f} CPU s  {text}", flush=True)
        self._wall_s, self._cpu_s = wall_s, cpu_s


def processor_s() -> float:
    """Of this process and of those that it has waited for, such as measurements."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def images(count: int, side: int, seed: int) -> TensorSource:
    """Images (3, side, side) of noise around their class's pattern."""
    labels = torch.arange(count) % CLASSES
    patterns = torch.randn(CLASSES, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(patterns, size=(side, side))
    noise = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return TensorSource(large[labels] + noise, labels, Normalisation(torch.zeros(3), torch.ones(3)))


def whole(name: str, side: int, count: int, epochs: float) -> dict[str, Any]:
    """A run at 2x of one of torchvision's networks with random weights, until its first step.

    Args:
        side: of the images.
        count: of training images.
        epochs: of the training that does not take place, by which scoring and comparing go.
    """
    torch.manual_seed(0)
    options = {"image_size": side} if name.startswith("vit") else {}
    model = torchvision.models.get_model(name, num_classes=CLASSES, **options).eval()
    for parameter in model.parameters():
        # A ViT's last layer begins as zeros, behind which all cuts would be worth the same.
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    held_out = (images(HELD_OUT, side, seed) for seed in (2, 3))
    names = tuple(map(str, range(CLASSES)))
    splits = DataSplits("noise", images(count, side, 1), *held_out, names, (3, side, side))
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        try:
            edgespiral.compress(
                model,
                splits,
                speedup=2.0,
                max_drop=100.0,
                epochs=epochs,
                batch_size=32,
                out=Path(folder) / "run",
                latency_cache=Path(folder) / "cache",
                listener=clock,
            )
        except TrainingBegins:
            pass
        else:
            raise SystemExit(f"{name}: the run ended before any training")
    totals = {key: sum(phase[key] for phase in clock.phases) for key in ("wall_s", "cpu_s")}
    return {
        "model": name,
        "side": side,
        "images": count,
        "epochs": epochs,
        "threads": torch.get_num_threads(),
        **totals,
        "phases": clock.phases,
    }
