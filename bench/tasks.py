"""What each task loses at 2x and 4x on host-cpu: ours, uniform, a slim net from scratch, as JSON.

Usage: python bench/tasks.py FOLDER [--jobs cancer diabetes ...] [--asked 2 4] [--seeds 0 1]
       [--rows ours uniform slim] [--share 1] [--stop-after-s S] [--json FILE] [--page PAGE ...]

FOLDER has the data of the jobs, as `bench/task_data.py` makes them; tables that scikit-learn ships
are written there. It gets the runs. Each job trains a teacher and compresses it by the command
line, as a user would; a second call goes on where the first stopped, and rows that FILE has already
are kept. A job that fails, or whose data FOLDER does not have, is told at the end (exit code 1),
and the others are measured all the same. `--share 0.05` trains all of them for that share of their
epochs, into runs of their own: whether each job starts, with its own `--json`. `--page` writes
the table into pages, between marks: all of it, or ours at 2x beside what may be lost at most.

`ours` is `edgespiral compress` as it is; `uniform` takes the same share of every group, by the
magnitude of weights (Torch-Pruning's engine where it can cut the model), with the same training, in
steps of one channel, as these tools cut, so that its speed-up is not far above what was asked for;
`slim` is a net of the uniform one's shapes, trained from scratch as long as teacher and student.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from task_tables import ROWS, write_page

from edgespiral.core.system.files import write_text
from edgespiral.measure.profile import PROFILES
from edgespiral.measure.profile_file import keep_channel_multiple

RESULTS = Path("bench/results/tasks.json")
UNIFORM = ("--allocation", "uniform", "--criterion", "l2")
KEYS = ("task", "data", "model", "row", "seed", "asked")


@dataclass(frozen=True)
class Job:
    """A task on some data.

    Attributes:
        task: as `--task` takes it.
        model: by name.
        data: as `--data` takes it, with FOLDER for the folder.
        epochs: of the teacher, and of each student.
        options: of all trainings.
        weights: a file in FOLDER that the teacher begins from, none for random numbers.
    """

    task: str
    model: str
    data: str
    epochs: tuple[float, float]
    options: tuple[object, ...] = ()
    weights: str = ""


SMALL = ("--batch-size", 32)
RATINGS = "ratings:FOLDER/ratings.csv.gz?columns=user,item,rating,time"
PARALLEL = "translation:FOLDER/multi30k?from=en&to=de&min_count=3"
DIABETES = "csv:FOLDER/diabetes.csv?target=target&is=number"
BLOOD = "voc:FOLDER/blood?size=160x120&faulty=drop"
FLOWERS = "folder:FOLDER/flowers?size=64"
FEATURES = "speech:FOLDER/keywords?seconds=1&features=logmel"
# torchvision's MobileNetV2, as it is in the package that task_data.py names.
IMAGENET = "mobilenet_v2-imagenet.pth"
CREDIT = (
    "csv:FOLDER/credit-default.csv.gz?target=default.payment.next.month&ignore=ID"
    "&categories=SEX,EDUCATION,MARRIAGE&unseen=other"
)
GERMAN_COLUMNS = ",".join([*(f"c{number}" for number in range(1, 21)), "class"])
GERMAN = f"csv:FOLDER/german.csv.gz?columns={GERMAN_COLUMNS}&target=class&positive=2&unseen=other"
JOBS = {
    "cancer": Job("binary", "mlp-tabular", "csv:FOLDER/cancer.csv?target=target", (30, 30), SMALL),
    "credit": Job("binary", "mlp-tabular", CREDIT, (8, 6)),
    "german": Job("binary?weights=balanced", "mlp-tabular", GERMAN, (20, 20), SMALL),
    "diabetes": Job("regression", "mlp-tabular", DIABETES, (30, 30), SMALL),
    "anomalies": Job(
        "anomaly", "autoencoder", "csv:FOLDER/cancer.csv?target=target&positive=0", (30, 30), SMALL
    ),
    "movielens": Job(
        "recommendation",
        "neumf",
        RATINGS,
        (5, 1),
        ("--batch-size", 512),
    ),
    "digits": Job("classification", "resnet8", "digits", (20, 10), SMALL),
    "signs": Job(
        "detection", "ssdlite-tiny", "voc:FOLDER/signs?size=160x120&mirror=no", (25, 10), SMALL
    ),
    "blood": Job("detection", "ssdlite-tiny", BLOOD, (60, 20), SMALL),
    "cells": Job("segmentation", "unet-small", "masks:FOLDER/cells?size=128", (30, 10), SMALL),
    "streets": Job("segmentation", "unet-small", "masks:FOLDER/streets?size=128", (30, 10), SMALL),
    "flowers": Job("classification", "mobilenet_v2", FLOWERS, (6, 3), SMALL, IMAGENET),
    "keywords": Job("keyword-spotting", "ds-cnn", "speech:FOLDER/keywords?seconds=1", (15, 5)),
    "features": Job("keyword-spotting", "ds-cnn", FEATURES, (15, 5)),
    "strings": Job("speech-recognition", "ctc-gru", "transcripts:FOLDER/strings", (30, 10)),
    "clinc": Job("classification", "gru-text", "text:FOLDER/clinc", (8, 4)),
    "banking": Job("classification", "lstm-text", "text:FOLDER/banking?length=32", (10, 4)),
    "tatoeba": Job("translation", "gru-translation", "translation:FOLDER/tatoeba", (6, 6)),
    "multi30k": Job("translation", "gru-translation", PARALLEL, (12, 4)),
}


class JobFailed(Exception):  # noqa: N818 (told at the end, while other jobs go on)
    """A command of a job ended with an error, which it has told, or its data are not there."""


DETECTOR_TASK = '''"""Detection by the anchors of a model by name."""
from edgespiral import data, tasks
from edgespiral.models import load_model_for


def task():
    splits = data.load({data!r})
    return tasks.load("detection").prepared(load_model_for(splits, {model!r}), splits)[1]
'''


def command(*words: object) -> None:
    """Run `edgespiral`; what it says goes to the terminal.

    An outcome that is no error (a budget out of reach, 11, or met before, 10) is a result, too.
    """
    done = subprocess.run([sys.executable, "-m", "edgespiral", *map(str, words)], check=False)
    if done.returncode not in (0, 10, 11, 12):
        raise JobFailed(f"{words[0]} ended with {done.returncode}")


def write_tables(folder: Path) -> None:
    """The tables that scikit-learn ships."""
    from sklearn import datasets

    frames = {
        "cancer.csv": lambda: datasets.load_breast_cancer(as_frame=True),
        "diabetes.csv": lambda: datasets.load_diabetes(as_frame=True, scaled=False),
    }
    for name, load in frames.items():
        if not (folder / name).is_file():
            load().frame.to_csv(folder / name, index=False)


@dataclass(frozen=True)
class Place:
    """A job's runs for one seed."""

    job: Job
    folder: Path
    name: str
    seed: int
    share: float

    def epochs(self, number: float) -> float:
        """Of a training that has so many in whole."""
        return number * self.share

    def require_data(self) -> None:
        """Refuse to begin what has nothing to read."""
        kind, _, place = self.job.data.partition("?")[0].partition(":FOLDER/")
        needed = [place] if kind != self.job.data else []
        for name in [*needed, *filter(None, [self.job.weights])]:
            if not (self.folder / name).exists():
                raise JobFailed(f"there is no {self.folder / name} (bench/task_data.py makes it)")

    @property
    def common(self) -> tuple[object, ...]:
        """What every command is told of data and training."""
        data = self.job.data.replace("FOLDER", str(self.folder))
        return ("--data", data, "--task", self.job.task, "--seed", self.seed, *self.job.options)

    def out(self, what: str) -> Path:
        """Where a run lies."""
        runs = "runs" if self.share == 1 else f"runs-{self.share:g}"
        return self.folder / runs / self.name / f"{what}-{self.seed}"

    def trained(self, model: str, what: str, epochs: float, *options: object) -> Path:
        """The folder of a training, which is made or gone on with."""
        out, passes = self.out(what), ("--epochs", self.epochs(epochs))
        command("train", model, *self.common, *options, *passes, "--out", out, "--resume")
        return out

    def teacher(self) -> Path:
        """The folder of the teacher's training."""
        begin = ("--weights", self.folder / self.job.weights) if self.job.weights else ()
        return self.trained(self.job.model, "teacher", self.job.epochs[0], *begin)

    def task_of_network(self) -> tuple[object, ...]:
        """What gives a network without its detector's anchors those of the teacher: a task file."""
        if self.job.task != "detection":
            return ()
        file = self.folder / f"{self.name}_task.py"
        source = self.job.data.replace("FOLDER", str(self.folder))
        write_text(file, DETECTOR_TASK.format(data=source, model=self.job.model))
        return ("--task", f"{file}:task")

    def target_of_any_width(self) -> Path:
        """A file with this machine's profile, for widths in steps of one channel."""
        file = self.folder / "any-width.toml"
        text = PROFILES.path_of("host-cpu").read_text(encoding="utf-8")
        write_text(file, text.replace('name = "host-cpu"', 'name = "any-width"'))
        return keep_channel_multiple(str(file), 1)

    def compressed(self, row: str, asked: float) -> Path:
        """The run folder of a compression, which is made or gone on with."""
        teacher, out = self.teacher(), self.out(f"{row}-{asked:g}x")
        passes = ("--epochs", self.epochs(self.job.epochs[1]))
        budget = ("--speedup", asked, *passes, "--max-drop", 100)
        weights, how = teacher / "weights.safetensors", tuple[object, ...]()
        if row == "uniform":
            how = (*UNIFORM, "--target", self.target_of_any_width())
            out = self.out(f"{row}-any-width-{asked:g}x")
        words = ("compress", self.job.model, *self.common, "--weights", weights, *budget, *how)
        command(*words, "--out", out, "--resume")
        return out


