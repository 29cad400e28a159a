"""Runs that ship in another precision, and what is asked of a target before one begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from edgespiral import api
from edgespiral.core.errors import DataError, UsageError
from edgespiral.core.records.events import Candidate, PrecisionChosen, TurnFinished
from edgespiral.core.records.journal import read
from edgespiral.export.parity import file_score
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from pathlib import Path


def events_of(folder: Path, kind: type) -> list:
    return [event for event in read(folder / "journal.jsonl") if isinstance(event, kind)]


def test_auto_shows_its_comparison(mixed):
    done = mixed
    (chosen,) = events_of(done.folder, PrecisionChosen)
    assert done.result.precision == chosen.precision
    assert done.result.precision_trials == chosen.trials
    assert done.result.precision_mixes == chosen.mixes
    page = (done.folder / "report.html").read_text()
    assert chosen.reason in page


def test_a_finished_choice_is_not_made_again(mixed, wide, digits, quick_options):
    done = mixed
    again = api.compress(
        wide, digits, out=done.folder, resume=True, precision="auto", **quick_options
    )
    assert again.result == done.result
    assert len(events_of(done.folder, PrecisionChosen)) == 1


def test_int8_ships_what_was_measured(rounded, digits):
    folder = rounded.folder
    assert "QuantizeLinear" in {
        node.op_type for node in onnx.load(folder / "model.onnx").graph.node
    }
    turn = events_of(folder, TurnFinished)[-1]
    assert (turn.student.precision, turn.devices[0].measurement.fingerprint.precision) == (
        "int8",
        "int8",
    )
    assert turn.student.float_score is not None
    measured = file_score(folder / "model.onnx", digits.validation, task=CLASSIFICATION)
    assert turn.student.validation_score == measured
    assert {"model.onnx", "model.float.onnx", "model.json"} <= set(turn.files)
    assert rounded.result.student.test_score == file_score(
        folder / "model.onnx", digits.test, task=CLASSIFICATION
    )


def test_candidates_were_measured_in_int8(rounded):
    found = events_of(rounded.folder, Candidate)
    assert {c.devices[0].measurement.fingerprint.precision for c in found} == {"int8"}
    assert rounded.result.devices[0].teacher.fingerprint.precision == "fp32"


def test_what_a_target_gains_nothing_by_is_refused(wide, digits, tmp_path):
    with pytest.raises(UsageError, match=r"--precision: fp16 is not to be had on host-cpu; .*int8"):
        api.compress(wide, digits, out=tmp_path / "run", speedup=2.0, precision="fp16")
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_asks_too_much_ends_the_run(wide, digits, quick_options, tmp_path):
    recipe = tmp_path / "much.toml"
    recipe.write_text('schema = 1\nname = "much"\nsamples = 100000\n')
    options = quick_options | {"precision": "int8", "recipe": str(recipe)}
    with pytest.raises(DataError, match="100000 samples are asked for, there are"):
        api.compress(wide, digits, out=tmp_path / "run", **options)
