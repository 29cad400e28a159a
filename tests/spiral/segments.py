"""Made-up images to segment: what a path/to/file.py:factory returns, and a task of one's own."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from edgespiral import Metric, Task

SIDE = 32
IGNORED = 255


def shapes(count: int = 480):
    """Squares and discs of two classes on noise; the outermost pixels count for nothing."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.int64)
    for shape in (1, 2):
        centre = torch.randint(6, SIDE - 6, (count, 2, 1, 1), generator=generator)
        across, down = (columns - centre[:, :1]).squeeze(1), (rows - centre[:, 1:]).squeeze(1)
        square = (across.abs() < 5) & (down.abs() < 5)
        inside = square if shape == 1 else across**2 + down**2 < 30
        masks[inside] = shape
    levels = torch.tensor([[0.0, 0.0], [1.5, -0.5], [-0.5, 1.5]])[masks].movedim(-1, 1)
    noise = 0.5 * torch.randn(count, 2, SIDE, SIDE, generator=generator)
    masks[:, 0] = masks[:, -1] = IGNORED
    return _parts(levels + noise, masks) | {"classes": ["ground", "square", "disc"]}


def depths():
    """The same images, with the share of each pixel's surroundings that a shape covers."""
    images = shapes()
    found = {}
    for name, part in images.items():
        if isinstance(part, TensorDataset):
            pixels, masks = part.tensors
            covered = ((masks == 1) | (masks == 2)).float()[:, None]
            found[name] = TensorDataset(pixels, F.avg_pool2d(covered, 5, stride=1, padding=2))
    return found | {"target_shape": None}


class Depth(Task):
    """A number a pixel, scored by how far off it is."""

    metric = Metric(name="RMSE", unit="", higher_is_better=False)

    def sample_losses(self, outputs, targets):
        return F.mse_loss(outputs, targets, reduction="none").flatten(1).mean(1)

    divergence = sample_losses

    def score_of(self, pairs):
        losses = [self.sample_losses(outputs.cpu(), targets.cpu()) for outputs, targets in pairs]
        return float(torch.cat(losses).mean().sqrt())


def regressor():
    """A net for `depths`."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 1, 1),
    )  # fmt: skip


def _parts(inputs, targets):
    held = len(targets) // 5
    ends = {"train": (2 * held, None), "validation": (0, held), "test": (held, 2 * held)}
    return {
        name: TensorDataset(inputs[first:last], targets[first:last])
        for name, (first, last) in ends.items()
    }
