"""Branches that a convolution has in training only (Ding et al. 2021, "RepVGG", section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

if TYPE_CHECKING:
    from torch import Tensor


class Parallel(nn.Module):
    """A 3x3 convolution and a 1x1 convolution beside it, whose norm begins with a factor of 0.

    So it begins as the convolution alone, and after training it is one convolution again.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        shape = {"stride": conv.stride, "groups": conv.groups, "bias": False}
        self.point = nn.Conv2d(conv.in_channels, conv.out_channels, 1, **shape)
        self.norm = nn.BatchNorm2d(conv.out_channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Both, added."""
        outputs: Tensor = self.conv(inputs) + self.norm(self.point(inputs))
        return outputs

    @torch.no_grad()
    def folded(self) -> nn.Conv2d:
        """The one convolution that computes the same in eval mode."""
        conv, norm = self.conv, self.norm
        weight, bias = fuse_conv_bn_weights(
            self.point.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight,
            norm.bias,
        )  # fmt: skip
        one = nn.Conv2d(
            conv.in_channels, conv.out_channels, 3, conv.stride, conv.padding, groups=conv.groups
        )
        one.weight.copy_(conv.weight + nn.functional.pad(weight, (1, 1, 1, 1)))
        assert one.bias is not None
        one.bias.copy_(bias if conv.bias is None else bias + conv.bias)
        return one


def with_branches(model: nn.Module) -> nn.Module:
    """`model`, each of whose padded 3x3 convolutions has a branch beside it."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Conv2d) and (layer.kernel_size, layer.padding) == ((3, 3), (1, 1)):
            model.set_submodule(name, Parallel(layer))
    return model


def without_branches(model: nn.Module) -> nn.Module:
    """`model` with each branch folded into its convolution."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, Parallel):
            model.set_submodule(name, layer.folded())
    return model
