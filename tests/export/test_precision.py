import onnx
import pytest
import torch

from edgespiral.core.errors import DataError, ExportError, UsageError
from edgespiral.core.records.exported import Quantisation
from edgespiral.export.precision import (
    ExportRequest,
    export_as,
    float_twin,
    leaving_none,
    require_record_place,
)
from edgespiral.tasks.classification import CLASSIFICATION, Classification


def test_fp32_is_one_file(trained, digits, tmp_path):
    done = export_as(
        trained, tmp_path / "new" / "m.onnx", digits, ExportRequest(samples=5, task=CLASSIFICATION)
    )
    assert (done.parity.samples, done.quantisation) == (5, None)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["m.onnx"]


@pytest.mark.parametrize(
    ("name", "written"), [("depth", "depth"), ("input", "input_"), ("stem.weight", "stem.weight_")]
)
def test_the_task_names_the_output(trained, digits, tmp_path, name, written):
    class Named(Classification):
        output_name = name

    export_as(trained, tmp_path / "m.onnx", digits, ExportRequest(samples=5, task=Named()))
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert [value.name for value in graph.output] == [written]


def test_classification_has_logits(trained, digits, tmp_path):
    asked = ExportRequest("fp16", samples=5, task=CLASSIFICATION)
    export_as(trained, tmp_path / "m.onnx", digits, asked)
    assert [value.name for value in onnx.load(tmp_path / "m.onnx").graph.output] == ["logits"]


def test_int8_has_a_record_with_its_parity(trained, digits, a_recipe, tmp_path):
    path = tmp_path / "m.onnx"
    done = export_as(
        trained,
        path,
        digits,
        ExportRequest("int8", recipe=a_recipe(), samples=20, task=CLASSIFICATION),
    )
    record = Quantisation.model_validate_json((tmp_path / "m.json").read_text())
    assert record == done.quantisation
    assert record.parity == done.parity
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(path).graph.node}
    assert "QuantizeLinear" not in {n.op_type for n in onnx.load(float_twin(path)).graph.node}


def test_fp16_is_checked_too(trained, digits, tmp_path):
    done = export_as(
        trained, tmp_path / "m.onnx", digits, ExportRequest("fp16", samples=5, task=CLASSIFICATION)
    )
    assert done.parity.sqnr_db > 40
    assert float_twin(tmp_path / "m.onnx").is_file()


def test_nothing_is_left_of_what_cannot_be_made(trained, digits, a_recipe, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"older")
    asked = ExportRequest("int8", recipe=a_recipe(samples=10_000), task=CLASSIFICATION)
    with pytest.raises(DataError, match="10000 samples"):
        export_as(trained, path, digits, asked)
    assert not path.exists()


def test_nothing_is_left_of_what_differs(digits, tmp_path):
    class ByValue(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(64, 10)

        def forward(self, inputs):
            return self.head(inputs.flatten(1)) + float(inputs.sum())

    with pytest.raises(ExportError, match="differs from PyTorch"):
        export_as(ByValue(), tmp_path / "m.onnx", digits, ExportRequest(task=CLASSIFICATION))
    assert not (tmp_path / "m.onnx").exists()


def test_what_lies_in_the_record_s_place_is_not_touched(trained, digits, a_recipe, tmp_path):
    path, own = tmp_path / "m.onnx", tmp_path / "m.json"
    own.write_text('{"labels": ["cat", "dog"]}')
    with pytest.raises(UsageError, match=r"m\.json: the record of m\.onnx would be written there"):
        export_as(
            trained, path, digits, ExportRequest("int8", recipe=a_recipe(), task=CLASSIFICATION)
        )
    path.write_bytes(b"half done")
    with pytest.raises(RuntimeError), leaving_none(path):
        raise RuntimeError
    assert not path.exists()
    assert own.read_text() == '{"labels": ["cat", "dog"]}'
    path.symlink_to(own)
    with pytest.raises(RuntimeError), leaving_none(path):
        raise RuntimeError
    assert path.is_symlink()
    with pytest.raises(UsageError, match="something else has this name"):
        require_record_place(tmp_path / "other.json")
