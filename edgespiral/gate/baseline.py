"""Results on disk: baselines by name, refused where they cannot be compared with."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edgespiral.core.config import config_errors
from edgespiral.core.errors import MeasurementError, UsageError, unknown_name
from edgespiral.core.records.measurement import differences
from edgespiral.core.records.schema_1 import upgraded_result
from edgespiral.core.system.files import make_folder, parse_json, read_text, write_text
from edgespiral.core.text import shortened
from edgespiral.gate.records import SCHEMA, BenchResult, CaseResult

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgespiral.core.records.measurement import (
        Measurement,
    )

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def baseline_path(store: Path, name: str) -> Path:
    """Where the baseline called `name` is kept.

    Raises:
        UsageError: not a name that every file system takes.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"not a name: {name!r}", hint="letters, digits, dots, - and _")
    return store / f"{name}.json"


def save_baseline(store: Path, name: str, result: BenchResult) -> Path:
    """Keep a result for later comparisons, in place of an earlier one of this name.

    Raises:
        UsageError: not a name for a file.
        MeasurementError: a model of it was not measured.
        RunFolderError: the file cannot be written.
    """
    path = baseline_path(store, name)
    for case in result.cases:
        if case.measurement is None:
            raise MeasurementError(f"no baseline saved: {case.error}", where=case.name)
    write_result(path, result)
    return path


def load_baseline(store: Path, name: str) -> BenchResult:
    """The baseline called `name`.

    Raises:
        UsageError: there is none, with the nearest names; or as `read_result`.
    """
    path = baseline_path(store, name)
    if not path.is_file():
        names = [file.stem for file in store.glob("*.json")]
        if not names:
            raise UsageError("no baselines here", where=str(store), hint="edgespiral bench save")
        raise unknown_name("baseline", name, names)
    return read_result(path)


def write_result(path: Path, result: BenchResult) -> None:
    """Write a result as JSON, a model a line, so that git shows which of them changed.

    Raises:
        RunFolderError: the file cannot be written.
    """
    make_folder(path.parent)
    document = result.model_dump(mode="json")
    cases = ",\n".join(json.dumps(case) for case in document.pop("cases"))
    head = json.dumps(document, indent=1).removesuffix("\n}")
    write_text(path, f'{head},\n "cases": [\n{cases}\n ]\n}}\n')


def read_result(path: Path) -> BenchResult:
    """A result that was written as JSON.

    Raises:
        UsageError: the file is missing, empty, cut short, of another schema version or not valid.
    """
    try:
        document = parse_json(read_text(path))
        if isinstance(document, dict) and document.get("schema_version") == 1:
            document = upgraded_result(document)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        empty = path.stat().st_size == 0
        what = "is empty" if empty else f"is not whole JSON: {shortened(str(error))}"
        raise UsageError(what, where=str(path), hint="save it again") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA:
        raise UsageError(
            f"has schema version {shortened(repr(version), 40)}, this EdgeSpiral reads {SCHEMA}",
            where=str(path),
            hint="save it again with this version",
        )
    try:
        return BenchResult.model_validate(document)
    except ValidationError as error:
        problem, *_ = config_errors(
            error, BenchResult, lambda key: f"{path}:{key}" if key else str(path)
        )
        raise UsageError(problem, hint="save it again") from error


def check_comparable(
    label: str, stored: CaseResult, shapes: Mapping[str, tuple[int, ...]], now: Measurement
) -> None:
    """Refuse a baseline that was taken elsewhere or otherwise.

    Raises:
        UsageError: every difference in device, power mode, runtime, threads or shapes is named.
    """
    problems = otherwise(stored.measurement, now)
    if stored.shapes != dict(shapes):
        problems.append(f"input shapes were {stored.shapes}, are {dict(shapes)}")
    if problems:
        raise UsageError(
            f"cannot be compared with: {', '.join(problems)}",
            where=f"baseline {label}: {stored.name}",
            hint="save it anew here, or measure both with --against",
        )


def otherwise(before: Measurement | None, now: Measurement) -> list[str]:
    """How device, power mode, runtime or threads differ: `threads was 1, is 2`."""
    return differences(before.fingerprint if before else None, now.fingerprint)