def measured(place: Place, row: str, asked: float) -> dict[str, Any]:
    """One row."""
    place.require_data()
    start = time.perf_counter()
    out = place.compressed("uniform" if row == "slim" else row, asked)
    result = json.loads((out / "result.json").read_text())
    metric, [device] = result["metric"], result["devices"]
    score, test_ms = result["student"]["test_score"], device["student"]["stats"]["p50_ms"]
    if row == "slim":
        # Shapes decide the latency, numbers do not.
        spec = f"{out / 'model.py'}:Model"
        epochs = sum(place.job.epochs)
        fresh = place.trained(spec, f"{row}-any-width-{asked:g}x", epochs, *place.task_of_network())
        score = json.loads((fresh / "train.json").read_text())["test_score"]
    return {
        "task": place.job.task,
        "data": place.name,
        "model": place.job.model,
        "row": row,
        "seed": place.seed,
        "asked": asked,
        "outcome": result["outcome"],
        "speedup": device["speedup"]["value"],
        "speedup_ci95": [device["speedup"]["ci95"][end] for end in ("low", "high")],
        "metric": metric["name"],
        "unit": metric["unit"],
        "higher_is_better": metric["higher_is_better"],
        "teacher": result["teacher"]["test_score"],
        "score": score,
        "teacher_ms": device["teacher"]["stats"]["p50_ms"],
        "latency_ms": test_ms,
        "teacher_parameters": result["teacher"]["parameter_count"],
        "parameters": result["student"]["parameter_count"],
        "device": device["student"]["fingerprint"]["device"],
        "wall_s": time.perf_counter() - start,
    }


