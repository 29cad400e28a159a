"""The published schemas are those of the records, and what commands print is as they say."""

import json
from pathlib import Path
from typing import Any

import pytest
from brief_target import BRIEF
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from edgespiral.cli.app import app
from edgespiral.cli.write_schemas import FOLDER, RECORDS, schema_text
from edgespiral.measure.tiny import write_tiny_model


def validator(name: str) -> Any:
    return Draft202012Validator(json.loads((FOLDER / f"{name}.json").read_text("utf-8")))


def printed(*words: str) -> Any:
    done = CliRunner().invoke(app, list(words))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return json.loads(done.stdout)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brief.toml").write_text(BRIEF)
    return tmp_path


@pytest.mark.parametrize("name", RECORDS)
def test_a_schema_is_its_record_s(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text("utf-8") == schema_text(name), "make plan"


def test_no_other_schema_is_published() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(RECORDS)
    page = (FOLDER.parent / "records.md").read_text("utf-8")
    assert [name for name in RECORDS if f"(schemas/{name}.json)" not in page] == []


def test_what_is_measured_and_judged_is_as_the_schemas_say(here: Path) -> None:
    write_tiny_model(here / "tiny.onnx")
    [row] = printed("measure", "tiny.onnx", "--target", "brief.toml", "--json")
    assert row["model"] == "tiny.onnx"
    validator("measurement").validate(row)
    suite = 'schema = 1\ntarget = "brief.toml"\n[[model]]\npath = "tiny.onnx"\nbudget_ms = 500\n'
    (here / "suite.toml").write_text(suite)
    validator("bench").validate(printed("bench", "suite.toml", "--json"))


def test_what_is_inspected_and_trained_is_as_the_schemas_say() -> None:
    inspection = printed("inspect", "resnet8", "--data", "digits", "--json")
    validator("inspection").validate(inspection)
    assert inspection["cuttable_channels"] > 0
    words = ("train", "resnet8", "--data", "digits", "--epochs", "0.1", "--out", "teacher")
    assert CliRunner().invoke(app, words).exit_code == 0
    validator("train").validate(json.loads(Path("teacher/train.json").read_text("utf-8")))
