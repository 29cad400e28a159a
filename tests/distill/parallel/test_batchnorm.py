"""Over one process, what a batch norm does over all is what PyTorch's does; two: test_jobs.py."""

import copy

import pytest
import torch
from torch import distributed, nn

from edgespiral.distill.parallel.batchnorm import GlobalBatchNorm, synchronised
from edgespiral.distill.parallel.world import ALONE, World

CPU, TWO = torch.device("cpu"), World(0, 2)


@pytest.fixture(scope="module")
def _group():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("_group")
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm2d(3), (8, 3, 5, 4)),
        (nn.BatchNorm1d(3, momentum=None), (8, 3)),
        (nn.BatchNorm1d(3, affine=False), (8, 3, 7)),
        (nn.BatchNorm3d(3, track_running_stats=False), (2, 3, 2, 2, 2)),
    ],
)
def test_it_computes_what_pytorch_s_does(layer, shape):
    torch.manual_seed(0)
    other = copy.deepcopy(layer)
    seen = []
    with synchronised(layer, TWO, CPU):
        assert type(layer) is GlobalBatchNorm
        for norm in (layer, other):
            torch.manual_seed(1)
            for _ in range(3):
                inputs = (5 + 2 * torch.randn(shape)).requires_grad_()
                outputs = norm.train()(inputs)
                outputs.square().mul(torch.arange(outputs.numel()).view(shape)).mean().backward()
            seen.append([outputs.detach(), inputs.grad, *(p.grad for p in norm.parameters())])
    for one, two in zip(*seen, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.state_dict(), other.state_dict())
    assert type(layer) is type(other)
    assert vars(layer).keys() == vars(other).keys()
    inputs = torch.randn(shape)
    torch.testing.assert_close(layer.eval()(inputs), other.eval()(inputs))


@pytest.mark.usefixtures("_group")
def test_half_precision_stays_so_and_a_frozen_norm_keeps_its_statistics():
    layer = nn.BatchNorm2d(3)
    with synchronised(layer, TWO, CPU):
        assert layer(torch.randn(4, 3, 2, 2).bfloat16()).dtype == torch.bfloat16
        before = layer.eval().running_mean.clone()
        layer(torch.randn(4, 3, 2, 2))
    assert torch.equal(layer.running_mean, before)


def test_alone_and_of_other_norms_nothing_changes():
    layer = nn.Sequential(nn.BatchNorm2d(3), nn.InstanceNorm2d(3))
    with synchronised(layer, ALONE, CPU):
        assert type(layer[0]) is nn.BatchNorm2d
    with synchronised(layer, TWO, CPU):
        assert type(layer[1]) is nn.InstanceNorm2d
