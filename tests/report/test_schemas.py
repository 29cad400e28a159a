"""A run's records are as the published schemas say."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from edgespiral.cli.write_schemas import FOLDER
from edgespiral.core.records.events import EVENT, Event
from edgespiral.report.result import build_result


def validator(name: str) -> Any:
    schema = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_a_result_and_its_journal_are_as_their_schemas_say(met: list[Event]) -> None:
    result = json.loads(build_result(met).model_dump_json())
    validator("result").validate(result)
    lines = validator("journal-line")
    for event in met:
        lines.validate(json.loads(EVENT.dump_json(event)))
    with pytest.raises(ValidationError, match="outcome"):
        validator("result").validate({**result, "outcome": "perhaps"})
    with pytest.raises(ValidationError):
        lines.validate({"kind": "turn-finished"})
    # A later version may say more.
    validator("result").validate({**result, "in_a_later_version": 1})
