from dataclasses import replace

import pytest

from edgespiral.export.int8.calibration import prepare
from edgespiral.export.int8.sensitivity import damages
from edgespiral.export.parity import Reference

LAYERS = {"/stem/Conv", "/left/Conv", "/right/Conv", "/head/Gemm"}


@pytest.fixture
def made(float_file, digits, a_recipe):
    """With ranges so wide that little of 8 bits is left."""
    found = prepare(float_file, digits, a_recipe(), form="onnxruntime")
    wide = {name: (40 * low, 40 * high) for name, (low, high) in found.ranges.tensors.items()}
    return replace(found, ranges=found.ranges.model_copy(update={"tensors": wide}))


def test_damage_is_what_a_layer_in_float_undoes(made, tmp_path):
    found = damages(made, [])
    assert {layer for layer, _ in found} == LAYERS
    assert [nats for _, nats in found] == sorted((nats for _, nats in found), reverse=True)
    reference = Reference(made.source, made.samples.inputs)
    made.write(tmp_path / "all.onnx")
    made.write(tmp_path / "without.onnx", [found[0][0]])
    whole, without = (reference.divergence_nats(tmp_path / f"{n}.onnx") for n in ("all", "without"))
    assert found[0][1] == whole - without > 0


def test_layers_in_float_do_no_damage_and_the_last_cannot_be_tried(made):
    assert "/stem/Conv" not in {layer for layer, _ in damages(made, ["/stem/Conv"])}
    assert damages(made, LAYERS - {"/head/Gemm"}) == []
