from __future__ import annotations

import onnxruntime
import pytest
import torch
from torch import nn

from edgespiral.core.errors import NothingToCutError
from edgespiral.models.saved import load_model, save_model, trace
from edgespiral.prune.engines.flow.channel_sums import statistics_let_go
from edgespiral.prune.prunable import PrunableModel, cut_to


class Responses(nn.Module):
    """Global response norm (Woo et al. 2023, "ConvNeXt V2")."""

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(1, channels, 1, 1))

    def forward(self, x):
        size = x.norm(p=2, dim=(2, 3), keepdim=True)
        return x + self.scale * (x * (size / (size.mean(dim=1, keepdim=True) + 1e-6)))


class SpeltOut(nn.Module):
    """A layer norm of pictures, written by hand."""

    def forward(self, x):
        mean = x.mean(1, keepdim=True)
        return (x - mean) / ((x - mean).pow(2).mean(1, keepdim=True) + 1e-6).sqrt()


class Lengths(nn.Module):
    """Divides by the length of each position's channels, which it sums in two ways."""

    def forward(self, x):
        return x / x.norm(dim=1, keepdim=True) + x * x.sum((1, 2, 3))[:, None, None, None]


# The reciprocal of 10 is no number of single precision.
@pytest.mark.parametrize("channels", [8, 10])
@pytest.mark.parametrize("kind", [Responses, SpeltOut, Lengths])
def test_what_sums_over_channels_lets_them_go(kind, channels):
    torch.manual_seed(0)
    normalise = kind(channels) if kind is Responses else kind()
    model = nn.Sequential(nn.Conv2d(3, channels, 1), normalise, nn.Conv2d(channels, 3, 1)).eval()
    source = PrunableModel.of(trace(model, torch.randn(2, 3, 5, 5)), (3, 5, 5))
    assert [(group.name, group.channels) for group in source.groups] == [("0", channels)]
    inputs = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(source.model(inputs), model(inputs))
    cut = cut_to(source, {"0": 4}, {"0": torch.rand(channels)}, "auto")
    assert cut.difference < 1e-9
    sums = [n for n, _ in cut.model.named_parameters() if n.endswith("_over_channels.weight")]
    assert sums
    assert not any(cut.model.get_parameter(name).requires_grad for name in sums)
    assert all(p.requires_grad for n, p in cut.model.named_parameters() if n not in sums)


