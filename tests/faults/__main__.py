"""`python -m tests.faults`: the campaigns, in sandboxes; what `make faults` calls.

Prints its progress and every new kind of failure with the number that shows it, which
`--only CAMPAIGN/NUMBER` does again. Ends with 1 where an invariant did not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults import sandbox
from tests.faults.campaigns.table import CAMPAIGNS

MOST_WORKERS, MOST_LOST, TOLD_EVERY_S, EXAMPLES = 2, 3, 20.0, 3
Line = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for; the process's exit code."""
    asked = _parser().parse_args(arguments)
    why = sandbox.why_not()
    if why is not None:
        sys.stderr.write(f"no faults without a sandbox: {why}\n")
        return 2
    numbers = _numbers(asked.only, short=asked.short, count=asked.count)
    tally, stop = Tally(asked.seed, numbers), threading.Event()
    timer = threading.Timer(60 * asked.minutes, stop.set)
    timer.daemon = True
    timer.start()
    # What was done until then is told all the same.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _run(numbers, asked.seed, asked.workers, stop, tally)
    document = tally.document()
    if asked.out is not None:
        asked.out.write_text(json.dumps(document, indent=1) + "\n")
    sys.stdout.write(tally.summary())
    return 1 if tally.failures or tally.lost else 0


class Tally:
    """What has been done so far, and what came of it."""

    def __init__(self, seed: int, numbers: list[str]) -> None:
        self._seed, self._asked = seed, Counter(_campaign(one) for one in numbers)
        self._started, self._told = time.monotonic(), time.monotonic()
        self._done: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._resumed: Counter[str] = Counter()
        self._cpu_s: Counter[str] = Counter()
        self._skipped: dict[str, str] = {}
        self.failures: dict[tuple[str, str, str], list[Line]] = {}
        self.lost: list[str] = []

    def add(self, line: Line) -> None:
        """Count one number, and tell what is new of it."""
        name = _campaign(line["id"])
        self._done[name] += 1
        self._faults[name] += line["faults"]
        self._resumed[name] += line["resumed"]
        self._cpu_s[name] += line["cpu_s"]
        if line["skipped"]:
            self._skipped[name] = line["skipped"]
        if not line["broken"]:
            self._held[name] += line["skipped"] is None
        for kind in {one["kind"]: one for one in line["broken"]}.values():
            self._fail(name, line, kind)
        if time.monotonic() - self._told > TOLD_EVERY_S:
            self._told = time.monotonic()
            done = ", ".join(f"{one} {self._done[one]}/{all_}" for one, all_ in self._asked.items())
            sys.stdout.write(f"{self._told - self._started:.0f} s: {done}\n")
            sys.stdout.flush()

    def lose(self, number: str) -> None:
        """Count a number during which the sandbox itself ended."""
        self.lost.append(number)
        sys.stdout.write(f"LOST {number}: its sandbox ended\n")

    def document(self) -> Line:
        """Everything as a document."""
        campaigns = {name: self._of(name) for name in self._asked}
        seconds = round(time.monotonic() - self._started)
        return {
            "seed": self._seed,
            "seconds": seconds,
            "processors": os.cpu_count(),
            "faults": sum(self._faults.values()),
            "lost": self.lost,
            "campaigns": campaigns,
        }

    def summary(self) -> str:
        """Everything as a table."""
        rows = [f"{'campaign':12} {'numbers':>8} {'faults':>7} {'held':>6} {'cpu s':>6}  failures"]
        for name in self._asked:
            one = self._of(name)
            kinds = f"{len(one['failures'])} kinds" if one["failures"] else one["skipped"] or "none"
            counts = f"{one['numbers']:8} {one['faults']:7} {one['held']:6} {one['cpu_s']:6}"
            rows.append(f"{name:12} {counts}  {kinds}")
        return "\n".join(rows) + "\n"

    def _of(self, name: str) -> Line:
        found = {key: lines for key, lines in self.failures.items() if key[0] == name}
        return {
            "numbers": self._done[name],
            "faults": self._faults[name],
            "resumed": self._resumed[name],
            "held": self._held[name],
            "cpu_s": round(self._cpu_s[name]),
            "skipped": self._skipped.get(name),
            "failures": [
                {
                    "kind": kind,
                    "subject": subject,
                    "count": len(lines),
                    "examples": lines[:EXAMPLES],
                }
                for (_, kind, subject), lines in sorted(found.items())
            ],
        }

    def _fail(self, name: str, line: Line, one: Line) -> None:
        key = (name, one["kind"], line["subject"].partition(":")[0])
        lines = self.failures.setdefault(key, [])
        shown = {"id": line["id"], "subject": line["subject"], "command": line["command"]}
        lines.append({**shown, "detail": one["detail"]})
        if len(lines) == 1:
            told = f"FAILED {line['id']} ({line['subject']}): {one['kind']} {one['detail'][:300]}"
            sys.stdout.write(f"{told}\n    {line['command']}\n")
            sys.stdout.flush()


