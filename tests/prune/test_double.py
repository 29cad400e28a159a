import pytest
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.models.saved import trace
from edgespiral.prune.double import DOUBLE, SINGLE, arithmetic_for, in_double
from edgespiral.prune.engines.base import Removal, check_cut
from edgespiral.prune.engines.depgraph import DepGraphCutter
from edgespiral.prune.groups import find_groups

INPUTS = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))


class Casting(nn.Module):
    def __init__(self, cast) -> None:
        super().__init__()
        self.cast = cast
        self.conv, self.mix, self.head = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.mix(self.cast(self.conv(x.float()))).mean((2, 3)).float())


CASTS = {
    "float": lambda x: x.half().float(),
    "to": lambda x: x.to(torch.float32),
    "to, named": lambda x: x.to(dtype=torch.float32),
    "type": lambda x: x.type(torch.float32),
    "type, as text": lambda x: x.type("torch.FloatTensor"),
    "type_as": lambda x: (x * 2).type_as(x),
    "softmax": lambda x: x.softmax(3, dtype=torch.float32).to(x.dtype),
    "factory": lambda x: x + torch.zeros(x.shape[1], 1, 1) + x.new_ones(1),
    "factory of a type": lambda x: torch.matmul(x, torch.ones(x.shape[3], 6, dtype=torch.float32)),
}


@pytest.mark.parametrize("cast", CASTS)
def test_named_casts_are_widened_and_cuts_are_checked_in_double(cast):
    torch.manual_seed(0)
    model = trace(Casting(CASTS[cast]), INPUTS)
    assert arithmetic_for(model, INPUTS) is DOUBLE
    groups = find_groups(model, INPUTS[:1])
    kept = {group.name: range(group.channels // 2) for group in groups}
    cut = DepGraphCutter().cut(model, INPUTS[:1], groups, kept)
    assert check_cut(model, cut, INPUTS, Removal(groups, kept)) < 1e-12


def bits(x):
    return x * (x.view(torch.int32) >= 0)


def test_a_model_that_looks_at_bits_is_checked_in_its_own_precision():
    torch.manual_seed(0)
    model = trace(Casting(bits), INPUTS)
    assert arithmetic_for(model, INPUTS) is SINGLE
    groups = find_groups(model, INPUTS[:1])
    kept = {group.name: range(group.channels // 2) for group in groups}
    cut = DepGraphCutter().cut(model, INPUTS[:1], groups, kept)
    assert check_cut(model, cut, INPUTS, Removal(groups, kept)) < SINGLE.tolerance
    with torch.no_grad():
        cut.get_submodule("head").bias += 0.01
    with pytest.raises(ModelError, match="the cut and the masked model differ"):
        check_cut(model, cut, INPUTS, Removal(groups, kept))


def test_the_model_itself_stays_single():
    model = trace(Casting(CASTS["to"]), INPUTS)
    assert in_double(model)(INPUTS.double()).dtype == torch.float64
    assert model(INPUTS).dtype == torch.float32
    assert torch.get_default_dtype() == torch.float32


def test_several_tensors_are_compared_and_what_is_no_tensor_is_refused():
    class Two(nn.Module):
        def __init__(self, other):
            super().__init__()
            self.other = other

        def forward(self, x):
            return x, self.other(x)

    tensors = torch.fx.symbolic_trace(Two(torch.relu))
    assert arithmetic_for(tensors, INPUTS).double
    with pytest.raises(ModelError, match="returns a int, not tensors"):
        arithmetic_for(torch.fx.symbolic_trace(Two(lambda x: x.dim())), INPUTS)
