"""Where runs start from; tests/spiral/test_publishing.py has what happens to changed files."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace

import pytest
import torch
from quick_runs import FINISHED
from torch import nn

from edgespiral import api
from edgespiral.core.errors import DataError, MeasurementError, RunFolderError
from edgespiral.core.records.events import Baseline
from edgespiral.core.records.journal import read
from edgespiral.data.tensors import Normalisation, TensorSource
from edgespiral.spiral.baseline import CHANGED, no_speedup, timed
from edgespiral.spiral.budget import Budgets
from edgespiral.spiral.plan import load_plan
from edgespiral.spiral.shipping.ending import SAME_SAMPLES
from edgespiral.spiral.shipping.publishing import hashes_of, judged_files


def test_the_teachers_files_are_in_the_journal_as_a_turns_are(finished):
    events = read(finished.folder / "journal.jsonl")
    assert judged_files(events, 0) == hashes_of(finished.folder / "teacher")
    best = finished.result.best_turn
    assert judged_files(events, best) == hashes_of(finished.folder / f"turn-{best:02d}")
    with pytest.raises(RunFolderError, match="does not tell of turn 99"):
        judged_files(events, 99)


def test_the_teacher_was_scored_by_its_file_and_timed_on_every_target(finished):
    events = read(finished.folder / "journal.jsonl")
    [baseline] = [event for event in events if isinstance(event, Baseline)]
    evaluation = baseline.teacher.evaluation
    assert evaluation is not None
    assert (evaluation.batch_size, evaluation.samples) == (1, 270)
    assert [measurement.target for measurement in timed(baseline)] == ["quick"]


def test_budgets_are_of_the_teachers_latency_where_a_speedup_is_asked_for(a_measurement):
    flags = {"model": "resnet8", "data": "digits", "target": ["a", "b"], "speedup": 2.0}
    asked = load_plan(None, flags).budgets
    budgets = Budgets.of(asked, [a_measurement(4.0), a_measurement(10.0)])
    assert [budget.latency_ms for budget in budgets.each] == [2.0, 5.0]
    assert (no_speedup().value, no_speedup().ci95.low, no_speedup().ci95.high) == (1, 1, 1)


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, as if it had been killed before its last record was written."""
    folder = shutil.copytree(finished.folder, tmp_path / "run")
    journal = folder / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    return folder


def resumed(run, teacher, splits):
    return api.compress(teacher, splits, out=run, resume=True, **FINISHED)


def with_samples(splits, inputs=None, labels=None):
    """The same data but for what is given of the validation split."""
    stored, classes = next(iter(splits.validation.epoch(batch_size=len(splits.validation))))
    plain = Normalisation(torch.zeros(1), torch.ones(1))
    source = TensorSource(
        stored if inputs is None else inputs(stored), classes if labels is None else labels, plain
    )
    return replace(splits, validation=source)


def test_a_model_whose_code_was_edited_is_not_the_runs_teacher(run, teacher, digits):
    edited = copy.deepcopy(teacher)
    for name, layer in list(edited.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            edited.get_submodule(name).eps = 0.1
    with pytest.raises(RunFolderError, match="something else than the teacher that this run"):
        resumed(run, edited, digits)


def test_samples_that_changed_since_the_run_began_are_refused(run, teacher, digits):
    count = len(digits.validation)
    for changed in (
        with_samples(digits, inputs=lambda stored: stored.flip(3)),
        with_samples(digits, labels=torch.arange(count) % 10),
    ):
        with pytest.raises(DataError, match="digits: validation: the teacher's accuracy is"):
            resumed(run, teacher, changed)
    assert "run-finished" not in (run / "journal.jsonl").read_text()


def doubts_of(result):
    """What a run doubts, whatever else this machine does while it measures."""
    return [doubt for doubt in result.doubts if "other programs took the core" not in doubt]


def test_samples_that_differ_in_their_last_bits_are_told(run, teacher, digits):
    result = resumed(run, teacher, with_samples(digits, inputs=lambda x: x * (1 + 1e-6))).result
    assert CHANGED in result.doubts


def test_a_test_split_that_is_the_validation_split_is_told(run, teacher, digits):
    result = resumed(run, teacher, replace(digits, test=digits.validation)).result
    assert doubts_of(result) == [SAME_SAMPLES]


def test_an_undisturbed_run_has_no_doubts_and_goes_on(run, finished, teacher, digits):
    result = resumed(run, teacher, digits).result
    assert result.files == finished.result.files
    assert doubts_of(result) == []


@pytest.mark.parametrize("again", [0, 1, -1])
def test_a_journal_with_a_record_twice_is_not_gone_on_with(run, teacher, digits, again):
    journal = run / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines, lines[again]]))
    with pytest.raises(RunFolderError, match=f"journal.jsonl:{len(lines) + 1}: "):
        resumed(run, teacher, digits)


def edited(run, number, change):
    """The run's journal with one record changed."""
    journal = run / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    record = json.loads(lines[number])
    change(record)
    lines[number] = json.dumps(record).encode() + b"\n"
    journal.write_bytes(b"".join(lines))


@pytest.mark.parametrize(
    ("name", "value"), [("threads", 7), ("runtime_version", "0"), ("device", "z")]
)
def test_a_run_is_not_gone_on_with_on_another_device(run, teacher, digits, name, value):
    def change(record):
        record["devices"][0]["measurement"]["fingerprint"][name] = value

    edited(run, 1, change)
    told = f"{name.replace('_', ' ')} was {value}, is"
    wanted = f"quick: .*measured otherwise when this run began: {told}"
    with pytest.raises(MeasurementError, match=wanted):
        resumed(run, teacher, digits)


def test_a_run_is_not_gone_on_with_with_another_recipe(run, teacher, digits):
    edited(run, 0, lambda record: record.update(recipe_sha256="0" * 64))
    with pytest.raises(RunFolderError, match="a run with another recipe"):
        resumed(run, teacher, digits)
    # Journals of before do not know it.
    edited(run, 0, lambda record: record.update(recipe_sha256=None))
    assert doubts_of(resumed(run, teacher, digits).result) == []
