from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.prune.sparsity import check_thinnable, left_dense, masks_for, two_four_masks


class Mixed(nn.Module):
    """A layer of every kind that has weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 8)
        self.first = nn.Conv2d(3, 8, 3)
        self.second = nn.Conv2d(8, 12, 3)
        self.grouped = nn.Conv2d(16, 8, 3, groups=4)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.up = nn.ConvTranspose2d(8, 4, 2)
        self.norm = nn.BatchNorm2d(8)
        self.rnn = nn.LSTM(8, 8)
        self.head = nn.Linear(20, 5)
        self.odd = nn.Linear(6, 5)


@pytest.fixture
def mixed() -> Mixed:
    torch.manual_seed(0)
    return Mixed()


def test_two_of_every_four_input_channels_go_as_tensorrt_counts_them(mixed):
    mask = masks_for(mixed, "2:4")["second.weight"].numpy()
    weight = mixed.second.weight.detach().numpy()
    for k, r, s in np.ndindex(12, 3, 3):
        for first in (0, 4):
            kept = mask[k, first : first + 4, r, s]
            values = np.abs(weight[k, first : first + 4, r, s])
            assert kept.sum() == 2
            assert values[kept].min() > values[~kept].max()


def test_two_four_runs_along_the_inputs_of_a_linear_layer(mixed):
    masks = masks_for(mixed, "2:4")
    assert set(masks) == {"second.weight", "grouped.weight", "head.weight"}
    assert bool((masks["head.weight"].reshape(5, 5, 4).sum(2) == 2).all())
    assert bool((masks["grouped.weight"].sum(1) == 2).all())


def test_what_cannot_be_two_four_is_told_why(mixed):
    assert left_dense(mixed, "2:4") == {
        "first": "3 input channels, not a multiple of 4",
        "depthwise": "1 input channel a group, not a multiple of 4",
        "up": "TensorRT has no sparse kernels for ConvTranspose2d",
        "rnn": "TensorRT has no sparse kernels for LSTM",
        "odd": "6 input channels, not a multiple of 4",
    }
    assert left_dense(mixed, 0.5) == {}


@pytest.mark.parametrize("share", [0.25, 0.9])
def test_a_share_takes_the_smallest_weights_of_all_layers_together(mixed, share):
    masks = masks_for(mixed, share)
    layers = dict(mixed.named_modules())
    assert {name.split(".")[0] for name in masks} == set(layers) - {"", "embed", "norm"}
    assert {"rnn.weight_ih_l0", "rnn.weight_hh_l0"} < set(masks)
    weights = {name: mixed.get_parameter(name).detach().abs() for name in masks}
    kept = torch.cat([weights[name][mask] for name, mask in masks.items()])
    gone = torch.cat([weights[name][~mask] for name, mask in masks.items()])
    assert len(gone) == round(share * (len(gone) + len(kept)))
    assert gone.max() <= kept.min()


@pytest.mark.parametrize("sparsity", [0.5, "2:4"])
def test_equal_models_have_equal_masks(mixed, sparsity):
    with torch.no_grad():
        mixed.second.weight.fill_(0.1)
    first, second = masks_for(mixed, sparsity), masks_for(mixed, sparsity)
    assert all(torch.equal(mask, second[name]) for name, mask in first.items())


def test_nothing_is_masked_unless_asked(mixed):
    assert masks_for(mixed, "none") == {}


def test_a_model_without_a_layer_for_it_is_refused():
    odd = nn.Sequential(*(nn.Linear(width, 5) for width in (6, 5, 5, 5)))
    with pytest.raises(ModelError) as caught:
        check_thinnable(odd, "2:4")
    assert str(caught.value) == (
        "--sparsity: no layer can be 2:4 sparse: 0 (6 input channels, not a multiple of 4), "
        "1 (5 input channels, not a multiple of 4), 2 (5 input channels, not a multiple of 4) "
        "and 1 more; give a share of weights instead, such as 0.5"
    )
    assert two_four_masks(odd) == {}
    check_thinnable(odd, 0.5)
    with pytest.raises(ModelError, match="no layer has weights that could be zero"):
        masks_for(nn.ReLU(), 0.5)
