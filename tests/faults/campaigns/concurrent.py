"""Two commands at once: in one run folder, or with one cache."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tests.faults.campaign import Lab, Report
from tests.faults.forkserver import Limits
from tests.faults.invariants import Broken, judge, published
from tests.faults.place import Place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from random import Random

    from tests.faults.forkserver import Outcome

LIMITS = Limits(seconds=300)
COMPRESS = ("compress", "--config", "plan.toml", "--resume")
TRAIN = ("train", "net.py:make", "--data", "digits", "--epochs", "12", "--resume")
CALIBRATE = ("calibrate", "net.onnx", "--data", "digits", "--recipe", "few.toml")
FINISHED = {0, 11, 12}


class Concurrent:
    """Two commands at once."""

    name, short, whole = "concurrent", 2, 24

    def run(self, lab: Lab, number: int, random: Random) -> Report:
        """Start two commands, the second a random while after the first."""
        shares_folder = number % 4 != 3
        argv = (COMPRESS, TRAIN, CALIBRATE, COMPRESS)[number % 4]
        first = lab.material.place(f"{self.name}/{number}")
        second = _beside(first)
        outs = ("out", "out" if shares_folder else "other")
        if argv is CALIBRATE:
            outs = ("out/a.onnx", "out/a.onnx")
        before = first.tree(_is_out)
        outcomes = _together(lab, argv, (first, second), outs, random.choice((0.0, 0.3, 1.0, 2.0)))
        after = first.tree(_is_out)
        may_be_refused = shares_folder and argv is not CALIBRATE
        codes = {*FINISHED, 8} if may_be_refused else FINISHED
        broken = [one for o in outcomes for one in judge(o, first, before, after, codes)]
        broken += _finished(outcomes, first, outs, argv)
        first.remove()
        subject = f"two of {argv[0]} {'in one folder' if shares_folder else 'with one cache'}"
        return Report(subject, f"edgespiral {' '.join(argv)}", broken)


def _finished(
    outcomes: Sequence[Outcome], place: Place, outs: Sequence[str], argv: Sequence[str]
) -> list[Broken]:
    """Whether one of the two came to its end, and left whole files."""
    broken = []
    if not any(one.exit_code in FINISHED for one in outcomes):
        broken.append(Broken("neither comes to its end", ""))
    if argv[0] == "compress":
        for out in {*outs}:
            broken += published(place.cwd / out)
    for path in place.cache.rglob("*.json"):
        broken += _whole(path)
    return broken


def _whole(path: Path) -> list[Broken]:
    try:
        json.loads(path.read_bytes())
    except ValueError as error:
        return [Broken("a cache is damaged", f"{path.name}: {error}")]
    return []


def _together(
    lab: Lab, argv: Sequence[str], places: Sequence[Place], outs: Sequence[str], apart_s: float
) -> list[Outcome]:
    running = []
    for place, out in zip(places, outs, strict=True):
        running.append(lab.server.start((*argv, "--out", out), place, LIMITS))
        time.sleep(apart_s)
    ended = [one.wait() for one in running]
    return [lab.server.swept(one) for one in ended]


def _beside(place: Place) -> Place:
    """The same place with streams of its own."""
    root = place.root
    streams = (root / "stdout-2", root / "stderr-2")
    return Place(root, *streams, place.temporary, place.cache)


def _is_out(path: Path) -> bool:
    return {"out", "other"} & {path.name, *(folder.name for folder in path.parents)} != set()
