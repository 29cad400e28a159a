"""Made-up pictures with coloured rectangles, and a detector of one's own in its own file."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import TensorDataset

SIDE, STRIDE = 48, 8
COLOURS = torch.tensor([[1.5, -1.0, -1.0], [-1.0, 1.5, -1.0]])
MOST = 3


def rectangles(count: int = 320):
    """One to three rectangles of two colours on noise; the mapping that a factory returns."""
    generator = torch.Generator().manual_seed(0)
    images = 0.4 * torch.randn(count, 3, SIDE, SIDE, generator=generator)
    targets = torch.zeros(count, MOST, 5)
    targets[..., 0] = -1
    for image, rows in zip(images, targets, strict=True):
        for row in rows[: int(torch.randint(1, MOST + 1, (), generator=generator))]:
            label = int(torch.randint(2, (), generator=generator))
            width, height = torch.randint(8, 20, (2,), generator=generator).tolist()
            left = int(torch.randint(SIDE - width, (), generator=generator))
            top = int(torch.randint(SIDE - height, (), generator=generator))
            corners = torch.tensor([left, top, left + width, top + height])
            taken = rows[rows[:, 0] >= 0]
            apart = (
                (taken[:, 3] <= corners[0]) | (taken[:, 1] >= corners[2])
                | (taken[:, 4] <= corners[1]) | (taken[:, 2] >= corners[3])
            )  # fmt: skip
            if bool(apart.all()):
                image[:, top : top + height, left : left + width] += COLOURS[label][:, None, None]
                row[0], row[1:] = label, corners
    held = count // 5
    ends = {"train": (2 * held, None), "validation": (0, held), "test": (held, 2 * held)}
    parts = {
        name: TensorDataset(images[first:last], targets[first:last])
        for name, (first, last) in ends.items()
    }
    return parts | {"classes": ["red", "green"]}


class Own(nn.Module):
    """Class logits and boxes for one square anchor at each place of a map of 6 x 6."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3, 16, 2), (16, 32, 2), (32, 48, 2), (48, 48, 1)):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]  # fmt: skip
        self.body = nn.Sequential(*layers)
        self.classes = nn.Conv2d(48, columns, 1)
        self.boxes = nn.Conv2d(48, 4, 1)
        centres = torch.arange(STRIDE / 2, SIDE, STRIDE)
        down, across = torch.meshgrid(centres, centres, indexing="ij")
        middle = torch.stack([across, down], -1).reshape(-1, 2)
        self.register_buffer("anchors", torch.cat([middle - 8, middle + 8], 1))

    def forward(self, images):
        features = self.body(images)
        logits = self.classes(features).flatten(2).transpose(1, 2)
        return logits, self.boxes(features).flatten(2).transpose(1, 2)


def detector():
    """A network for `rectangles`, with the background in column 0."""
    torch.manual_seed(0)
    return Own(columns=3)


def blind():
    """One that does not say where its anchors are."""
    network = detector()
    del network.anchors
    return network
