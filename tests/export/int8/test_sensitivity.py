from dataclasses import replace

import pytest

from edgespiral.export.int8.calibration import prepare
from edgespiral.export.int8.sensitivity import damages
from edgespiral.export.parity import Reference
from edgespiral.tasks.classification import CLASSIFICATION

LAYERS = {"/stem/Conv", "/left/Conv", "/right/Conv", "/head/Gemm"}


@pytest.fixture
def made(float_file, digits, a_recipe):
    """With ranges so wide that little of 8 bits is left."""
    found = prepare(float_file, digits, a_recipe(), form="onnxruntime", task=CLASSIFICATION)
    wide = {name: (40 * low, 40 * high) for name, (low, high) in found.ranges.tensors.items()}
    return replace(found, ranges=found.ranges.model_copy(update={"tensors": wide}))


def test_damage_is_what_a_layer_does_alone(made, tmp_path):
    found = damages(made)
    assert {layer for layer, _ in found} == LAYERS
    assert [nats for _, nats in found] == sorted((nats for _, nats in found), reverse=True)
    made.write(tmp_path / "alone.onnx", LAYERS - {found[0][0]})
    reference = Reference(made.source, made.samples.inputs, task=CLASSIFICATION)
    assert found[0][1] == reference.divergence_nats(tmp_path / "alone.onnx") > 0


def test_both_ends_of_a_spoilt_tensor_show(float_file, digits, a_recipe):
    made = prepare(float_file, digits, a_recipe(), form="onnxruntime", task=CLASSIFICATION)
    ends = dict.fromkeys(("/left/Conv_output_0", "/Relu_1_output_0"), (-1e6, 1e6))
    ranges = made.ranges.model_copy(update={"tensors": made.ranges.tensors | ends})
    (first, _), (second, least), *others = damages(replace(made, ranges=ranges))
    assert {first, second} == {"/left/Conv", "/right/Conv"}
    assert least > 10 * max(nats for _, nats in others)


def test_layers_that_stay_in_float_do_no_damage(made):
    kept = replace(made, excluded=("/stem/Conv",))
    assert {layer for layer, _ in damages(kept)} == LAYERS - {"/stem/Conv"}
