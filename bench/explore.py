"""Whether explored losses order what comes of cuts once they are trained, as JSON.

Usage: python bench/explore.py [MODEL ...] [--data digits] [--points 8] [--epochs 8]
       [--out bench/out/explore] [--json FILE] [--reckon]

Of each network a teacher is trained and explored, and a run of one turn is started from each point.
Its outcome is how far its file's outputs are from the teacher's on the validation split, and what
it lost of the metric there. Each step is gone on with where an earlier call stopped, so a small
part can be run now and the rest later; what is there by then is written. Rank correlations are
Spearman's, within each network and over all of them; and over all once the loss is calibrated, as
an exploration is by finished runs: a cut's loss times the slope, through the origin, of the outcome
over the loss of the other cuts of its network. `--reckon` takes the cuts of an earlier JSON.
"""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scipy.stats import spearmanr

import edgespiral
from edgespiral.core.records.events import TurnFinished
from edgespiral.core.records.journal import read_run
from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.data import load
from edgespiral.export.parity import divergence_nats
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgespiral.core.records.comparing.exploration import Point

NETS = Path(__file__).with_name("nets.py")
MODELS = ("resnet8", "resnet20", f"{NETS}:mobilenet")
OUTCOMES = ("trained_nats", "lost")


def explored(model: str, folder: Path, asked: argparse.Namespace) -> edgespiral.Explored:
    """The trade-off of a teacher that was trained for it."""
    teacher = folder / "teacher"
    edgespiral.train_teacher(model, asked.data, out=teacher, resume=True)
    return edgespiral.explore(
        model,
        asked.data,
        weights=teacher / "weights.safetensors",
        points=asked.points,
        speedup=asked.speedup,
        out=folder / "explored",
        resume=True,
    )


def trained(point: Point, found: edgespiral.Explored, asked: argparse.Namespace) -> dict[str, Any]:
    """A point's predicted loss, and what came of its cut."""
    run = edgespiral.compress(
        str(found.exploration.plan["model"]),
        asked.data,
        explored=found.folder,
        point=point.number,
        epochs=asked.epochs,
        max_drop=100.0,
        out=found.folder.parent / f"point-{point.number}",
        resume=True,
    )
    validation = load(asked.data).validation
    files = run.folder / "teacher" / "model.onnx", run.folder / "turn-01" / "model.onnx"
    # A later turn, where the first missed its budget by a hair, is of another cut.
    events = read_run(run.folder / "journal.jsonl")
    first = next(event for event in events if isinstance(event, TurnFinished))
    before, after = run.result.teacher.validation_score, first.student.validation_score
    return {
        "point": point.number,
        "latency_ms": point.latency_ms,
        "predicted_nats": point.loss_nats,
        "divergence_nats": point.divergence_nats,
        "trained_nats": divergence_nats(*files, validation, len(validation), CLASSIFICATION),
        "lost": run.result.metric.lost(before, after),
    }


def rows(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each point of each network, as soon as it is trained."""
    for model in asked.models:
        folder = asked.out / Path(model).name.replace(":", "-")
        found = explored(model, folder, asked)
        for point in found.exploration.points:
            yield {"model": Path(model).name, **trained(point, found, asked)}


def correlations(known: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the predicted loss with each outcome; None of fewer than three cuts."""
    predicted = [row["predicted_nats"] for row in known]
    ranks = {
        outcome: float(spearmanr(predicted, [row[outcome] for row in known]).statistic)
        if len(known) > 2
        else None
        for outcome in OUTCOMES
    }
    return {"cuts": len(known), **ranks}


def calibrated(known: list[dict[str, Any]]) -> dict[str, float]:
    """Rank correlation of each outcome with the loss as a network's other cuts calibrate it."""
    return {
        outcome: float(
            spearmanr(
                [_calibrated(row, known, outcome) for row in known], [row[outcome] for row in known]
            ).statistic
        )
        for outcome in OUTCOMES
    }


def _calibrated(row: dict[str, Any], known: list[dict[str, Any]], outcome: str) -> float:
    others = [other for other in known if other["model"] == row["model"] and other is not row]
    products = sum(other["predicted_nats"] * other[outcome] for other in others)
    squares = sum(other["predicted_nats"] ** 2 for other in others)
    return float(row["predicted_nats"] * products / squares) if squares else 0.0


def record(known: list[dict[str, Any]], asked: argparse.Namespace) -> dict[str, Any]:
    """All that is known so far."""
    by_model = {
        model: correlations(list(group)) for model, group in groupby(known, itemgetter("model"))
    }
    return {
        "data": asked.data,
        "epochs": asked.epochs,
        "versions": versions(),
        "correlations": {"all": correlations(known), **by_model},
        "calibrated": calibrated(known) if len(known) > 2 else None,
        "cuts": known,
    }


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--points", type=int, default=8)
    parser.add_argument("--speedup", type=float, default=4.0)
    parser.add_argument("--epochs", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=Path("bench/out/explore"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--reckon", action="store_true")
    asked = parser.parse_args()
    if asked.reckon:
        earlier = json.loads(asked.json.read_text(encoding="utf-8"))
        as_it_was = {name: earlier[name] for name in ("data", "epochs", "versions")}
        again = record(earlier["cuts"], asked) | as_it_was
        write_text(asked.json, json.dumps(again, indent=2) + "\n")
        return
    known: list[dict[str, Any]] = []
    for row in rows(asked):
        known.append(row)
        print(json.dumps(row), flush=True)
        if asked.json:
            write_text(asked.json, json.dumps(record(known, asked), indent=2) + "\n")
    print(json.dumps(record(known, asked)["correlations"], indent=2))


if __name__ == "__main__":
    main()
