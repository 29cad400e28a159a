import numpy as np
import pytest

from edgespiral.core.records.exported import LayerError
from edgespiral.data.stratified import stratified
from edgespiral.export.int8.convert import write_int8
from edgespiral.export.int8.ranges import calibrated
from edgespiral.export.layers import Noise, first_diverging, layer_errors, worst_first


@pytest.fixture(scope="module")
def samples(digits):
    return stratified(digits.train, 40, seed=0, where="x")


def test_a_ratio_is_in_decibels_and_none_where_nothing_differs():
    noise = Noise()
    noise.add(np.full(4, 10.0), np.full(4, 11.0))
    assert noise.sqnr_db == pytest.approx(20.0)
    same = Noise()
    same.add(np.ones(3), np.ones(3))
    assert (same.sqnr_db, same.finite) == (None, True)
    same.add(np.ones(3), np.array([1.0, np.inf, 1.0]))
    assert (same.sqnr_db, same.finite) == (None, False)


@pytest.mark.parametrize("form", ["tensorrt", "onnxruntime"])
def test_layers_come_in_order_with_their_own_and_the_whole_error(
    form, float_file, samples, a_recipe, tmp_path
):
    ranges = calibrated(float_file, samples, a_recipe())
    write_int8(float_file, tmp_path / "q.onnx", ranges, form=form)
    found = layer_errors(float_file, tmp_path / "q.onnx", samples.inputs)
    assert [error.layer.strip("/").split("/")[0] for error in found] == [
        "stem",
        "left",
        "right",
        "head",
    ]
    # The first layer has no error but its own.
    assert found[0].sqnr_db == pytest.approx(found[0].own_sqnr_db, abs=1e-3)
    assert all(error.sqnr_db > 15 and error.own_sqnr_db > 15 for error in found)
    assert found[-1].own_sqnr_db > found[-1].sqnr_db


def test_a_layer_in_float_has_no_error_of_its_own(float_file, samples, a_recipe, tmp_path):
    ranges = calibrated(float_file, samples, a_recipe())
    write_int8(float_file, tmp_path / "q.onnx", ranges, form="tensorrt", keep_float=["/stem/Conv"])
    stem, left, *_ = layer_errors(float_file, tmp_path / "q.onnx", samples.inputs)
    assert (stem.sqnr_db, stem.own_sqnr_db) == (None, None)
    assert left.own_sqnr_db is not None


def test_a_ruined_range_shows_at_its_layer(float_file, samples, a_recipe, tmp_path):
    ranges = calibrated(float_file, samples, a_recipe())
    reader = next(name for name in ranges.tensors if name.startswith("/Relu_1"))
    bad = {**ranges.tensors, reader: (0.0, 0.01)}
    ruined = ranges.model_copy(update={"tensors": bad})
    write_int8(float_file, tmp_path / "q.onnx", ruined, form="tensorrt")
    found = layer_errors(float_file, tmp_path / "q.onnx", samples.inputs)
    assert worst_first(found)[0].layer == "/right/Conv"
    assert first_diverging(found, 10.0).layer == "/right/Conv"


def test_the_first_is_the_first_in_order_or_not_finite():
    def error(layer, db, finite=True):
        return LayerError(layer=layer, operator="Conv", sqnr_db=db, own_sqnr_db=db, finite=finite)

    errors = [error("a", 30.0), error("b", None), error("c", 5.0), error("d", 1.0)]
    assert first_diverging(errors, 10.0).layer == "c"
    assert first_diverging(errors, 0.5) is None
    assert first_diverging([error("x", None, finite=False), *errors], 10.0).layer == "x"
    assert [e.layer for e in worst_first(errors)] == ["d", "c", "a", "b"]
