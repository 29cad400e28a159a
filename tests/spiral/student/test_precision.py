"""Runs that ship in another precision, and what is asked of a target before one begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from edgespiral import api
from edgespiral.core.errors import DataError, UsageError
from edgespiral.core.journal import read
from edgespiral.core.records import Candidate, PrecisionChosen, TurnFinished
from edgespiral.export.parity import file_score
from edgespiral.export.recipe import load_recipe
from edgespiral.measure.profile import TargetProfile, load_profile
from edgespiral.spiral.plan import load_plan
from edgespiral.spiral.student.precision import Precisions, form_of, measuring, supported

if TYPE_CHECKING:
    from pathlib import Path

JETSON = {"schema": 1, "name": "board", "transport": {"kind": "local"}}


def board(**runtime: object) -> TargetProfile:
    return TargetProfile.model_validate({**JETSON, "runtime": {"kind": "tensorrt", **runtime}})


def gpu(**runtime: object) -> TargetProfile:
    runtime |= {"kind": "onnxruntime", "provider": "CUDAExecutionProvider"}
    return TargetProfile.model_validate({**JETSON, "runtime": runtime})


def precisions(profile: TargetProfile, **plan: object) -> Precisions:
    asked = load_plan(None, {"model": "m", "data": "digits", "speedup": 2.0, **plan})
    return Precisions.of(asked, profile, load_recipe("default"))


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
    assert (turn.student.precision, turn.student.latency.fingerprint.precision) == ("int8", "int8")
    assert turn.student.float_accuracy is not None
    measured = file_score(folder / "model.onnx", digits.validation)
    assert turn.student.validation_accuracy == measured
    assert {"model.onnx", "model.float.onnx", "model.json"} <= set(turn.files)
    assert rounded.result.student.test_accuracy == file_score(folder / "model.onnx", digits.test)


def test_candidates_were_measured_in_int8(rounded):
    found = events_of(rounded.folder, Candidate)
    assert {c.measurement.fingerprint.precision for c in found} == {"int8"}
    assert rounded.result.teacher.latency.fingerprint.precision == "fp32"


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


def test_a_profile_says_the_precision_where_the_plan_does_not():
    host = load_profile("host-cpu")
    assert precisions(host).wanted == "fp32"
    int8 = host.model_copy(
        update={"runtime": host.runtime.model_copy(update={"precision": "int8"})}
    )
    assert precisions(int8).candidates() == ("int8",)
    assert precisions(int8, precision="fp32").candidates() == ()
    fp16 = host.model_copy(
        update={"runtime": host.runtime.model_copy(update={"precision": "fp16"})}
    )
    with pytest.raises(UsageError, match=r"host-cpu:runtime\.precision: fp16 is not to be had"):
        precisions(fp16)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (board(), ("fp16", "int8")),
        (board(precision="int8"), ("fp16", "int8")),
        (board(precision="fp32"), ("fp32", "int8")),
        (board(strongly_typed=True), ("fp32", "fp16", "int8")),
        (gpu(), ("fp32", "fp16", "int8")),
    ],
)
def test_a_runtime_has_its_precisions(profile, expected):
    assert supported(profile) == expected


def test_tensorrt_makes_fp16_of_fp32_files():
    found = precisions(board(), precision="auto")
    assert (found.written("fp16"), found.written("int8"), found.form) == (
        "fp32",
        "int8",
        "tensorrt",
    )
    assert found.candidates() == ("int8",)


def test_the_teacher_is_measured_in_float_where_int8_is_the_targets_own():
    assert measuring(board(precision="int8")).runtime.precision == "fp16"
    assert measuring(board(precision="fp32")).runtime.precision == "fp32"


def test_a_phone_runs_int8_as_any_cpu_does(monkeypatch):
    monkeypatch.setenv("ORT_PERF_TEST", "perf_test")
    phone = load_profile("android-arm64")
    assert (supported(phone), form_of(phone)) == (("fp32", "int8"), "onnxruntime")


def test_the_hint_for_several_targets_can_be_followed():
    boards = [board(strongly_typed=True), board(strongly_typed=True)]
    plan = load_plan(None, {"model": "m", "data": "d", "speedup": 2})
    with pytest.raises(UsageError, match=r'is for runs of one target; set precision = "fp32"'):
        Precisions.shared(plan, boards, load_recipe("default"))
