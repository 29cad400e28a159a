from __future__ import annotations

import torch
from torch import nn

from edgespiral.distill.compute import Boxed, TakesBoxed
from edgespiral.models.calling import call, input_names, positional
from edgespiral.models.saved import trace


class Weighted(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Linear(4, 3)

    def forward(self, near, far, *, share=0.5):
        return [self.first(near) + share * self.second(far)]


NEAR, FAR = torch.ones(5, 2), torch.ones(5, 4)


def test_a_tuple_is_given_in_order_and_a_dict_by_name():
    model = Weighted()
    (in_order,) = call(model, (NEAR, FAR))
    (by_name,) = call(model, {"far": FAR, "near": NEAR})
    assert torch.equal(in_order, by_name)
    (boxed,) = TakesBoxed(model)(Boxed((NEAR, FAR)))
    assert torch.equal(boxed, in_order)
    assert call(nn.Linear(2, 3), NEAR).shape == (5, 3)


def test_inputs_are_called_as_forward_calls_them():
    assert input_names(Weighted(), (NEAR, FAR)) == ["near", "far"]
    assert input_names(Weighted(), {"far": FAR, "near": NEAR}) == ["far", "near"]
    assert input_names(nn.Linear(2, 3), NEAR) == ["inputs"]


def test_an_interpreter_gets_inputs_in_the_order_of_the_trace():
    graph = trace(Weighted(), {"near": NEAR, "far": FAR}).graph
    assert positional(graph, {"far": FAR, "near": NEAR}) == (NEAR, FAR)
    assert positional(graph, (NEAR, FAR)) == (NEAR, FAR)
