from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.models.work import flops_of


@pytest.mark.parametrize(
    ("layer", "shape", "flops"),
    [
        (nn.Linear(3, 5), (4, 7, 3), 2 * 4 * 7 * 3 * 5),
        (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 6, 5), 2 * 2 * 6 * 5 * 8 * 3 * 9),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), (1, 8, 6, 5), 2 * 6 * 5 * 8 * 9),
        (nn.ConvTranspose2d(3, 8, 2, stride=2), (1, 3, 6, 5), 2 * 6 * 5 * 3 * 8 * 4),
        (nn.GRU(3, 5, batch_first=True), (2, 7, 3), 2 * 2 * 7 * 3 * 5 * (3 + 5)),
        (nn.ReLU(), (4, 3), 1),
    ],
)
def test_each_use_of_a_weight_is_two_operations(
    layer: nn.Module, shape: tuple[int, ...], flops: float
) -> None:
    assert flops_of(layer, torch.zeros(shape)) == flops


def test_a_model_is_left_in_its_mode_and_without_hooks() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.Dropout()).train()
    assert flops_of(model, torch.zeros(1, 3)) == flops_of(model, torch.zeros(1, 3)) == 30
    assert model.training
    assert not any(layer._forward_hooks for layer in model.modules())


def test_inputs_may_have_names() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 5)

        def forward(self, *, wide: torch.Tensor) -> torch.Tensor:
            return self.layer(wide)

    assert flops_of(Named(), {"wide": torch.zeros(2, 3)}) == 60
