import pytest
import torch
from torch import nn

from edgespiral.core.errors import UsageError
from edgespiral.distill import compute

CPU = torch.device("cpu")


def test_asked_precision_is_taken():
    assert compute.resolved_precision("fp32", CPU) == "fp32"
    assert compute.resolved_precision("bf16", CPU) == "bf16"
    assert compute.resolved_precision("auto", CPU) in {"fp32", "bf16"}


def test_autocast_computes_in_the_precision():
    layer = nn.Linear(4, 4)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with compute.autocast(precision, CPU):
            assert layer(torch.zeros(1, 4)).dtype == dtype


def test_models_are_put_back_as_they_were():
    layer = nn.Conv2d(4, 4, 3)
    before = layer.weight.clone()
    with compute.placed([layer], compute.best_device()):
        assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    assert layer.weight.is_contiguous()
    assert torch.equal(layer.weight, before)


def test_batches_of_images_are_in_channels_last_order_and_others_as_they_are():
    images, _ = compute.to_device(torch.zeros(2, 3, 4, 4), torch.zeros(2), CPU)
    assert images.is_contiguous(memory_format=torch.channels_last)
    for inputs in (torch.zeros(2, 7, 3), torch.zeros(2, 7, dtype=torch.int64)):
        assert torch.equal(compute.to_device(inputs, torch.zeros(2), CPU)[0], inputs)


class Viewing(nn.Module):
    """Views what a convolution gives as a row, and its bits as whole numbers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 1)

    def forward(self, inputs):
        found = self.conv(inputs)
        return found.view(len(inputs), -1), found.view(torch.int32)


def test_a_model_may_view_what_is_in_channels_last_order():
    net, images = Viewing(), torch.randn(2, 2, 4, 4)
    expected = net(images)
    with compute.placed([net], CPU):
        inputs, _ = compute.to_device(images, torch.zeros(2), CPU)
        rows, bits = net(inputs)
    assert torch.allclose(rows, expected[0], atol=1e-6)
    assert (bits.dtype, bits.shape) == (torch.int32, (2, 3, 4, 4))


def test_models_of_volumes_are_placed_too():
    net, volumes = nn.Conv3d(1, 2, 3), torch.zeros(2, 1, 4, 4, 4)
    with compute.placed([net], CPU):
        inputs, _ = compute.to_device(volumes, torch.zeros(2), CPU)
        assert net(inputs).shape == (2, 2, 2, 2, 2)


def test_a_device_is_chosen_for_a_while():
    before = compute.best_device()
    with compute.on_device("cpu"):
        assert compute.best_device() == CPU
    with compute.on_device("auto"):
        assert compute.best_device() == before
    assert compute.best_device() == before


@pytest.mark.parametrize("name", ["cuda:77", "tpu", "", "meta"])
def test_a_device_that_is_not_there_is_one_line(name):
    with (
        pytest.raises(UsageError, match=r"--device: no device .*one of: cpu") as caught,
        compute.on_device(name),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_old_gpus_train_in_fp16_and_are_scored_in_fp32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    gpu = torch.device("cuda")
    assert compute.training_precision("auto", gpu) == "fp16"
    assert compute.resolved_precision("auto", gpu) == "fp32"
    assert compute.training_precision("fp32", gpu) == "fp32"
