import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.core.errors import ExportError
from edgespiral.export.int8.calibration import prepare
from edgespiral.export.int8.fake_quant import add_rounding, folded, remove_rounding
from edgespiral.export.nearness import ParityLimits
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import check_parity
from edgespiral.models.saved import trace
from edgespiral.tasks.classification import CLASSIFICATION

CLOSE = ParityLimits(least_sqnr_db=25.0, least_agreement=0.95)
FORMS = ("onnxruntime", "tensorrt")


@pytest.fixture
def inputs(digits):
    return [batch for batch, _ in digits.validation.epoch(batch_size=1)][:40]


@pytest.fixture
def rounded(trained, float_file, digits, a_recipe, tmp_path):
    """Makes a traced model with the rounding of its int8 file, which lies at `path`."""

    def make(form):
        made = prepare(float_file, digits, a_recipe(), form=form, task=CLASSIFICATION)
        path = tmp_path / "q.onnx"
        made.write(path)
        model = folded(trace(trained))
        add_rounding(model, made, path)
        return model, path

    return make


@pytest.mark.parametrize("form", FORMS)
def test_it_computes_what_the_int8_file_does(form, rounded, inputs):
    model, path = rounded(form)
    found = check_parity(model, path, inputs, limits=CLOSE, task=CLASSIFICATION)
    assert found.agreement >= 0.95


@pytest.mark.parametrize("form", FORMS)
def test_rounding_goes_as_it_came(form, rounded, trained, inputs):
    model, _ = rounded(form)
    remove_rounding(model)
    assert model.state_dict().keys() == trained.state_dict().keys()
    for name, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    torch.testing.assert_close(model(inputs[0]), trained(inputs[0]))


def test_gradients_pass_straight_through(rounded, digits):
    model, _ = rounded("onnxruntime")
    images, labels = next(iter(digits.train.epoch(batch_size=64)))
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(g is not None and g.abs().sum() > 0 for g in gradients.values()), gradients.keys()


def test_a_training_step_leaves_the_given_model_alone(rounded, trained, digits):
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    model, _ = rounded("onnxruntime")
    images, labels = next(iter(digits.train.epoch(batch_size=64)))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    F.cross_entropy(model(images), labels).backward()
    optimiser.step()
    assert all(torch.equal(trained.state_dict()[name], value) for name, value in before.items())
    remove_rounding(model)
    assert not torch.equal(model.state_dict()["stem.weight"], before["stem.weight"])


def test_batch_norms_are_folded_into_the_layers_before_them():
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(4 * 36, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.BatchNorm1d(8)),
    )
    images = torch.randn(16, 1, 8, 8)
    model.train()(images)
    model.eval()
    found = folded(trace(model))
    kinds = [type(module) for module in found.modules()]
    assert nn.BatchNorm2d not in kinds
    # The last one follows an activation: it stays.
    assert kinds.count(nn.BatchNorm1d) == 1
    torch.testing.assert_close(found(images), model(images))
    assert isinstance(model[1], nn.BatchNorm2d)


def test_layers_that_work_in_place_are_found(digits, a_recipe, inputs, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(inplace=True)),
        *(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(128, 10)),
    ).eval()
    model, source = folded(trace(model)), tmp_path / "model.onnx"
    export_onnx(model, source, input_shape=digits.input_shape)
    made = prepare(
        source, digits, a_recipe(), form="onnxruntime", known_data=True, task=CLASSIFICATION
    )
    made.write(tmp_path / "q.onnx")
    add_rounding(model, made, tmp_path / "q.onnx")
    check_parity(model, tmp_path / "q.onnx", inputs, limits=CLOSE, task=CLASSIFICATION)
    model.train()(next(iter(digits.train.epoch(batch_size=8)))[0]).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_another_model_than_the_files_is_refused(rounded, trained, float_file, digits, a_recipe):
    _, path = rounded("onnxruntime")
    made = prepare(float_file, digits, a_recipe(), form="onnxruntime", task=CLASSIFICATION)
    other = folded(trace(trained))
    with torch.no_grad():
        other.stem.weight.mul_(3.0)
    with pytest.raises(ExportError, match="nothing in the PyTorch model computes /"):
        add_rounding(other, made, path)
