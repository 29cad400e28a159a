"""Accuracy at equal measured latency: EdgeSpiral beside what else a user could pick, as JSON.

Usage: python bench/pareto.py MODEL TEACHER.safetensors [--points 2 3 4] [--seeds 0 1 2]
           [--rows ours ...] [--epochs 2] [--stop-after-s S] [--json FILE]

All rows of a point have the same teacher, data, epochs of the same distillation and batch-norm
recalibration, on training samples as they are stored; they differ in where they cut. Every cut that
a baseline can make, at each 40th of its ratio and in steps of 1 and of 16 channels, is measured
untrained, once for all points and seeds; of those that are fast enough the one with most parameters
is trained. All are measured again side by side. `--points 1 --rows "no cut"` is the ceiling: the
teacher itself, distilled on as all rows are. `wall_s` and `cpu_s` of a baseline leave the
measuring of its cuts out; `search_s` has it. A point that no cut of a row reaches is written down
as such. What is in the JSON file is not run again. The test split is read once a row, at its end;
bench/pareto_summary.py says how far apart the rows are, and draws the picture.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import resource
import tempfile
import time
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch_pruning as tp
from pareto_summary import OURS, packed, show, summary
from torch import nn

import edgespiral
from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.data import load
from edgespiral.distill.batchnorm import recalibrate_batchnorm
from edgespiral.distill.evaluate import score
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.export.onnx import export_onnx
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session
from edgespiral.models import load_model_for
from edgespiral.models.saved import trace
from edgespiral.prune.prunable import PrunableModel, cut_to
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.prune.scoring.criteria.base import Evidence
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from edgespiral.core.batches import BatchSource, DataSplits

    Shape = Callable[[float, int], nn.Module]

DATA = "fashion-mnist"
UNCUT, ISOMORPHIC = "no cut", "torch-pruning isomorphic taylor"
NNI_UNIFORM = "nni uniform l1"
ROUND_TO = (1, 16)
RATIOS = [step / 40 for step in range(1, 39)]
QUICK_ROUNDS = 16
SIDE_BY_SIDE = 8
# Rows whose cuts have the same shapes, and so the same latency, as those of another.
SHAPES_OF = {"slim from scratch": NNI_UNIFORM}
FINAL_ROUNDS = 60
TAYLOR_BATCHES = 16
RECALIBRATION_BATCHES = 30
# A network that starts from nothing needs the rate of a teacher's training.
SCRATCH_RATE = 0.2


class Job(NamedTuple):
    """One row at one point."""

    row: str
    speedup: float
    seed: int
    epochs: float


class Pair:
    """A teacher on its data, and the baselines' ways to cut it to a ratio."""

    def __init__(self, model: str, weights: Path, data: str = DATA) -> None:
        self.name, self.weights, self.data = model, weights, data
        self.shown: DataSplits = load(data)
        self.splits = self.shown.unaugmented()
        self.teacher = load_model_for(self.splits, model, weights=weights).eval()
        self.teacher_test_percent = 100.0 * float(right(self.teacher, self.splits.test).mean())
        self.source = PrunableModel.of(trace(self.teacher), self.splits.input_shape)
        self.example = torch.zeros(1, *self.splits.input_shape)
        self.shapes: dict[str, Shape] = {
            "torch-pruning uniform l1": partial(self.by_torch_pruning, taylor=False),
            "torch-pruning global taylor": partial(self.by_torch_pruning, taylor=True),
            ISOMORPHIC: partial(self.by_torch_pruning, taylor=True, isomorphic=True),
            NNI_UNIFORM: self.by_nni,
            "slim from scratch": self.slim,
        }

    def untrained(self, row: str, ratio: float, round_to: int) -> nn.Module:
        """A network of the shapes that a row's cut has, for measuring: quickly made."""
        if row == NNI_UNIFORM:
            return self.source.candidate(self.uniform_widths(ratio, round_to))
        return self.shapes[row](ratio, round_to)

    def by_torch_pruning(
        self, ratio: float, round_to: int, *, taylor: bool, isomorphic: bool = False
    ) -> nn.Module:
        """Torch-Pruning's own pruner, one step; `isomorphic` as Fang et al. 2024 rank groups."""
        left = self.left_by_torch_pruning
        return self._torch_pruning_step(ratio, round_to, taylor, isomorphic, left)

    @cached_property
    def left_by_torch_pruning(self) -> frozenset[str]:
        """Layers that Torch-Pruning is told to leave, by name: those of the outputs.

        It does not follow channels that are padded. Where its cut cannot run, it is told to leave
        all that can not be cut by our trace, too, such as what ends in sums with padded channels.
        """
        layers = {
            name: module
            for name, module in self.teacher.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear)
        }
        outputs = frozenset(name for name, layer in layers.items() if isinstance(layer, nn.Linear))
        try:
            self._torch_pruning_step(0.5, 1, False, False, outputs)(self.example)
        except RuntimeError:
            cut = {slot.layer for group in self.source.groups for slot in group.producers}
            return outputs | (layers.keys() - cut)
        return outputs

    def _torch_pruning_step(
        self, ratio: float, round_to: int, taylor: bool, isomorphic: bool, left: Collection[str]
    ) -> nn.Module:
        model = copy.deepcopy(self.teacher).float()
        if taylor:
            for parameter, gradient in zip(model.parameters(), self.gradients, strict=True):
                parameter.grad = gradient.clone()
        importance = tp.importance.GroupTaylorImportance() if taylor else None
        tp.pruner.BasePruner(
            model,
            self.example,
            importance=importance or tp.importance.GroupMagnitudeImportance(p=1),
            global_pruning=taylor,
            isomorphic=isomorphic,
            pruning_ratio=ratio,
            max_pruning_ratio=0.9,
            round_to=round_to,
            ignored_layers=[model.get_submodule(name) for name in left],
        ).step()
        model.zero_grad()
        return model

    def by_nni(self, ratio: float, round_to: int) -> nn.Module:
        """NNI's L1 norm, the same share of every group of coupled channels, NNI's speed-up."""
        scores = CRITERIA.get("l1").score(
            self.source.model,
            self.source.groups,
            Evidence([], 0, losses=CLASSIFICATION.sample_losses),
        )
        return cut_to(self.source, self.uniform_widths(ratio, round_to), scores, "nni").model

    def uniform_widths(self, ratio: float, round_to: int) -> dict[str, int]:
        """What each group keeps where all lose the same share."""
        widths = {}
        for group in self.source.groups:
            step = max(round_to, group.sub_groups)
            kept = round((1 - ratio) * group.channels / step) * step
            widths[group.name] = min(group.channels, max(step, kept))
        return widths

    def slim(self, ratio: float, round_to: int) -> nn.Module:
        """A uniformly narrower network with fresh weights."""
        model = self.by_nni(ratio, round_to)
        torch.manual_seed(0)
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
                module.reset_parameters()
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        return model

    @cached_property
    def gradients(self) -> list[Tensor]:
        """Of each of the teacher's parameters, which are the same for all cuts of it."""
        model = copy.deepcopy(self.teacher).float()
        batches = self.splits.train.epoch(batch_size=128, seed=0)
        for _, (inputs, labels) in zip(range(TAYLOR_BATCHES), batches, strict=False):
            torch.autograd.backward(nn.functional.cross_entropy(model(inputs), labels))
        return [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for parameter in model.parameters()
        ]

    def forget_gradients(self) -> None:
        """Have them gathered anew when they are asked for."""
        self.__dict__.pop("gradients", None)


