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
