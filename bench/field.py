"""Accuracy at equal measured latency on the field's own networks and data, as JSON and a picture.

Usage: python bench/field.py NETWORKS.toml [--points 2 4 3] [--epochs 5] [--seeds 0 1]
           [--rows ours ...] [--stop-after-s S] [--json FILE] [--models FOLDER [--again]]

NETWORKS.toml names what lies on this machine, each network with its data and trained weights, and
the smaller ones of its family:

    [[network]]
    name = "ResNet-56, CIFAR-10"
    model = "resnet.py:resnet56"
    data = "cifar.py:views"
    weights = "resnet56.safetensors"
    siblings = ["resnet.py:resnet32", "resnet.py:resnet20"]

All rows have the same teacher, data (its random views from as many epochs on as ours has them, as
stored in fewer), epochs of the same distillation, at the rate that our rule has
for so many steps, and latency in turns with the teacher on host-cpu:

    ours          `edgespiral compress`, by default
    ours, int8    the same with int8 allowed (`--precision auto`)
    uniform l1    the same share of every group by L1 norm, cut by NNI
    taylor        Torch-Pruning's groups by Taylor scores, ranked over the whole network
    isomorphic    the same, ranked among groups of one kind (Fang et al. 2024)
    sibling       the largest of the family that is as fast as asked, from fresh weights
    int8 alone    the teacher in int8, nothing cut and nothing trained

Points and rows that decide most come first, one seed before the second. What is in FILE is not run
again, so it can be stopped and gone on with; what was not run is listed at the end. `wall_s` is a
row's own time and `search_s` what looking for its cut took beside it. Validation steers, the test
split is read once a row. Rows that no cut reaches say so, and so do rows that fail, which are
tried again by the next call. `--models` keeps each row's file, and what our runs have done when
they are stopped, so that the next call goes on with it; `wall_s` is then what the run has counted.
With `--again` nothing is trained: files that were kept are timed once more, at rest after a busy
day. ModelOpt's, NNI's and TinyNN's methods are not among them.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import shutil
import tempfile
import time
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from field_summary import lines_of
from pareto import (
    FINAL_ROUNDS,
    ISOMORPHIC,
    OURS,
    SCRATCH_RATE,
    Job,
    Pair,
    cut_for,
    reaches,
)
from pareto_picture import picture
from peer_search import search_of

import edgespiral
from edgespiral.core.errors import EdgeSpiralError
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.core.system.versions import versions
from edgespiral.distill.batchnorm import recalibrate_batchnorm
from edgespiral.distill.optimizers import width_of
from edgespiral.distill.settings import steps_of
from edgespiral.distill.trainer import Objective, train
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import file_score
from edgespiral.export.precision import ExportRequest, export_as
from edgespiral.export.recipe import load_recipe
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session
from edgespiral.models import load_model_for
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.student.learning_rate import expected_rate
from edgespiral.spiral.training import training_settings
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from edgespiral.core.records.measurement import Ratio

Json = dict[str, Any]
OURS_INT8, UNIFORM, SIBLING, INT8 = "ours, int8", "uniform l1", "sibling", "int8 alone"
# The cuts of bench/pareto.py by which rows are made.
PEERS = {
    UNIFORM: "nni uniform l1",
    "taylor": "torch-pruning global taylor",
    "isomorphic": ISOMORPHIC,
}
ROWS = (OURS, UNIFORM, SIBLING, "taylor", "isomorphic", OURS_INT8, INT8)
# What is never asked of a network whose point says nothing: it has one speed.
ONE_SPEED = frozenset({INT8})
RECALIBRATION_BATCHES = 30
HEAD = ("network", "row", "seed", "epochs", "asked")


@dataclass(frozen=True, eq=False)
class Network:
    """One network of NETWORKS.toml; paths are as there."""

    name: str
    model: str
    data: str
    weights: str
    siblings: list[str] = field(default_factory=list)


class Row(NamedTuple):
    """What is to be measured."""

    network: Network
    row: str
    asked: float
    seed: int
    epochs: float

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from others in the JSON file."""
        asked = None if self.row in ONE_SPEED else self.asked
        return self.network.name, self.row, self.seed, self.epochs, asked


class OutOfReach(Exception):  # noqa: N818 (an outcome, no error)
    """No cut of a row is as fast as asked for; the fastest that there is."""

    def __init__(self, fastest: float) -> None:
        super().__init__(fastest)
        self.fastest = fastest


class Search(NamedTuple):
    """What looking for a row's cut took, and whether it was for another seed, before the row.

    `whole_s` is what the whole row took where that is not what this process has seen of it.
    """

    seconds: float = 0.0
    was_before: bool = False
    whole_s: float | None = None