def cuts(pair: Pair, name: str, folder: Path) -> list[dict[str, float]]:
    """Every different cut of a baseline with its measured speed-up, none of them trained."""
    found: dict[int, dict[str, float]] = {}
    for round_to, ratio in itertools.product(ROUND_TO, RATIOS):
        model = pair.untrained(name, ratio, round_to)
        count = parameter_count(model)
        if count in found:
            continue
        path = folder / f"{count}.onnx"
        export_onnx(model, path, input_shape=pair.splits.input_shape)
        found[count] = {"ratio": ratio, "round_to": round_to, "parameters": count}
    teacher = folder / "teacher.onnx"
    export_onnx(pair.teacher, teacher, input_shape=pair.splits.input_shape)
    with Session(load_profile("host-cpu")) as session:
        counts = list(found)
        for first in range(0, len(counts), SIDE_BY_SIDE):
            some = counts[first : first + SIDE_BY_SIDE]
            paths = [folder / f"{count}.onnx" for count in some]
            measured = session.compare(teacher, paths, rounds=QUICK_ROUNDS)
            for count, (_, speedup) in zip(some, measured, strict=True):
                found[count]["speedup"] = speedup.value
    return list(found.values())


def table_of(pair: Pair, row: str, tables: dict[str, Any]) -> dict[str, Any]:
    """The measured cuts of a row, from `tables` or added to them."""
    name = SHAPES_OF.get(row, row)
    key = f"{pair.name}, {name}"
    if key not in tables:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = cuts(pair, name, Path(folder))
        tables[key] = {"seconds": time.perf_counter() - start, "cuts": found}
    table: dict[str, Any] = tables[key]
    return table


def reaches(job: Job, table: list[dict[str, float]]) -> bool:
    """Whether a cut of the row is as fast as asked for."""
    return any(cut["speedup"] >= job.speedup for cut in table)


def cut_for(pair: Pair, job: Job, table: list[dict[str, float]] | None) -> nn.Module:
    """The cut with most parameters that measures at least the speed-up asked for."""
    if table is None:
        return copy.deepcopy(pair.teacher).float()
    enough = [cut for cut in table if cut["speedup"] >= job.speedup]
    best = max(enough, key=lambda cut: cut["parameters"])
    return pair.shapes[job.row](best["ratio"], int(best["round_to"]))


def parameter_count(model: nn.Module) -> int:
    """Parameters of `model`."""
    return sum(parameter.numel() for parameter in model.parameters())


