from dataclasses import replace

import pytest

from edgespiral.core.errors import ExportError, UsageError
from edgespiral.core.listener import Silent
from edgespiral.export.int8.calibration import prepare
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import LIMITS, Reference, file_score
from edgespiral.export.precision import validation_samples
from edgespiral.export.recipe import load_recipe
from edgespiral.measure.profile import TargetProfile, load_profile
from edgespiral.spiral.student.float_fallback import hold
from edgespiral.tasks.classification import CLASSIFICATION


@pytest.fixture(scope="module")
def made(wide, digits, quick_options, tmp_path_factory):
    source = tmp_path_factory.mktemp("restoring") / "model.onnx"
    export_onnx(wide, source, input_shape=digits.input_shape)
    return prepare(
        source,
        digits,
        load_recipe(quick_options["recipe"]),
        form="onnxruntime",
        task=CLASSIFICATION,
    )


@pytest.fixture(scope="module")
def quick(quick_options):
    return load_profile(quick_options["target"])


def ranged(made, **tensors):
    """With other ranges for some tensors."""
    changed = made.ranges.model_copy(update={"tensors": made.ranges.tensors | tensors})
    return replace(made, ranges=changed)


def held(made, path, digits, max_drop, profile):
    return hold(
        made,
        path,
        digits.validation,
        max_drop,
        samples=validation_samples(digits, 64),
        profile=profile,
        listener=Silent(),
    )


def test_what_is_accurate_enough_is_left_alone(made, digits, quick, tmp_path):
    found = held(made, tmp_path / "q.onnx", digits, 5.0, quick)
    assert found.restored == ()
    assert found.float_score - found.score <= 5.0


def test_layers_go_back_until_the_floor_holds(made, digits, quick, tmp_path):
    # Only the first layer reads the input, so that layer in float mends it.
    spoilt, path = ranged(made, input=(-500.0, 500.0)), tmp_path / "q.onnx"
    spoilt.write(path)
    before = file_score(path, digits.validation, task=CLASSIFICATION)
    found = held(spoilt, path, digits, 10.0, quick)
    assert found.float_score - before > 10.0 >= found.float_score - found.score
    assert file_score(path, digits.validation, task=CLASSIFICATION) == pytest.approx(found.score)
    gains = sum(layer.score_gain for layer in found.restored)
    assert before + gains == pytest.approx(found.score)
    assert "/0/Conv" in {layer.layer for layer in found.restored}
    assert found.restored[0].damage_nats > 0


def test_both_ends_of_a_spoilt_tensor_go_back(made, digits, quick, tmp_path):
    # Either layer alone in float leaves the tensor between them rounded.
    ends = dict.fromkeys(("/0/Conv_output_0", "/2/Relu_output_0"), (-1e6, 1e6))
    spoilt, path = ranged(made, **ends), tmp_path / "q.onnx"
    found = held(spoilt, path, digits, 1.0, quick)
    assert {layer.layer for layer in found.restored} == {"/0/Conv", "/3/Conv"}
    assert found.float_score - found.score <= 1.0
    assert Reference(made.source, validation_samples(digits, 64), task=CLASSIFICATION).is_near(
        path, LIMITS["int8"]
    )


def test_layers_that_need_not_be_in_float_are_not(made, digits, quick, tmp_path):
    spoilt, path = ranged(made, input=(-500.0, 500.0)), tmp_path / "q.onnx"
    found = held(spoilt, path, digits, 10.0, quick)
    assert [layer.layer for layer in found.restored] == ["/0/Conv"]


def test_a_floor_that_no_int8_layer_allows_is_refused(made, digits, quick, tmp_path):
    # Nothing is in range: every layer that is left in int8 spoils the whole.
    spoilt = ranged(made, **dict.fromkeys(made.ranges.tensors, (-1e9, 1e9)))
    with pytest.raises(ExportError, match=r"all layers but one in float, .* --max-drop"):
        held(spoilt, tmp_path / "q.onnx", digits, 0.5, quick)
    assert not (tmp_path / "q.onnx").exists()


def test_a_target_of_another_runtime_is_refused(made, digits, tmp_path):
    board = TargetProfile.model_validate(
        {
            "schema": 1,
            "name": "board",
            "transport": {"kind": "local"},
            "runtime": {"kind": "tensorrt"},
        }
    )
    with pytest.raises(UsageError, match="--target: board runs the tensorrt form"):
        held(made, tmp_path / "q.onnx", digits, 1.0, board)