def compressed(pair: Pair, row: Row, out: Path, _: Json) -> Search:
    """Our row: the file in `out`, with no early end and nothing from a cache."""
    was_begun = out.exists()
    done = edgespiral.compress(
        row.network.model, row.network.data, weights=str(pair.weights), speedup=row.asked,
        epochs=row.epochs, seed=row.seed, max_drop=20.0, out=out, resume=was_begun,
        precision="auto" if row.row == OURS_INT8 else "fp32",
        latency_cache=out.with_name("latency"),
    )  # fmt: skip
    return Search(whole_s=sum(done.result.seconds.values()) if was_begun else None)


def by_peer(pair: Pair, row: Row, out: Path, tables: Json) -> Search:
    """Cut as others cut: of a method's cuts that are fast enough, the one with most parameters."""
    job, before = Job(PEERS[row.row], row.asked, row.seed, row.epochs), len(tables)
    table = search_of(pair, job.row, row.asked, tables)
    if not reaches(job, table["cuts"]):
        raise OutOfReach(max(cut["speedup"] for cut in table["cuts"]))
    model = cut_for(pair, job, table["cuts"])
    batches = {"batches": RECALIBRATION_BATCHES, "seed": row.seed}
    recalibrate_batchnorm(model, pair.splits.train, **batches)
    distilled(pair, row, model, out, None)
    return Search(table["seconds"], was_before=len(tables) == before)


def sibling(pair: Pair, row: Row, out: Path, _: Json) -> Search:
    """The largest of the family that is fast enough, from fresh weights."""
    start, reached = time.perf_counter(), []
    out.mkdir()
    for spec in row.network.siblings:
        torch.manual_seed(row.seed)
        model = load_model_for(pair.splits, spec)
        export_onnx(model, out / "model.onnx", input_shape=pair.splits.input_shape)
        speedup = beside(pair, out / "model.onnx").value
        reached.append((speedup, sum(p.numel() for p in model.parameters()), model))
    search_s = time.perf_counter() - start
    enough = [(count, model) for speedup, count, model in reached if speedup >= row.asked]
    if not enough:
        raise OutOfReach(max((speedup for speedup, _, _ in reached), default=1.0))
    _, model = max(enough, key=lambda pair_: pair_[0])
    distilled(pair, row, model, out, SCRATCH_RATE)
    return Search(search_s)


def quantised(pair: Pair, row: Row, out: Path, _: Json) -> Search:
    """The teacher in int8."""
    del row
    out.mkdir()
    request = ExportRequest("int8", recipe=load_recipe("default"), task=CLASSIFICATION)
    export_as(pair.teacher, out / "model.onnx", pair.splits, request)
    return Search()


MAKERS: dict[str, Callable[[Pair, Row, Path, Json], Search]] = {
    OURS: compressed,
    OURS_INT8: compressed,
    **dict.fromkeys(PEERS, by_peer),
    SIBLING: sibling,
    INT8: quantised,
}


def distilled(pair: Pair, row: Row, model: nn.Module, out: Path, rate: float | None) -> None:
    """Train as all rows are trained, at our rule's rate unless one is given, and write the file."""
    samples, network = len(pair.splits.train), row.network
    plan = Plan(
        model=network.model, data=network.data, speedup=row.asked, epochs=row.epochs,
        seed=row.seed, learning_rate=rate,
    )  # fmt: skip
    settings = training_settings(plan, pair.teacher, samples, CLASSIFICATION)
    if rate is None:
        steps = steps_of(settings, samples)
        usual = expected_rate(settings.optimizer, steps, width_of(model), settings.batch_size)
        settings = replace(settings, learning_rate=usual)
    splits = pair.shown if plan.shows_views else pair.splits
    train(model, splits, settings, Objective(CLASSIFICATION, teachers=[pair.teacher]))
    out.mkdir(exist_ok=True)
    export_onnx(model, out / "model.onnx", input_shape=pair.splits.input_shape)


def beside(pair: Pair, path: Path) -> Ratio:
    """How many times as fast as the teacher a file is, in turns with it."""
    with tempfile.TemporaryDirectory() as folder:
        teacher = Path(folder) / "teacher.onnx"
        export_onnx(pair.teacher, teacher, input_shape=pair.splits.input_shape)
        with Session(load_profile("host-cpu")) as session:
            [(_, speedup)] = session.compare(teacher, [path], rounds=FINAL_ROUNDS)
    return speedup


def kept_as(key: tuple[object, ...]) -> str:
    """The name of a row's file among those that are kept."""
    return "_".join(str(part).replace(" ", "-") for part in key) + ".onnx"


def timed(pair: Pair, path: Path) -> Json:
    """What a row says of its file's speed."""
    speedup = beside(pair, path)
    return {"speedup": speedup.value, "speedup_ci95": [speedup.ci95.low, speedup.ci95.high]}