def baseline(pair: Pair, job: Job, table: list[dict[str, float]] | None, out: Path) -> nn.Module:
    """Cut as the row does and distil."""
    model = cut_for(pair, job, table)
    fresh = job.row.startswith("slim")
    settings = TrainSettings.for_distillation(
        epochs=job.epochs, batch_size=128, temperature=4.0, alpha=0.9, seed=job.seed,
        learning_rate=SCRATCH_RATE if fresh else None,
    )  # fmt: skip
    if not fresh:
        train_data = pair.splits.train
        recalibrate_batchnorm(model, train_data, batches=RECALIBRATION_BATCHES, seed=job.seed)
    train(model, pair.splits, settings, Objective(CLASSIFICATION, teachers=[pair.teacher]))
    export_onnx(model, out / "model.onnx", input_shape=pair.splits.input_shape)
    return model


def ours(pair: Pair, job: Job, out: Path) -> nn.Module:
    """`edgespiral compress` with its defaults, but no early end and nothing from a cache."""
    return edgespiral.compress(
        pair.name, pair.data, weights=str(pair.weights), speedup=job.speedup, epochs=job.epochs,
        seed=job.seed, max_drop=20.0, out=out, latency_cache=out.with_name("latency"),
    ).model  # fmt: skip


def cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@torch.inference_mode()
def right(model: nn.Module, source: BatchSource) -> NDArray[np.bool_]:
    """Which samples of `source` the network classifies rightly, in fp32."""
    hits = [
        model(inputs).argmax(dim=-1) == labels for inputs, labels in source.epoch(batch_size=250)
    ]
    return torch.cat(hits).numpy()


def one(pair: Pair, job: Job, tables: dict[str, Any]) -> dict[str, Any]:
    """One row: trained, measured beside the teacher, tested."""
    table = None if job.row in {OURS, UNCUT} else table_of(pair, job.row, tables)
    head = {
        "model": pair.name, "point": job.speedup, "row": job.row, "seed": job.seed,
        "epochs": job.epochs, "teacher_test_percent": pair.teacher_test_percent,
    }  # fmt: skip
    if table is not None and not reaches(job, table["cuts"]):
        return head | {"reached": False, "fastest": max(c["speedup"] for c in table["cuts"])}
    return head | {"reached": True, **trained(pair, job, table)}


def trained(pair: Pair, job: Job, table: dict[str, Any] | None) -> dict[str, Any]:
    """A row that can be reached: what came of it and what it took."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "run"
        start, cpu_start = time.perf_counter(), cpu_seconds()
        if job.row == OURS:
            model = ours(pair, job, out)
        else:
            out.mkdir()
            model = baseline(pair, job, table["cuts"] if table else None, out)
        wall_s, cpu_s = time.perf_counter() - start, cpu_seconds() - cpu_start
        teacher = Path(temporary) / "teacher.onnx"
        export_onnx(pair.teacher, teacher, input_shape=pair.splits.input_shape)
        with Session(load_profile("host-cpu")) as session:
            [(_, measured)] = session.compare(teacher, [out / "model.onnx"], rounds=FINAL_ROUNDS)
    hits = right(model.eval(), pair.splits.test)
    return {
        "speedup": measured.value, "speedup_ci95": [measured.ci95.low, measured.ci95.high],
        "parameters": parameter_count(model), "wall_s": wall_s, "cpu_s": cpu_s,
        "search_s": table["seconds"] if table else 0.0,
        "validation_percent": score(model, pair.splits.validation, task=CLASSIFICATION),
        "test_percent": 100.0 * float(hits.mean()), "test_samples": len(hits),
        "test_correct": packed(hits),
    }  # fmt: skip


def main() -> None:
    """Run what is missing, then print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--points", type=float, nargs="+", default=[2.0, 3.0, 4.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+")
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--stop-after-s", type=float, default=float("inf"))
    parser.add_argument("--json", type=Path, default=Path("bench/results/pareto.json"))
    args = parser.parse_args()
    before = json.loads(args.json.read_text()) if args.json.exists() else {}
    done, tables = before.get("rows", []), before.get("tables", {})
    known = {(r["model"], r["point"], r["row"], r["seed"], r["epochs"]) for r in done}
    pair, start = Pair(args.model, args.weights), time.perf_counter()
    names = args.rows or [OURS, *(name for name in pair.shapes if name != ISOMORPHIC)]
    for seed, point, name in itertools.product(args.seeds, args.points, names):
        late = time.perf_counter() - start > args.stop_after_s
        if late or (args.model, point, name, seed, args.epochs) in known:
            continue
        done.append(one(pair, Job(name, point, seed, args.epochs), tables))
        found = {"versions": versions(), "summary": summary(done), "rows": done, "tables": tables}
        write_text(args.json, json.dumps(found, indent=1) + "\n")
        print(json.dumps({k: v for k, v in done[-1].items() if k != "test_correct"}), flush=True)
    print(show(args.json), end="")


if __name__ == "__main__":
    main()
