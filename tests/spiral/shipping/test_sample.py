"""What a run keeps of one sample, and what comes back of it."""

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from edgespiral.core.errors import RunFolderError
from edgespiral.core.system.files import sha256_file
from edgespiral.spiral.shipping.sample import KEPT, FileSample, keep, kept, recorded
from edgespiral.tasks.classification import CLASSIFICATION


def negating(path):
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 8, 8])
        for name in ("input", "a/b c")
    ]
    graph = helper.make_graph(
        [helper.make_node("Neg", ["input"], ["a/b c"])], "net", values[:1], values[1:]
    )
    opsets = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def no_model():
    raise AssertionError("a model that runs as a whole is not loaded")


def test_a_sample_is_one_of_the_validation_split_with_what_the_file_gives(digits, tmp_path):
    path = negating(tmp_path / "model.onnx")
    (sample,) = recorded(path, digits, CLASSIFICATION, no_model)
    given = sample.inputs["input"]
    rows = [inputs for inputs, _ in digits.validation.epoch(batch_size=1)]
    assert any(np.array_equal(given, row.numpy()) for row in rows)
    assert np.array_equal(sample.outputs["a/b c"], -given)


def test_a_kept_sample_is_found_again_with_its_names(digits, tmp_path):
    path = negating(tmp_path / "model.onnx")
    own = recorded(path, digits, CLASSIFICATION, no_model)
    assert kept(path) is None
    keep(tmp_path, own)
    (again,) = kept(path)
    assert again.sha256 == own[0].sha256
    assert list(again.outputs) == ["a/b c"]
    assert np.array_equal(again.outputs["a/b c"], own[0].outputs["a/b c"])


def test_a_sample_of_another_file_is_refused(tmp_path):
    path = negating(tmp_path / "model.onnx")
    arrays = {"input": np.zeros((1, 1, 8, 8), np.float32)}
    keep(tmp_path, [FileSample("0" * 64, arrays, arrays)])
    assert sha256_file(path) != "0" * 64
    with pytest.raises(RunFolderError, match="of other files than the model's"):
        kept(path)
    (tmp_path / KEPT).write_bytes(b"no archive")
    with pytest.raises(RunFolderError, match="is damaged"):
        kept(path)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({}, {"a/b c": np.zeros((1, 1, 8, 8), np.float32)}),
        ({"input": np.zeros((1, 1, 8, 8), np.float32)}, {}),
        ({"input": np.zeros((1, 8), np.float32)}, {"a/b c": np.zeros((1, 1, 8, 8), np.float32)}),
        (
            {"input": np.zeros((1, 1, 8, 8), np.float32)},
            {"a/b c": np.zeros((1, 1, 8, 8), np.float16)},
        ),
    ],
    ids=["no input", "no output", "another shape", "another precision"],
)
def test_a_sample_that_the_file_does_not_take_or_give_is_refused(tmp_path, inputs, outputs):
    path = negating(tmp_path / "model.onnx")
    keep(tmp_path, [FileSample(sha256_file(path), inputs, outputs)])
    with pytest.raises(RunFolderError, match="is damaged"):
        kept(path)