def main() -> None:
    """Measure the jobs asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", nargs="*", choices=JOBS, default=list(JOBS))
    parser.add_argument("--asked", nargs="*", type=float, default=[2.0, 4.0])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--stop-after-s", type=float, default=float("inf"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    if given.share != 1 and given.json is None:
        parser.error("--share measures something else than the results do: give it its own --json")
    given.json = given.json or RESULTS
    given.folder.mkdir(parents=True, exist_ok=True)
    write_tables(given.folder)
    rows = json.loads(given.json.read_text())["rows"] if given.json.is_file() else []
    wanted = [
        (Place(JOBS[name], given.folder, name, seed, given.share), row, asked)
        for name in given.jobs
        for seed in given.seeds
        for asked in given.asked
        for row in given.rows
    ]
    known = {tuple(row[key] for key in KEYS) for row in rows}
    missing = [
        (place, row, asked)
        for place, row, asked in wanted
        if (place.job.task, place.name, place.job.model, row, place.seed, asked) not in known
    ]
    left = measure_all(missing, rows, given)
    for page in given.page:
        write_page(page, rows)
    if left:
        raise SystemExit("\n".join(["not measured:", *left]))


def measure_all(
    missing: list[tuple[Place, str, float]], rows: list[dict[str, Any]], given: argparse.Namespace
) -> list[str]:
    """Add what is missing to `rows` and the file; what could not be, and why."""
    start, left = time.perf_counter(), []
    for place, row, asked in missing:
        name = f"{place.name}, seed {place.seed}, {asked:g}x, {row}"
        if time.perf_counter() - start > given.stop_after_s:
            left.append(f"{name}: the time is over")
            continue
        try:
            rows.append(measured(place, row, asked))
        except JobFailed as failure:
            left.append(f"{name}: {failure}")
            continue
        write_text(given.json, json.dumps({"rows": rows}, indent=2) + "\n")
        print(json.dumps(rows[-1]), flush=True)
    return left


if __name__ == "__main__":
    main()
