"""Signals at random moments: runs that are killed again and again go on as if nothing had been."""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tests.faults import device
from tests.faults.campaign import Lab, Report
from tests.faults.forkserver import Limits
from tests.faults.invariants import Broken, appended, judge, published

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from random import Random

    from tests.faults.material import Material
    from tests.faults.place import Place

LIMITS = Limits(seconds=300)
SIGNALS = (
    *[(signal.SIGKILL,)] * 4,
    *((signal.SIGTERM,), (signal.SIGHUP,), (signal.SIGINT,)),
    *((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)),
)
# What a killed host left running has this long to notice.
ORPHANS_S, STOPS_S = 6.0, 30.0
# Of a command whose results are compared after each of them.
LEAST_KILLS = 4
# Of a measurement over ssh, its connection included.
LONGEST_S = 10.0
TEMPORARY = re.compile(r"^\..+\.[a-z0-9_]{8}$")
COMPRESS = ("compress", "--config", "plan.toml", "--out", "run", "--resume")
INT8 = ("--precision", "int8", "--recipe", "few.toml", "--qat", "always")
TRAIN = ("train", "net.py:make", "--data", "digits", "--epochs", "12", "--out", "run", "--resume")
EXPORT = ("export", "net.py:make", "--data", "digits", "--weights", "weights.safetensors")
CALIBRATE = ("calibrate", "net.onnx", "--data", "digits", "--recipe", "few.toml")


@dataclass(frozen=True)
class Job:
    """A command that is killed.

    Attributes:
        put: what lies in its working folder before it begins.
        writes: what it may write to there.
        results: files of which an undisturbed command makes the same; none can be half done.
        most_kills: in one run; a command that cannot go on has one.
        ends: the exit codes of an undisturbed end.
    """

    name: str
    argv: tuple[str, ...]
    writes: str
    results: tuple[str, ...] = ()
    most_kills: int = 1
    put: Callable[[Material, Place], object] = lambda *_: None
    ends: frozenset[int] = frozenset({0})


def _planned(material: Material, place: Place) -> None:
    shutil.copytree(material.planned, place.cwd / "run")


def _int8_planned(material: Material, place: Place) -> None:
    shutil.copytree(material.int8_planned, place.cwd / "run")


def _long(material: Material, place: Place) -> None:
    shutil.copy(material.long, place.cwd)


def _desk(material: Material, place: Place) -> None:
    shutil.copy(material.desk, place.cwd)


FINISHED = frozenset({0, 11, 12})
WEIGHTS = ("run/model.safetensors",)
COMPRESSION = Job("compress", COMPRESS, "run", (), 8, ends=FINISHED)
PLANNED = Job("compress, planned", COMPRESS, "run", WEIGHTS, 7, _planned, FINISHED)
INT8_PLANNED = Job(
    "compress to int8, planned", (*COMPRESS, *INT8), "run", WEIGHTS, 7, _int8_planned, FINISHED
)
TRAINING = Job("train", TRAIN, "run", ("run/weights.safetensors",), 7)
OVER_SSH = Job("measure over ssh", ("measure", "net.onnx", "--target", "./device.toml"), "out")
JOBS = (
    *(COMPRESSION, PLANNED, TRAINING, PLANNED, INT8_PLANNED, COMPRESSION, PLANNED, TRAINING),
    Job("export", (*EXPORT, "--out", "out/m.onnx"), "out", ("out/m.onnx",)),
    Job("calibrate", (*CALIBRATE, "--out", "out/m.onnx"), "out", ("out/m.onnx",)),
    Job("measure", ("measure", "net.onnx", "--target", "./long.toml"), "out", put=_long),
    Job(
        "bench",
        ("bench", "run", "suite.toml", "--out", "out/result.json"),
        "out",
        ends=frozenset({0, 1, 3}),
    ),
    Job(
        "build",
        ("build", "net.onnx", "--target", "desk.toml", "--out", "out/m.engine"),
        "out",
        put=_desk,
    ),
    Job("targets check", ("targets", "check", "./tiny.toml"), "out"),
    OVER_SSH,
)


class Kills:
    """Signals at random moments, then the same command again."""

    name, short, whole = "kills", 3, 105

    def run(self, lab: Lab, number: int, random: Random) -> Report:
        """Disturb one job, let it go on, and compare what it comes to.

        A job whose results are those of an undisturbed one is taken to its end from where each kill
        left it, in a copy of its folder.
        """
        job = JOBS[number % len(JOBS)]
        if job is OVER_SSH:
            return _over_ssh(lab, number, random)
        reference = undisturbed(lab, job)
        place = lab.material.place(f"{self.name}/{number}")
        (place.cwd / "out").mkdir()
        job.put(lab.material, place)
        report = Report(job.name, f"edgespiral {' '.join(job.argv)}", faults=0)
        kills = self._kills(job, number, random)
        for number_of_kill in range(1, kills + 1):
            # Moments of a run, and not of a second: the same on slow and on busy machines.
            after_s = random.uniform(0, min(1.0, 2.5 / job.most_kills)) * reference.seconds
            killed = disturbed(lab, place, job, after_s, random.choice(SIGNALS))
            report.broken += killed.broken
            report.faults += killed.was_hit
            if not killed.was_hit:
                break
            report.resumed += bool(job.results)
            if job.results and number_of_kill < kills:
                aside = place.copied(f"{self.name}/{number}-{number_of_kill}")
                report.broken += gone_on(lab, aside, job, reference)
                aside.remove()
        report.broken += gone_on(lab, place, job, reference)
        place.remove()
        return report

    def _kills(self, job: Job, number: int, random: Random) -> int:
        """How many signals a job is to be sent; few in the short form, which a suite has."""
        if job.most_kills == 1 or number < self.short:
            return min(job.most_kills, 2)
        return random.randint(LEAST_KILLS if job.results else 2, job.most_kills)


