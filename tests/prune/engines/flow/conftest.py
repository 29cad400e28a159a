"""A small member of each torchvision family that needs labels, with weights that matter."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import ConvNeXt, MaxVit, ShuffleNetV2, VisionTransformer
from torchvision.models import swin_transformer as swin
from torchvision.models.convnext import CNBlockConfig

from edgespiral.models.saved import trace


def _swin(**options) -> nn.Module:
    # Windows of 5 on 16 x 16 and 8 x 8: padding, shifts, and an odd number of windows.
    return swin.SwinTransformer([4, 4], 8, [2, 2], [2, 4], [5, 5], num_classes=5, **options)


FAMILIES = {
    "convnext": lambda: ConvNeXt(
        [CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=5
    ),
    "maxvit": lambda: MaxVit(
        input_size=(64, 64), stem_channels=8, partition_size=2, block_channels=[8, 16],
        block_layers=[1, 1], head_dim=4, stochastic_depth_prob=0.1, num_classes=5,
    ),
    "shufflenet": lambda: ShuffleNetV2([2, 3, 1], [8, 16, 24, 32, 40], num_classes=5),
    "swin": _swin,
    "swin_v2": lambda: _swin(
        block=swin.SwinTransformerBlockV2, downsample_layer=swin.PatchMergingV2
    ),
    "vit": lambda: VisionTransformer(64, 16, 2, 4, 32, 64, num_classes=5),
}  # fmt: skip


def lively(name: str) -> torch.fx.GraphModule:
    """The family's member, none of whose weights are so small that a wrong cut would not show."""
    torch.manual_seed(0)
    model = FAMILIES[name]().eval()
    for tensor in model.parameters():
        if tensor.dim() < 2 or tensor.detach().abs().max() < 1e-3:
            nn.init.normal_(tensor, 0.5, 0.3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return trace(model)


@pytest.fixture(params=sorted(FAMILIES))
def family(request) -> torch.fx.GraphModule:
    return lively(request.param)


@pytest.fixture
def named():
    return lively


@pytest.fixture
def example() -> torch.Tensor:
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
