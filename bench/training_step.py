"""How fast `distill.trainer` trains beside a plain loop of PyTorch's, as JSON.

Usage: python bench/training_step.py [MODEL ...] [--side 32] [--batch-size 128] [--steps 20]
           [--rounds 12] [--json FILE]
       torchrun --nproc-per-node N bench/training_step.py ...

With torchrun, both train in N processes, the plain loop by `DistributedDataParallel` as it comes,
and batch norms of both take their statistics over all processes; `--batch-size` is that of all.

The same network, samples, precision, memory order and optimizer; the loop does a step's work and
nothing else. Both take turns, and a round's ratio is of two blocks of steps side by side. Seconds
are the processor's on a CPU, which other programs move less than the clock, and the clock's on a
GPU.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from edgespiral.core.batches import DataSplits
from edgespiral.core.statistics.stats import paired_ratio
from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.data.tensors import Normalisation, TensorSource
from edgespiral.distill import compute
from edgespiral.distill.optimizers import optimizer_for
from edgespiral.distill.parallel.batchnorm import synchronised
from edgespiral.distill.parallel.replica import own_rows
from edgespiral.distill.parallel.world import joined, present
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.models import build
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

MODELS, CLASSES = ("resnet20", "resnet56", "mobilenet_v2"), 10


def noise(count: int, side: int) -> TensorSource:
    """Images (3, side, side) that say nothing."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 3, side, side, generator=generator)
    return TensorSource(
        inputs, torch.arange(count) % CLASSES, Normalisation(torch.zeros(3), torch.ones(3))
    )


def plain_loop(model: nn.Module, source: TensorSource, settings: TrainSettings) -> None:
    """One pass over `source`, as one writes it without this project."""
    device, world = compute.best_device(), present()
    precision = compute.training_precision(settings.precision, device)
    own = own_rows(settings.batch_size, 1, world)
    with compute.placed([model], device), synchronised(model, world, device):
        optimizer = optimizer_for(model.train(), settings)
        trained = DistributedDataParallel(model) if world.size > 1 else model
        for inputs, targets in source.epoch(batch_size=settings.batch_size, seed=0):
            shown, wanted = compute.to_device(inputs[own], targets[own], device)
            with compute.autocast(precision, device):
                outputs = trained(shown)
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(outputs.float(), wanted).backward()
            optimizer.step()


def train_by_us(model: nn.Module, splits: DataSplits, settings: TrainSettings) -> None:
    """One pass over the training split, in all processes that there are."""
    train(model, splits, settings, Objective(CLASSIFICATION), world=present())


def seconds(work: Callable[[], object]) -> float:
    """What `work` takes: of the processor, or on the clock where a GPU works."""
    on_gpu = torch.cuda.is_available()
    clock = time.perf_counter if on_gpu else time.process_time
    start = clock()
    work()
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - start


def row(name: str, side: int, batch_size: int, steps: int, rounds: int) -> dict[str, Any]:
    """One network's throughput, ours over the plain loop's, with its 95 % interval."""
    source = noise(batch_size * steps, side)
    splits = DataSplits(
        "noise", source, source, source, tuple(map(str, range(CLASSES))), (3, side, side)
    )
    settings = TrainSettings(epochs=1, batch_size=batch_size)
    models = [build(name, classes=CLASSES, input_shape=(3, side, side)) for _ in range(2)]
    ours, plain = [], []
    for index in range(rounds + 1):
        own_s = seconds(lambda: train_by_us(models[0], splits, settings))
        plain_s = seconds(lambda: plain_loop(models[1], source, settings))
        if index:  # the first warms up
            ours.append([own_s])
            plain.append([plain_s])
    ratio = paired_ratio(plain, ours)
    return {
        "model": name,
        "side": side,
        "batch_size": batch_size,
        "steps": steps,
        "processes": present().size,
        "threads": torch.get_num_threads(),
        "device": str(compute.best_device()),
        "precision": compute.training_precision(settings.precision, compute.best_device()),
        "throughput_over_plain": ratio.value,
        "ci95": [ratio.ci95.low, ratio.ci95.high],
        "ours_s": [value for (value,) in ours],
        "plain_s": [value for (value,) in plain],
    }


def main() -> None:
    """Time each network and print or write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with joined("auto") as world, compute.on_device(world.device):
        rows = [
            row(name, options.side, options.batch_size, options.steps, options.rounds)
            for name in options.models
        ]
    if not world.is_first:
        return
    text = json.dumps({"versions": versions(), "rows": rows}, indent=1)
    print(text)
    if options.json:
        write_text(options.json, text + "\n")


if __name__ == "__main__":
    main()
