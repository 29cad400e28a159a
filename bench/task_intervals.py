"""How sure the rows of `bench/tasks.py` are: 95 % intervals by the samples of the test split.

Usage: python bench/task_intervals.py FOLDER [--json FILE] [--page PAGE ...]

FOLDER is that of `bench/tasks.py`, with the runs of the rows. The files of each of our runs, and
that of the uniform cut beside it, answer the test split once; its samples (queries, where a metric
ranks within them) are drawn anew with replacement, the same for both, and the metric is taken of
each draw. A row gets `lost_ci95`, what is lost against the teacher, and `ahead_of_uniform_ci95`,
both in the metric's unit and above 0 where ours is worse or better. What is there is not done
again. Training and cut are not drawn anew: another seed may differ by more.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from task_tables import AHEAD, LOST, write_page

from edgespiral import data, tasks
from edgespiral.core.nested import count, joined, rows
from edgespiral.core.system.files import write_text
from edgespiral.export.parity import predicting_file
from edgespiral.models import load_model_for
from edgespiral.tasks.recommendation import QUERY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edgespiral.core.batches import BatchSource
    from edgespiral.core.nested import Tensors
    from edgespiral.tasks.base import Task

RESULTS = Path("bench/results/tasks.json")
DRAWS, BATCH = 400, 250


@dataclass(frozen=True)
class Answers:
    """What files say of all samples of a split, and what is right."""

    task: Task
    targets: Tensors
    by_file: dict[str, Tensors]

    def draws(self) -> Iterator[NDArray[np.intp]]:
        """Places of samples, drawn anew with replacement; whole queries where there are any."""
        generator, groups = np.random.default_rng(0), self._groups
        for _ in range(DRAWS):
            chosen = generator.integers(0, len(groups), len(groups))
            yield np.concatenate([groups[place] for place in chosen])

    def score(self, file: str, places: NDArray[np.intp]) -> float:
        """The metric of a file on a draw."""
        index = torch.from_numpy(places)
        targets = rows(self.targets, index)
        if isinstance(targets, dict) and QUERY in targets:
            # A query that is drawn twice is two.
            size = len(places) // max(1, len(self._groups))
            targets = targets | {QUERY: torch.arange(len(places)) // size}
        return self.task.score_of([(rows(self.by_file[file], index), targets)])

    @cached_property
    def _groups(self) -> list[NDArray[np.intp]]:
        if isinstance(self.targets, dict) and QUERY in self.targets:
            queries = self.targets[QUERY].numpy()
            groups = [np.flatnonzero(queries == query) for query in np.unique(queries)]
            if len({len(group) for group in groups}) > 1:
                raise SystemExit("queries of several sizes cannot be told apart in a draw")
            return groups
        return [np.array([place]) for place in range(count(self.targets))]


def answers_of(run: Path, files: dict[str, Path]) -> Answers:
    """Answers of each file on the test split of a run."""
    plan = json.loads((run / "result.json").read_text())["plan"]
    task, splits = tasks.load(plan["task"]).fitted(data.load(plan["data"]))
    task = task.prepared(load_model_for(splits, plan["model"]), splits)[1]
    by_file = {name: _answers(path, splits.test, task) for name, path in files.items()}
    targets = joined([targets for _, targets in splits.test.epoch(batch_size=BATCH)])
    return Answers(task, targets, by_file)


def _answers(path: Path, source: BatchSource, task: Task) -> Tensors:
    with predicting_file(path) as predict, torch.inference_mode():
        return joined(
            [task.answers(predict, inputs) for inputs, _ in source.epoch(batch_size=BATCH)]
        )


def intervals(row: dict[str, Any], folder: Path) -> dict[str, list[float]]:
    """What a row gets beside its figures; nothing where its run is not there."""
    place, seed, asked = folder / "runs" / row["data"], row["seed"], f"{row['asked']:g}x"
    run = place / f"ours-{asked}-{seed}"
    uniform = place / f"uniform-any-width-{asked}-{seed}" / "model.onnx"
    files = {"ours": run / "model.onnx", "teacher": run / "teacher" / "model.onnx"}
    if not all(path.is_file() for path in files.values()):
        return {}
    if uniform.is_file():
        files["uniform"] = uniform
    answers = answers_of(run, files)
    sign = 1 if row["higher_is_better"] else -1
    scores = [
        {name: sign * answers.score(name, places) for name in files} for places in answers.draws()
    ]
    told = {LOST: _interval([each["teacher"] - each["ours"] for each in scores])}
    if "uniform" in files:
        told[AHEAD] = _interval([each["ours"] - each["uniform"] for each in scores])
    return told


def _interval(values: list[float]) -> list[float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return [float(low), float(high)]


def main() -> None:
    """Give rows of ours their intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    document = json.loads(given.json.read_text())
    for row in document["rows"]:
        is_ours = row["row"] == "ours" and row["outcome"] == "met"
        if is_ours and not {LOST, AHEAD} <= row.keys():
            row.update(intervals(row, given.folder))
            write_text(given.json, json.dumps(document, indent=2) + "\n")
            print(row["data"], row["asked"], row.get(LOST), row.get(AHEAD), flush=True)
    for page in given.page:
        write_page(page, document["rows"])


if __name__ == "__main__":
    main()
