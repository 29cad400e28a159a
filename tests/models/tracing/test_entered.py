from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint

import edgespiral
from edgespiral.core.errors import ModelError
from edgespiral.models.saved import trace

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class Swish(Function):
    """Saves memory, and has the gradient that its operations have."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        gate = x.sigmoid()
        return gradient * gate * (1 + x * (1 - gate))


class Scaled(Function):
    """Has its context set up apart."""

    @staticmethod
    def forward(x, scale):
        return x * scale

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.scale = inputs[1]

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.scale, None


class Rounded(Function):
    """Lets gradients through a rounding."""

    @staticmethod
    def forward(_ctx, x):
        return x.round()

    @staticmethod
    def backward(_ctx, gradient):
        return gradient


class Reversed(Function):
    """Turns gradients round (Ganin et al. 2016, "DANN")."""

    @staticmethod
    def forward(_ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(_ctx, gradient):
        return -gradient


@torch.jit.script
def scripted(x):
    return x * x.sigmoid()


recorded = torch.jit.trace(lambda x: x.relu() * 2, torch.ones(2))


class Between(nn.Module):
    """Calls something between two layers."""

    def __init__(self, call):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 3)
        self.call = call

    def forward(self, x):
        return self.last(self.call(self.first(x)))


CALLS = {
    "the same gradient": Swish.apply,
    "the same, looked up while it is traced": lambda x: Swish.apply(x) + 1,
    "a context apart": lambda x: Scaled.apply(x, 2.5),
    "a checkpoint": lambda x: checkpoint(torch.relu, x, use_reentrant=False),
    "a checkpoint of old": lambda x: checkpoint(torch.relu, x, use_reentrant=True),
    "TorchScript": scripted,
    "recorded TorchScript": recorded,
    "TorchScript of the module's file": lambda x: scripted(x) + 1,
    "gradients asked for": lambda x: x.requires_grad_().relu() if x.dim() else x,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_is_called_is_followed(call):
    torch.manual_seed(0)
    model = Between(call).eval()
    inputs = torch.randn(2, 3, 8, 8)
    small = edgespiral.cut(model, inputs, fraction=0.5)
    assert small.meta["cut"].after == {"first": 4}
    torch.testing.assert_close(trace(model, inputs)(inputs), model(inputs))


@pytest.mark.parametrize("function", [Rounded, Reversed])
def test_another_gradient_is_told(function):
    model = Between(function.apply)
    with pytest.raises(ModelError, match=rf"test_entered.py:\d+.*calls {function.__name__}, ") as e:
        trace(model.eval(), torch.randn(2, 3, 8, 8))
    assert "detach()" in str(e.value)


def test_all_is_as_it_was_afterwards():
    trace(Between(CALLS["TorchScript"]).eval(), torch.randn(2, 3, 8, 8))
    x = torch.randn(3, requires_grad=True)
    (
        Rounded.apply(x) + checkpoint(torch.relu, x, use_reentrant=False) + scripted(x)
    ).sum().backward()
    gate = x.detach().sigmoid()
    expected = 1 + (x.detach() > 0).float() + gate * (1 + x.detach() * (1 - gate))
    torch.testing.assert_close(x.grad, expected)
