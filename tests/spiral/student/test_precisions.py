"""What precisions a run may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.export.recipe import load_recipe
from edgespiral.measure.profile import TargetProfile, load_profile
from edgespiral.spiral.student.precisions import Precisions, form_of, measuring, supported

if TYPE_CHECKING:
    from edgespiral.core.records.schema import Precision

JETSON = {"schema": 1, "name": "board", "transport": {"kind": "local"}}


def board(**runtime: object) -> TargetProfile:
    return TargetProfile.model_validate({**JETSON, "runtime": {"kind": "tensorrt", **runtime}})


def gpu(**runtime: object) -> TargetProfile:
    runtime |= {"kind": "onnxruntime", "provider": "CUDAExecutionProvider"}
    return TargetProfile.model_validate({**JETSON, "runtime": runtime})


def precisions(profile: TargetProfile, asked: Precision | None = None) -> Precisions:
    return Precisions.of(asked, profile, load_recipe("default"))


def test_a_profile_says_the_precision_where_the_plan_does_not():
    host = load_profile("host-cpu")
    assert precisions(host).wanted == "fp32"
    int8 = host.model_copy(
        update={"runtime": host.runtime.model_copy(update={"precision": "int8"})}
    )
    assert precisions(int8).candidates() == ("int8",)
    assert precisions(int8, "fp32").candidates() == ()
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
    found = precisions(board(), "auto")
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
    with pytest.raises(UsageError, match=r'is for runs of one target; set precision = "fp32"'):
        Precisions.shared(None, boards, load_recipe("default"))
