"""Writes docs/schemas/ from the records themselves: `make plan`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edgespiral.core.records.events import EVENT
from edgespiral.core.records.inspection import Inspection
from edgespiral.core.records.measurement import Measurement
from edgespiral.core.records.result import Result
from edgespiral.gate.records import BenchResult
from edgespiral.teacher import TrainedTeacher

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
# By file: what a program reads, and where it is found.
RECORDS: dict[str, tuple[TypeAdapter[Any], str]] = {
    "result": (TypeAdapter(Result), "result.json of a run folder, and `edgespiral report --json`"),
    "journal-line": (EVENT, "a line of journal.jsonl of a run folder"),
    "bench": (TypeAdapter(BenchResult), "`edgespiral bench --json` and its --out"),
    "inspection": (TypeAdapter(Inspection), "`edgespiral inspect --json`"),
    "measurement": (TypeAdapter(Measurement), "what `edgespiral measure` took of a model"),
    "train": (TypeAdapter(TrainedTeacher), "train.json of a teacher's folder"),
}


def schema_text(name: str) -> str:
    """The JSON Schema of a record of `RECORDS`, as its file has it."""
    adapter, title = RECORDS[name]
    schema = _open(adapter.json_schema(mode="serialization"))
    about = {"$schema": DIALECT, "$comment": f"{title}. Written by `make plan`: edit the record."}
    return json.dumps({**about, **schema}, indent=1, sort_keys=True) + "\n"


def _open(schema: dict[str, object]) -> dict[str, object]:
    """Without what refuses keys of a later version."""

    def reopened(value: object) -> object:
        if isinstance(value, dict):
            items = {key: reopened(part) for key, part in value.items()}
            return {k: v for k, v in items.items() if (k, v) != ("additionalProperties", False)}
        return [reopened(part) for part in value] if isinstance(value, list) else value

    return {key: reopened(value) for key, value in schema.items() if key != "additionalProperties"}


def main() -> None:
    """Write all of them anew."""
    FOLDER.mkdir(exist_ok=True)
    for name in RECORDS:
        (FOLDER / f"{name}.json").write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
