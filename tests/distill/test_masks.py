import pytest
import torch
from torch import nn

from edgespiral.distill.masks import HeldZeros, apply_masks


def test_masked_weights_are_a_plain_zero_and_others_stay():
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[-1.0, 2.0], [3.0, -4.0]])
    apply_masks(layer, {"weight": torch.tensor([[False, True], [True, False]])})
    assert layer.weight.tolist() == [[0.0, 2.0], [3.0, 0.0]]
    assert not bool(layer.weight.signbit().any())


def test_zeros_are_put_back_wherever_the_model_has_moved():
    conv = nn.Conv2d(2, 2, 3)
    held = HeldZeros(conv, {"weight": torch.rand(conv.weight.shape) > 0.5})
    conv.to(memory_format=torch.channels_last)
    conv.weight.data.fill_(1.0)
    held.put_back()
    assert 0 < int((conv.weight == 0).sum()) < conv.weight.numel()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_zeros_are_put_back_on_another_device():
    layer = nn.Linear(2, 2)
    held = HeldZeros(layer, {"weight": torch.tensor([[True, False], [True, True]])})
    layer.to("cuda").weight.data.fill_(1.0)
    held.put_back()
    assert layer.weight.tolist() == [[1.0, 0.0], [1.0, 1.0]]


def test_tied_weights_are_found_under_either_name():
    model = nn.ModuleDict({"embed": nn.Embedding(3, 4), "head": nn.Linear(4, 3, bias=False)})
    model["head"].weight = model["embed"].weight
    apply_masks(model, {"head.weight": torch.zeros(3, 4, dtype=torch.bool)})
    assert not bool(model["embed"].weight.any())


def test_the_digest_tells_masks_apart():
    layer = nn.Linear(2, 2)
    masks = [torch.tensor([[True, False], [False, flag]]) for flag in (True, False)]
    digests = [HeldZeros(layer, {"weight": mask}).digest for mask in masks]
    assert digests[0] != digests[1]
    assert HeldZeros(layer, {}).digest is None
