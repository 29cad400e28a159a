"""Files of several inputs and outputs, run as the models that they were made of."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch import nn

from edgespiral.core.errors import ExportError
from edgespiral.core.nested import leaves, rows, template
from edgespiral.export.file_model import INPUTS as MODEL_INPUTS
from edgespiral.export.file_model import OUTPUTS, read_arrays, write_arrays
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import check_parity, opened, predicting_file
from edgespiral.models.calling import call
from edgespiral.tasks.base import Task


class Heads(nn.Module):
    """Two inputs, one of which has a parameter's name, an input without use, nested outputs."""

    def __init__(self):
        super().__init__()
        self.near, self.far = nn.Linear(2, 3), nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.full((1,), 2.0))

    def forward(self, left, scale, unused):
        first = self.near(left)
        both = self.scale * first + self.far(scale)
        return {"left": first, "maps": [both, both.argmax(1)]}


INPUTS = {"left": torch.randn(3, 2), "scale": torch.randn(3, 4), "unused": torch.randn(3, 1)}


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    torch.manual_seed(0)
    model, path = Heads().eval(), tmp_path_factory.mktemp("heads") / "heads.onnx"
    export_onnx(model, path, example=rows(INPUTS, slice(1)))
    return model, path


@pytest.mark.parametrize("given", [INPUTS, tuple(INPUTS.values())], ids=["dict", "tuple"])
def test_outputs_come_back_in_the_model_s_own_form(heads, given):
    model, path = heads
    expected = call(model, given)
    with predicting_file(path) as predict:
        found = predict(given)
    assert template(found) == template(expected) == {"left": None, "maps": [None, None]}
    for one, other in zip(leaves(found).values(), leaves(expected).values(), strict=True):
        assert one.dtype == other.dtype
        assert torch.allclose(one, other, atol=1e-5)


def test_names_are_the_model_s_where_the_file_has_no_other_use_for_them(heads):
    graph = onnx.load(heads[1]).graph
    held = {tensor.name for tensor in graph.initializer}
    assert [v.name for v in graph.input if v.name not in held][:2] == ["left", "scale_"]
    assert [value.name for value in graph.output] == ["left_", "maps.0", "maps.1"]


def test_each_output_is_held_to_its_own_size(heads):
    model, path = heads
    samples = [rows(INPUTS, slice(at, at + 1)) for at in range(3)]
    assert check_parity(model, path, samples, task=Task()).samples == 3
    other = Heads().eval()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():  # far larger than the other output, whose error it would hide
        other.near.weight.mul_(1e-4)
        other.near.bias.mul_(1e-4)
    export_onnx(other, path.with_name("small.onnx"), example=samples[0])
    with torch.no_grad():
        other.near.bias.add_(1e-5)
    with pytest.raises(ExportError, match="output left: "):
        check_parity(other, path.with_name("small.onnx"), samples, task=Task())


class Picked(nn.Module):
    """As many numbers of a sample as are above zero."""

    def forward(self, inputs):
        return torch.masked_select(inputs, inputs > 0)[None]


def test_outputs_of_which_each_sample_has_another_size_are_told(tmp_path):
    path = tmp_path / "picked.onnx"
    export_onnx(Picked(), path, example=torch.ones(1, 4))
    with predicting_file(path) as predict:
        assert predict(torch.ones(3, 4)).tolist() == torch.ones(3, 4).tolist()
        with pytest.raises(ExportError, match="another size for each sample"):
            predict(torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, 1]]))


def test_a_file_made_elsewhere_gives_its_outputs_by_name(heads, tmp_path):
    model = onnx.load(heads[1])
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "plain.onnx")
    found = opened(tmp_path / "plain.onnx").run((INPUTS["left"][:1], INPUTS["scale"][:1]))
    assert list(found) == ["left_", "maps.0", "maps.1"]


@pytest.mark.parametrize("key", [MODEL_INPUTS, OUTPUTS])
@pytest.mark.parametrize(
    "damaged",
    [
        *("[", "3", "[" * 100_000, '{"form": null}', '{"form": null, "names": "x"}'),
        *('{"form": null, "names": ["x"]}', '{"form": [null], "names": ["left", "left_"]}'),
        '{"form": ' + "[" * 900 + "]" * 900 + ', "names": []}',
    ],
    ids=range(8),
)
def test_damaged_metadata_are_told(heads, tmp_path, key, damaged):
    model = onnx.load(heads[1])
    onnx.helper.set_model_props(model, {key: damaged})
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(ExportError, match="metadata"):
        opened(tmp_path / "damaged.onnx")


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_arrays_for_devices_are_written_and_read(tmp_path, names):
    arrays = {name: torch.randn(2, 3).numpy() for name in names}
    write_arrays(tmp_path / "arrays.npy", arrays)
    back = read_arrays(tmp_path / "arrays.npy", names)
    assert list(back) == names
    assert all((back[name] == arrays[name]).all() for name in names)