class Worker:
    """A sandbox that does one number after another."""

    def __init__(self, seed: int) -> None:
        self._process = subprocess.Popen(
            sandbox.command("tests.faults.worker", str(seed)),
            cwd=sandbox.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._process.stdout.readline()  # type: ignore[union-attr]

    def do(self, number: str) -> Line | None:
        """What came of a number; None where the sandbox has ended."""
        try:
            self._process.stdin.write(f"{number}\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
            line = self._process.stdout.readline()  # type: ignore[union-attr]
        except OSError:
            return None
        return json.loads(line) if line else None

    def close(self) -> None:
        """End it, with all that is in it."""
        self._process.kill()
        self._process.communicate()


def _run(numbers: list[str], seed: int, workers: int, stop: threading.Event, tally: Tally) -> None:
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[str, Line | None] | None] = queue.SimpleQueue()
    for number in numbers:
        waiting.put(number)
    threads = [
        threading.Thread(target=_work, args=(seed, waiting, done, stop), daemon=True)
        for _ in range(workers)
    ]
    for thread in threads:
        thread.start()
    running = len(threads)
    while running:
        told = done.get()
        if told is None:
            running -= 1
        elif told[1] is None:
            tally.lose(told[0])
        else:
            tally.add(told[1])


def _work(
    seed: int,
    waiting: queue.SimpleQueue[str],
    done: queue.SimpleQueue[tuple[str, Line | None] | None],
    stop: threading.Event,
) -> None:
    worker, lost = Worker(seed), 0
    try:
        while not stop.is_set():
            number = waiting.get_nowait()
            line = worker.do(number)
            done.put((number, line))
            if line is None:
                lost += 1
                if lost == MOST_LOST:
                    break
                worker.close()
                worker = Worker(seed)
    except queue.Empty:
        pass
    finally:
        worker.close()
        done.put(None)


def _numbers(only: list[str], *, short: bool, count: int | None) -> list[str]:
    """The numbers that are asked for, those that take longest first."""
    singles = [one for one in only if "/" in one]
    names = [one for one in only if "/" not in one] or ([] if singles else list(CAMPAIGNS))
    counts = {
        name: count or (CAMPAIGNS[name].short if short else CAMPAIGNS[name].whole) for name in names
    }
    return singles + [f"{name}/{index}" for name, most in counts.items() for index in range(most)]


def _campaign(number: str) -> str:
    return number.partition("/")[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="CAMPAIGN[/NUMBER]",
        help=f"one of {', '.join(CAMPAIGNS)}, or one number of it; may be repeated",
    )
    parser.add_argument("--short", action="store_true", help="the part that `make test` has")
    parser.add_argument("--count", type=int, help="how many numbers of each campaign")
    parser.add_argument("--minutes", type=float, default=600, help="begin nothing new after these")
    workers = min(MOST_WORKERS, os.cpu_count() or 1)
    parser.add_argument("--workers", type=int, default=workers, help="sandboxes at once")
    parser.add_argument("--out", type=Path, help="write what came of it as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