def scored(pair: Pair, path: Path) -> Json:
    """What a row says of its file's answers."""
    score = functools.partial(file_score, path, task=CLASSIFICATION)
    return {
        "validation_percent": score(pair.splits.validation),
        "test_percent": score(pair.splits.test),
    }


def measured(pair: Pair, row: Row, tables: Json, models: Path | None) -> Json:
    """One row of the JSON file."""
    head: Json = dict(zip(HEAD, row.key, strict=True)) | {"network": row.network.name}
    head |= {"data": row.network.data, "teacher_test_percent": pair.teacher_test_percent}
    with tempfile.TemporaryDirectory() as scratch:
        can_go_on = models is not None and MAKERS[row.row] is compressed
        base = models / "begun" / kept_as(row.key) if models and can_go_on else Path(scratch)
        out, start = make_folder(base) / "run", time.perf_counter()
        try:
            search = MAKERS[row.row](pair, row, out, tables)
        except OutOfReach as beyond:
            return head | {"reached": False, "fastest": beyond.fastest}
        earlier_s = search.seconds if search.was_before else 0.0
        wall_s = search.whole_s or time.perf_counter() - start + earlier_s
        path = out / "model.onnx"
        seconds = {"wall_s": wall_s, "search_s": search.seconds}
        body = head | {"reached": True, **timed(pair, path), **scored(pair, path), **seconds}
        if models is not None:
            shutil.copyfile(path, models / kept_as(row.key))
        if can_go_on:
            shutil.rmtree(base)
        return body


def wanted(networks: list[Network], options: argparse.Namespace) -> Iterator[Row]:
    """All rows, those that decide most first."""
    parts = (options.seeds, options.points, networks, options.rows)
    seen = set()
    for seed, asked, network, name in itertools.product(*parts):
        row = Row(network, name, asked, seed, options.epochs)
        if row.key not in seen and (name != SIBLING or network.siblings):
            seen.add(row.key)
            yield row


def write(path: Path, rows: list[Json], tables: Json) -> None:
    """The JSON file, and the picture beside it once there is something to draw."""
    document = {"versions": versions(), "rows": rows, "tables": tables}
    write_text(path, json.dumps(document, indent=1) + "\n")
    lines = lines_of(rows)
    if lines:
        teachers = [row | {"model": row["network"]} for row in rows]
        write_text(path.with_suffix(".svg"), picture(lines, teachers))


def key_of(row: Json) -> tuple[object, ...]:
    """What tells a row of the JSON file from others."""
    return tuple(row[key] for key in HEAD)


def time_again(
    rows: list[Json], networks: dict[str, Network], pair_of: Callable[[Network], Pair], models: Path
) -> None:
    """Give rows whose files were kept the speed that these have now."""
    for row in rows:
        path = models / kept_as(key_of(row))
        if row["reached"] and row["network"] in networks and path.exists():
            row.update(timed(pair_of(networks[row["network"]]), path))
            print(json.dumps(row), flush=True)


def main() -> None:
    """Run what is missing, and say what is left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", type=Path)
    parser.add_argument("--points", type=float, nargs="+", default=[2.0, 4.0, 3.0])
    parser.add_argument("--epochs", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--stop-after-s", type=float, default=float("inf"))
    parser.add_argument("--json", type=Path, default=Path("bench/results/field.json"))
    parser.add_argument("--models", type=Path)
    parser.add_argument("--again", action="store_true", help="time the kept files once more")
    options = parser.parse_args()
    if options.again and options.models is None:
        parser.error("--again asks for --models")
    given = tomllib.loads(options.networks.read_text(encoding="utf-8"))["network"]
    networks = [Network(**network) for network in given]
    before = json.loads(options.json.read_text()) if options.json.exists() else {}
    rows, tables = before.get("rows", []), before.get("tables", {})
    pair_of = functools.cache(
        lambda network: Pair(network.model, Path(network.weights), network.data)
    )
    if options.again:
        time_again(rows, {network.name: network for network in networks}, pair_of, options.models)
        write(options.json, rows, tables)
        return
    if options.models is not None:
        make_folder(options.models)
    start, left = time.perf_counter(), []
    for row in wanted(networks, options):
        if row.key in {key_of(known) for known in rows}:
            continue
        if time.perf_counter() - start > options.stop_after_s:
            left.append((row, "the time is over"))
            continue
        try:
            rows.append(measured(pair_of(row.network), row, tables, options.models))
        except EdgeSpiralError as error:
            left.append((row, str(error)))
            continue
        write(options.json, rows, tables)
        print(json.dumps(rows[-1]), flush=True)
    for row, why in left:
        print(f"not run: {', '.join(map(str, row.key))}: {why}")


if __name__ == "__main__":
    main()
