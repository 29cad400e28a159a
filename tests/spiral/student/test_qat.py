"""Winning back what int8 has cost, on a real network, data, files and training."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace

import pytest

from edgespiral import api
from edgespiral.core.records.events import TurnFinished
from edgespiral.core.records.journal import read
from edgespiral.core.system.files import sha256_file
from edgespiral.distill.evaluate import score
from edgespiral.distill.masks import apply_masks
from edgespiral.export.int8.calibration import prepare
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import check_parity, file_score
from edgespiral.export.zeros import read_zeros
from edgespiral.prune.sparsity import masks_for
from edgespiral.spiral.plan import load_plan
from edgespiral.spiral.student.distillation import Teaching
from edgespiral.spiral.student.qat import ScoreRecovery, Shipped
from edgespiral.tasks.classification import CLASSIFICATION

END = ("turn-finished", "run-finished")


def finished_turns(folder):
    return [event for event in read(folder / "journal.jsonl") if isinstance(event, TurnFinished)]


def last_turn(folder):
    return finished_turns(folder)[-1]


def test_a_run_ships_the_better_one(rounded, digits):
    turn, folder = last_turn(rounded.folder), rounded.folder
    done = turn.quantised_training
    assert rounded.result.quantised_training == done
    assert done.epochs == 0.25 * 0.5
    assert done.kept == (done.score_after > done.score_before)
    best = max(done.score_before, done.score_after)
    assert turn.student.validation_score == file_score(
        folder / "model.onnx", digits.validation, task=CLASSIFICATION
    )
    assert turn.student.validation_score == best
    assert {name: sha256_file(folder / name) for name in turn.files} == turn.files
    inputs = [batch for batch, _ in digits.validation.epoch(batch_size=1)][:8]
    assert (
        check_parity(
            rounded.model, folder / "model.float.onnx", inputs, task=CLASSIFICATION
        ).samples
        == 8
    )


def test_training_goes_on_from_where_it_stopped(rounded, wide, digits, int8_options, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(rounded.folder, folder)
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if json.loads(line)["kind"] not in END))
    again = api.compress(wide, digits, out=folder, resume=True, **int8_options)
    # How many more turns each takes is up to how well the device could be measured.
    before, after = (finished_turns(run.folder)[0] for run in (rounded, again))
    assert after.quantised_training == before.quantised_training
    assert after.files["model.safetensors"] == before.files["model.safetensors"]


@pytest.fixture
def spoilt(wide, digits, quick_options, a_bench, tmp_path):
    """Makes the means to win back, and an int8 student whose input is hardly told apart."""

    def make(qat):
        options = quick_options | {"model": "wide", "data": "digits", "qat": qat}
        context = a_bench(load_plan(None, options | {"learning_rate": 0.05}), model=wide)
        file, path = tmp_path / "model.float.onnx", tmp_path / "model.onnx"
        export_onnx(wide, file, input_shape=digits.input_shape)
        made = prepare(
            file, digits, context.precisions.recipe, form="onnxruntime", task=CLASSIFICATION
        )
        wider = made.ranges.tensors | {"input": (-500.0, 500.0)}
        made = replace(made, ranges=made.ranges.model_copy(update={"tensors": wider}))
        made.write(path)
        found = score(wide, digits.validation, task=CLASSIFICATION)
        first = Shipped(
            tmp_path,
            context.teacher.model,
            found,
            file_score(path, digits.validation, task=CLASSIFICATION),
        )
        return context, first, made

    return make


def test_layers_go_back_to_float_only_below_the_floor(spoilt, wide, digits):
    context, first, made = spoilt("never")
    low = ScoreRecovery(context, Teaching([wide]), 1, first.score - 1, last=True)
    assert low.win_back(first, made) == first
    floor = first.float_score - 5.0
    with context.session:
        found = ScoreRecovery(context, Teaching([wide]), 1, floor, last=True).win_back(first, made)
    assert found.training is None
    assert "/0/Conv" in {layer.layer for layer in found.restored}
    path = found.folder / "model.onnx"
    assert file_score(path, digits.validation, task=CLASSIFICATION) == pytest.approx(found.score)
    assert found.score >= floor
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["kept_float"]["/0/Conv"] == "put back to hold the score"


def test_auto_trains_where_rounding_took_too_much(spoilt, wide, digits):
    context, first, made = spoilt("auto")
    early = ScoreRecovery(context, Teaching([wide]), 1, 0.0, last=False)
    assert early.win_back(first, made) == first
    found = ScoreRecovery(context, Teaching([wide]), 1, 0.0, last=True).win_back(first, made)
    assert found.training.kept
    assert found.restored == ()
    assert found.score > first.score + 10
    assert found.score == file_score(
        found.folder / "model.onnx", digits.validation, task=CLASSIFICATION
    )


def test_zeros_stay_zero_while_it_trains_with_the_rounding(spoilt, wide):
    context, first, made = spoilt("always")
    model = copy.deepcopy(first.model)
    masks = masks_for(model, 0.5)
    apply_masks(model, masks)
    means = ScoreRecovery(context, Teaching([wide]), 1, 0.0, last=True, masks=masks)
    found = means.win_back(replace(first, model=model), made)
    assert found.training.kept
    zeros = sum(layer.zeros for layer in read_zeros(found.folder / "model.onnx"))
    assert zeros >= sum(int((~mask).sum()) for mask in masks.values())


def test_a_training_that_diverges_leaves_the_student_as_it_was(spoilt, wide):
    context, first, made = spoilt("auto")
    wild = replace(context, plan=context.plan.model_copy(update={"learning_rate": 1e30}))
    found = ScoreRecovery(wild, Teaching([wide]), 1, 0.0, last=True).win_back(first, made)
    assert found == first
