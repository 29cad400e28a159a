"""What holds whatever goes wrong: not an expected answer, but what every ending has to keep."""

from __future__ import annotations

import hashlib
import json
import re
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.sandbox import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.faults.forkserver import Outcome
    from tests.faults.place import Place, Tree

# Line breaks and tabs are the product's own. C0, C1, and what turns the direction of text.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
ERROR = re.compile(r"^error: ", re.MULTILINE)
RANDOM = re.compile(r"[a-z0-9_]{8}$")
INTERNAL = re.compile(r"internal error: (\w+)")
LONGEST_ERROR = 4000
SHELL_SIGNAL_BASE = 128
MOST_MEMORY_MIB = 1536
# With these something was measured, reached or found; with all others there is an error to tell.
RESULTS = {0, 10, 11, 12}
GATE_RESULTS = {0, 1, 3}
STOPPED = {128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}


@dataclass(frozen=True)
class Broken:
    """An invariant that did not hold.

    Attributes:
        kind: of the failure, the same for alike ones.
        detail: what was seen.
    """

    kind: str
    detail: str


def documented(verb: str) -> set[int]:
    """The exit codes that docs/exit-codes.md has for a verb."""
    text = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    main, _, of_bench = text.partition("## `edgespiral bench`")
    rows = of_bench.partition("## Results")[0] if verb == "bench" else main
    codes = _codes(rows)
    ended = {code for code in _codes(main) if code > SHELL_SIGNAL_BASE}
    return codes | ended if verb == "bench" else codes - {1}


def judge(
    outcome: Outcome,
    place: Place,
    before: Tree,
    after: Tree,
    codes: Iterable[int] = (),
    temporaries: Iterable[str] = (),
) -> list[Broken]:
    """Every invariant that an ending breaks.

    Args:
        before: what the place held before the command, but for what it was to write.
        after: what it held afterwards.
        codes: the exit codes that are right; all documented ones if none are given.
        temporaries: what lay in TMPDIR before, left by what SIGKILL ended.
    """
    broken = [*_ended(outcome, set(codes)), *_said(outcome), *_changed(before, after)]
    if outcome.left:
        broken.append(Broken("a process is left", "; ".join(outcome.left)[:200]))
    if outcome.grown_mib > MOST_MEMORY_MIB:
        broken.append(Broken("memory", f"{outcome.grown_mib} MiB"))
    if signal.SIGKILL not in outcome.signalled and not outcome.hung:
        new = set(place.left_in_temporary()) - set(temporaries)
        left = sorted({RANDOM.sub("*", name) for name in new})
        broken += [Broken(f"{name} is left in TMPDIR", "") for name in left]
    return broken


def appended(before: bytes, after: bytes) -> list[Broken]:
    """Whether a journal lost or changed a whole line."""
    whole = before[: before.rfind(b"\n") + 1]
    return [] if after.startswith(whole) else [Broken("the journal was not only appended", "")]


def published(run: Path) -> list[Broken]:
    """Whether a finished run's files are those of its journal and its result."""
    journal = run / "journal.jsonl"
    try:
        records = [json.loads(line) for line in journal.read_bytes().split(b"\n")[:-1]]
        result = json.loads((run / "result.json").read_bytes())
    except (OSError, ValueError) as error:
        return [Broken("a finished run cannot be read", str(error))]
    best = records[-1].get("best_turn")
    turns = [one for one in records if one.get("kind") == "turn-finished"]
    finished: dict[str, str] = next((one["files"] for one in turns if one["turn"] == best), {})
    return [
        Broken("a published file is not the journal's", name)
        for files in (finished, result.get("files") or {})
        for name, digest in files.items()
        if _sha256(run / name) != digest
    ]


def _codes(table: str) -> set[int]:
    """The codes of a table's first column, of which a row may have several."""
    firsts = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    return {int(code) for first in firsts for code in first.split(",")}


def _ended(outcome: Outcome, codes: set[int]) -> Iterator[Broken]:
    verb = outcome.argv[0] if outcome.argv else ""
    known, code = documented(verb), outcome.exit_code
    if outcome.hung:
        yield Broken("it hangs", f"{outcome.seconds:.0f} s")
    elif -code in outcome.signalled and -code == signal.SIGKILL:
        return
    elif code < 0:
        yield Broken(f"it is killed by {signal.Signals(-code).name}", _last(outcome.stderr))
    elif INTERNAL.search(outcome.stderr):
        return
    elif code not in known and not _was_stopped(outcome):
        yield Broken(f"exit code {code} is not documented", _last(outcome.stderr))
    elif codes and code not in codes and not _was_stopped(outcome):
        told = ", ".join(map(str, sorted(codes)))
        yield Broken(f"exit code {code}, where {told} would be right", _last(outcome.stderr))


def _was_stopped(outcome: Outcome) -> bool:
    return any(outcome.exit_code == 128 + number for number in outcome.signalled)


def _said(outcome: Outcome) -> Iterator[Broken]:
    both = outcome.stdout + outcome.stderr
    if "Traceback (most recent call last)" in both:
        yield Broken("a traceback", _last(outcome.stderr))
    internal = INTERNAL.search(both)
    if internal:
        yield Broken(f"an internal error: {internal[1]}", _last(outcome.stderr))
    found = CONTROLS.search(both)
    if found:
        around = both[max(0, found.start() - 40) : found.end() + 40]
        yield Broken("control characters are printed", repr(around))
    if not _is_result(outcome) and not outcome.unheard:
        yield from _error_line(outcome)


def _is_result(outcome: Outcome) -> bool:
    gate = tuple(outcome.argv[:1]) == ("bench",)
    endings = (GATE_RESULTS if gate else RESULTS) | STOPPED
    told = tuple(outcome.argv[:2]) == ("targets", "check")
    return outcome.exit_code in endings or outcome.exit_code < 0 or outcome.hung or told


def _error_line(outcome: Outcome) -> Iterator[Broken]:
    lines = [line for line in outcome.stderr.splitlines() if line.strip()]
    count = len(ERROR.findall(outcome.stderr))
    if "internal error" in outcome.stderr:
        return
    if count != 1 and not _is_table(outcome):
        yield Broken(f"{count} error lines", _last(outcome.stderr))
    elif lines and not lines[-1].startswith("error: ") and not _is_table(outcome):
        yield Broken("the error is more than one line", _last(outcome.stderr))
    if any(len(line) > LONGEST_ERROR for line in lines):
        yield Broken("the error line is too long", f"{max(map(len, lines))} characters")


def _is_table(outcome: Outcome) -> bool:
    """Whether the gate tells its models' errors in its table, model by model."""
    return tuple(outcome.argv[:1]) == ("bench",) and "error" in outcome.stdout


def _changed(before: Tree, after: Tree) -> Iterator[Broken]:
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if was != now:
            how = "was made" if was is None else "is gone" if now is None else "was changed"
            yield Broken(f"a file {how} that is not its own", name)


def _last(text: str) -> str:
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()]
    return repr(lines[-1][:300]) if lines else ""


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
