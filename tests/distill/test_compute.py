import torch
from torch import nn

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