class Told(nn.Module):
    """What a function tells of all channels, put back on each."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return x * torch.tanh(self.function(x))


COMPARED = {
    "amax": lambda x: x.amax(1, keepdim=True),
    "amin of pixels too": lambda x: torch.amin(x, dim=(1, 2, 3))[:, None, None, None],
    "max": lambda x: torch.max(x, dim=1, keepdim=True)[0],
    "min, by name": lambda x: x.min(1).values.unsqueeze(1),
    "softmax": lambda x: torch.softmax(x, 1),
    "softmax layer": nn.Softmax(dim=1),
    "softmin": lambda x: nn.functional.softmin(x, dim=-3),
    "logsumexp": lambda x: x.logsumexp(1, keepdim=True),
    "product": lambda x: torch.prod(x, 1, keepdim=True),
    "two of one": lambda x: x.relu().max(1, keepdim=True)[0] + x.mean(1, keepdim=True),
    "rows": lambda x: x.permute(0, 2, 3, 1).max(-1)[0][:, None],
}
SUMMED = {
    "std": lambda x: x.std(1, keepdim=True),
    "var": lambda x: torch.var(x, dim=1, unbiased=False, keepdim=True),
    "var of pixels too": lambda x: x.var((1, 2, 3), correction=0)[:, None, None, None],
    "mean and var": lambda x: torch.add(*torch.var_mean(x, 1, keepdim=True)),
    "mean and std": lambda x: torch.std_mean(x, dim=1, unbiased=False)[0].unsqueeze(1),
    "unit length": lambda x: nn.functional.normalize(x, dim=1),
    "unit sum": lambda x: nn.functional.normalize(x, p=1.0, dim=1),
    "sum of sizes": lambda x: x.norm(p=1, dim=1, keepdim=True),
}


@pytest.mark.parametrize("function", [*COMPARED.values(), *SUMMED.values()],
                         ids=[*COMPARED, *SUMMED])  # fmt: skip
def test_what_tells_of_all_channels_lets_them_go(function):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), Told(function), nn.Conv2d(8, 3, 1)).eval()
    source = PrunableModel.of(trace(model, torch.randn(2, 3, 5, 5)), (3, 5, 5))
    assert [(group.name, group.channels) for group in source.groups] == [("0", 8)]
    inputs = torch.randn(3, 3, 5, 5)
    torch.testing.assert_close(source.model(inputs), model(inputs))
    cut = cut_to(source, {"0": 3}, {"0": torch.rand(8)}, "auto")
    assert cut.difference < 1e-9
    assert cut.model.get_submodule("0").out_channels == 3


@pytest.mark.parametrize("name", ["max", "softmax", "std"])
def test_a_cut_model_that_was_saved_is_cut_again(name, tmp_path):
    torch.manual_seed(0)
    function = (COMPARED | SUMMED)[name]
    model = nn.Sequential(nn.Conv2d(3, 8, 1), Told(function), nn.Conv2d(8, 3, 1)).eval()
    source = PrunableModel.of(trace(model, torch.randn(2, 3, 5, 5)), (3, 5, 5))
    cut = cut_to(source, {"0": 6}, {"0": torch.rand(8)}, "auto")
    save_model(cut.model, tmp_path, example=torch.randn(2, 3, 5, 5))
    again = PrunableModel.of(trace(load_model(tmp_path)), (3, 5, 5))
    identities = [m for m in again.model.modules() if isinstance(m, nn.Identity)]
    assert len(identities) == (name != "std")
    assert cut_to(again, {"0": 2}, {"0": torch.rand(6)}, "auto").difference < 1e-9


class OnLast(nn.Module):
    """Channels that lie on the last of two or of three dimensions."""

    def __init__(self, function):
        super().__init__()
        self.enter, self.leave, self.function = nn.Linear(6, 8), nn.Linear(8, 3), function

    def forward(self, x):
        hidden = self.enter(x)
        return self.leave(hidden * torch.tanh(self.function(hidden)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("shape", [(6,), (5, 6)])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
        lambda x: nn.functional.normalize(x, dim=-1),
        lambda x: x.std(-1).unsqueeze(-1),
    ],
    ids=["root mean square", "unit length", "std"],
)
def test_torch_exports_what_sums_over_last_dimensions(function, shape, tmp_path):
    torch.manual_seed(0)
    source = PrunableModel.of(trace(OnLast(function).eval(), torch.randn(2, *shape)), shape)
    cut = cut_to(source, {"enter": 5}, {"enter": torch.rand(8)}, "auto")
    path, inputs = tmp_path / "model.onnx", torch.randn(1, *shape)
    torch.onnx.export(cut.model, (inputs,), path, dynamo=False, input_names=["x"])
    (found,) = onnxruntime.InferenceSession(path).run(None, {"x": inputs.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), cut.model(inputs), rtol=1e-4, atol=1e-5)


def test_a_length_of_nothing_has_no_slope():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), Told(COMPARED["max"]), Lengthen())
    source = PrunableModel.of(trace(model.eval()), (3, 5, 5))
    inputs = torch.zeros(1, 3, 5, 5, requires_grad=True)
    nn.init.zeros_(source.model.get_submodule("0").bias)
    source.model(inputs).sum().backward()
    assert all(p.grad.isfinite().all() for p in source.model.parameters() if p.requires_grad)


class Lengthen(nn.Module):
    """Mixes channels of which each position has the length 1."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        return self.mix(nn.functional.normalize(x, dim=1) + x * x.norm(dim=1, keepdim=True))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.argmax(1, keepdim=True),
        lambda x: x.max(1, keepdim=True)[1],
        lambda x: x.norm(p=3, dim=1, keepdim=True),
        lambda x: x.median(1, keepdim=True)[0],
    ],
    ids=["argmax", "where the largest is", "another norm", "median"],
)
def test_what_would_tell_something_else_holds_them(function):
    model = nn.Sequential(nn.Conv2d(3, 8, 1), Told(function), nn.Conv2d(8, 3, 1)).eval()
    with pytest.raises(NothingToCutError, match="no layer"):
        PrunableModel.of(trace(model, torch.randn(2, 3, 5, 5)), (3, 5, 5))


def test_where_there_is_no_statistic_the_model_is_the_same():
    graph = trace(nn.Sequential(nn.Conv2d(3, 8, 1), Lengths()))
    places = {n.name: 1 for n in graph.graph.nodes if n.target == "reshape"}
    assert statistics_let_go(graph, torch.randn(1, 3, 5, 5), places) is graph