def _over_ssh(lab: Lab, number: int, random: Random) -> Report:
    """Kill a measurement on a device, which has to tidy up by itself and to be there again."""
    report = Report(OVER_SSH.name, f"edgespiral {' '.join(OVER_SSH.argv)}")
    report.skipped = device.missing()
    if report.skipped:
        report.faults = 0
        return report
    place = lab.material.place(f"kills/{number}")
    (place.cwd / "out").mkdir()
    with device.device(lab, place.root.name) as board:
        device.describe(board, place, rounds=40, round_ms=150)
        after_s = random.uniform(0, LONGEST_S)
        signals = random.choice(SIGNALS)
        killed = disturbed(lab, place, OVER_SSH, after_s, signals, device.TIDIES_S)
        report.broken += killed.broken
        # A host that is killed outright says no farewell, and its device waits for it.
        if signals[0] != signal.SIGKILL:
            report.broken += device.left_on(board)
        report.faults = int(killed.was_hit)
        device.describe(board, place)
        undisturbed_there = Reference(0.0, ())
        report.broken += gone_on(lab, place, OVER_SSH, undisturbed_there, device.TIDIES_S)
    place.remove()
    return report


@dataclass(frozen=True)
class Reference:
    """What an undisturbed job takes and comes to."""

    seconds: float
    digests: tuple[str | None, ...]


@dataclass(frozen=True)
class Killed:
    """How a job took a signal; it was not hit where it had ended by itself."""

    was_hit: bool
    broken: list[Broken]


@cache
def undisturbed(lab: Lab, job: Job) -> Reference:
    """A job without any fault, in a place of its own."""
    place = lab.material.place(f"undisturbed-{job.name.replace(' ', '-')}")
    (place.cwd / "out").mkdir()
    job.put(lab.material, place)
    outcome = lab.server.run(job.argv, place, LIMITS)
    if outcome.exit_code not in job.ends:
        raise RuntimeError(f"{job.name}: exit code {outcome.exit_code}: {outcome.stderr[-500:]}")
    digests = tuple(_digest(place.cwd / name) for name in job.results)
    place.remove()
    return Reference(outcome.seconds, digests)


def disturbed(
    lab: Lab,
    place: Place,
    job: Job,
    after_s: float,
    signals: Sequence[signal.Signals],
    orphans_s: float = ORPHANS_S,
) -> Killed:
    """Start a job and send it signals after a time."""
    journal = place.cwd / "run" / "journal.jsonl"
    written, temporaries = _content(journal), place.left_in_temporary()
    before = place.tree(_own(place, job))
    running = lab.server.start(job.argv, place, LIMITS)
    running.await_start()
    was_hit = not running.has_ended(0.05 + after_s)
    sent = time.monotonic()
    for number in signals if was_hit else ():
        running.send(number)
        running.has_ended(0.05)
    outcome = running.wait()
    stopped_s = time.monotonic() - sent
    outcome = lab.server.swept(outcome, orphans_s, device.waits)
    after = place.tree(_own(place, job))
    broken = judge(outcome, place, before, after, job.ends, temporaries)
    broken += appended(written, _content(journal))
    if was_hit and stopped_s > STOPS_S:
        broken.append(Broken("it does not stop", f"{stopped_s:.0f} s after {signals[0].name}"))
    return Killed(was_hit, [_by(signals, one) for one in broken] if was_hit else broken)


def gone_on(
    lab: Lab, place: Place, job: Job, reference: Reference, orphans_s: float = 0.5
) -> list[Broken]:
    """What is wrong with a job that goes on to its end after all that was done to it."""
    journal = place.cwd / "run" / "journal.jsonl"
    written, before = _content(journal), place.tree(_own(place, job))
    outcome = lab.server.start(job.argv, place, LIMITS).wait()
    outcome = lab.server.swept(outcome, orphans_s, device.waits)
    broken = judge(outcome, place, before, place.tree(_own(place, job)), job.ends)
    broken += appended(written, _content(journal))
    digests = tuple(_digest(place.cwd / name) for name in job.results)
    if outcome.exit_code in job.ends and digests != reference.digests:
        broken.append(Broken("a resumed run comes to something else", ", ".join(job.results)))
    if outcome.exit_code in job.ends and journal.is_file():
        broken += published(place.cwd / "run")
    left = [
        path.name for path in (place.cwd / job.writes).rglob(".*") if TEMPORARY.match(path.name)
    ]
    if left:
        broken.append(Broken("a temporary file is left in the folder", ", ".join(left)))
    return [Broken(f"afterwards: {one.kind}", one.detail) for one in broken]


def _by(signals: Sequence[signal.Signals], one: Broken) -> Broken:
    return Broken(f"{'+'.join(number.name for number in signals)}: {one.kind}", one.detail)


def _own(place: Place, job: Job) -> Callable[[Path], bool]:
    own = place.cwd / job.writes
    return lambda path: path == own or own in path.parents


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
