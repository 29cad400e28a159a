from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import edgespiral
from edgespiral.models.saved import load_model, save_model, trace


class NormAct(nn.BatchNorm2d):
    """A batch norm that activates."""

    def __init__(self, channels):
        super().__init__(channels, momentum=0.3)
        self.act = nn.ReLU()

    def forward(self, x):
        state = self.running_mean, self.running_var, self.weight, self.bias
        return self.act(F.batch_norm(x, *state, self.training, self.momentum, self.eps))


class Same(nn.Conv2d):
    """A convolution that pads by itself and has a gain besides."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.gain = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return super().forward(F.pad(x, (0, 1, 0, 1))) * self.gain


class Standardised(nn.Conv2d):
    """A convolution of normalised weights."""

    def forward(self, x):
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, training=True).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class ChannelsLast(nn.LayerNorm):
    """A layer norm of pictures."""

    def forward(self, x):
        shape, affine = self.normalized_shape, (self.weight, self.bias)
        return F.layer_norm(x.permute(0, 2, 3, 1), shape, *affine, self.eps).permute(0, 3, 1, 2)


class Named(nn.Conv2d):
    """Only says how to make one."""

    def __init__(self, ins, outs):
        super().__init__(ins, outs, 1)


class Frozen(nn.Module):
    """A batch norm all of whose numbers are buffers."""

    def __init__(self, channels):
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(channels) + 0.5)

    def forward(self, x):
        state = self.running_mean, self.running_var, self.weight, self.bias
        return F.batch_norm(x, *state, training=False)


class Bare(nn.Module):
    """Functions of parameters that no layer has."""

    def __init__(self):
        super().__init__()
        self.matrix, self.slope = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(1))
        self.table = nn.Parameter(torch.randn(9, 4))
        self.up = nn.Parameter(torch.randn(6, 5, 2))

    def forward(self, ids):
        rows = F.prelu(F.linear(F.embedding(ids, self.table), self.matrix), self.slope)
        return F.conv_transpose1d(rows.transpose(1, 2), self.up, stride=2)


class Convolved(nn.Module):
    """Convolutions and a batch norm of parameters with names of their own."""

    def __init__(self):
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.randn(24, 3, 3, 3)), nn.Parameter(torch.randn(24))
        self.gain, self.shift = nn.Parameter(torch.rand(24)), nn.Parameter(torch.randn(24))
        self.register_buffer("mean", torch.randn(24))
        self.register_buffer("var", torch.rand(24) + 0.5)
        self.weight, self.bias = (
            nn.Parameter(torch.randn(16, 24, 3, 3)),
            nn.Parameter(torch.ones(16)),
        )
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = F.conv2d(x, self.w1, self.b1)
        x = F.batch_norm(x, self.mean, self.var, self.gain, self.shift, self.training).relu()
        return self.head(F.conv2d(x, self.weight, self.bias).relu().mean((2, 3)))


class Listed(nn.Module):
    """Layers of a list of parameters."""

    def __init__(self):
        super().__init__()
        sizes = (24, 3, 3, 3), (24,), (16, 24, 3, 3), (16,), (10, 16), (10,)
        self.params = nn.ParameterList(nn.Parameter(torch.randn(size)) for size in sizes)

    def forward(self, x):
        w1, b1, w2, b2, w3, b3 = self.params
        x = F.conv2d(F.conv2d(x, w1, b1).relu(), w2, b2).relu()
        return F.linear(x.mean((2, 3)), w3, b3)


class Adapted(nn.Module):
    """Weights that are computed: by a low-rank sum, by a length, with gains."""

    def __init__(self):
        super().__init__()
        self.inlet, self.w = nn.Conv2d(3, 24, 3), nn.Parameter(torch.randn(16, 24))
        self.down, self.up = nn.Parameter(torch.randn(2, 24)), nn.Parameter(torch.randn(16, 2))
        self.gain, self.prototypes = nn.Parameter(torch.ones(16)), nn.Parameter(torch.randn(10, 16))

    def forward(self, x):
        x = self.inlet(x).relu().mean((2, 3))
        weight = (self.w + self.up @ self.down) * self.gain[:, None]
        return F.linear(F.linear(x, weight).relu(), F.normalize(self.prototypes))


@pytest.mark.parametrize("kind", [Convolved, Listed, Adapted])
def test_layers_of_bare_parameters_are_cut_and_leave_nothing_behind(kind, tmp_path):
    torch.manual_seed(0)
    model, inputs = kind().eval(), torch.randn(2, 3, 8, 8)
    small = edgespiral.cut(model, inputs, fraction=0.5)
    assert sorted(small.meta["cut"].before.values()) == [16, 24]
    assert small.meta["cut"].parameters_before == sum(p.numel() for p in model.parameters())
    small.train()(inputs).square().mean().backward()
    assert all(parameter.grad is not None for parameter in small.parameters())
    graph = trace(small.eval(), inputs)
    save_model(graph, tmp_path)
    torch.testing.assert_close(load_model(tmp_path)(inputs), small(inputs))


def lively(model):
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            nn.init.normal_(module.bias)
    return model.eval()


PICTURES = {
    "batch norm": (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), NormAct(4)), "1", nn.BatchNorm2d),
    "convolution": (lambda: nn.Sequential(Same(3, 4, 2)), "0", nn.Conv2d),
    "standardised": (lambda: nn.Sequential(Standardised(3, 4, 3)), "0", nn.Conv2d),
    "layer norm": (lambda: nn.Sequential(ChannelsLast(3)), "0", nn.LayerNorm),
    "a way to make one": (lambda: nn.Sequential(Named(3, 4)), "0", nn.Conv2d),
}


@pytest.mark.parametrize("case", PICTURES)
def test_a_subclass_becomes_the_layer_that_it_is_and_is_saved_as_such(case, tmp_path):
    make, path, kind = PICTURES[case]
    model, inputs = lively(make()), torch.randn(2, 3, 6, 6)
    graph = trace(model)
    assert type(graph.get_submodule(path)) is kind
    assert set(graph.state_dict()) == set(model.state_dict())
    torch.testing.assert_close(graph(inputs), model(inputs))
    save_model(graph, tmp_path)
    torch.testing.assert_close(load_model(tmp_path)(inputs), model(inputs))


def test_a_weight_that_was_a_buffer_takes_its_own_place():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), Frozen(8), nn.Conv2d(8, 4, 1)).eval()
    inputs = torch.randn(2, 3, 6, 6)
    small = edgespiral.cut(model, inputs, widths={})
    torch.testing.assert_close(small(inputs), model(inputs))
    names = {name for name, parameter in small.named_parameters() if not parameter.requires_grad}
    assert names <= {"1.weight", "1.bias"}


def test_a_restored_batch_norm_trains_and_keeps_its_momentum():
    model = lively(nn.Sequential(nn.Conv2d(3, 4, 1), NormAct(4)))
    graph = trace(model).train()
    before = graph.get_submodule("1").running_mean.clone()
    graph(torch.randn(8, 3, 6, 6))
    norm = graph.get_submodule("1")
    assert not torch.equal(norm.running_mean, before)
    assert (norm.momentum, int(norm.num_batches_tracked)) == (0.3, 1)


def test_functions_of_bare_parameters_become_layers_at_their_names():
    model, ids = Bare().eval(), torch.randint(0, 9, (2, 7))
    graph = trace(model)
    kinds = {name: type(m).__name__ for name, m in graph.named_children()}
    assert kinds == {
        "table": "Embedding", "matrix": "Linear", "slope": "PReLU", "up": "ConvTranspose1d",
    }  # fmt: skip
    torch.testing.assert_close(graph(ids), model(ids))


class Dropping(nn.Module):
    """Dropout as a function."""

    def forward(self, x):
        return F.dropout(x, 0.4, training=self.training)


def test_a_dropout_that_the_trace_has_fixed_drops_again():
    graph = trace(Dropping())
    inputs = torch.ones(1000)
    assert torch.equal(graph(inputs), inputs)
    dropped = float((graph.train()(inputs) == 0).float().mean())
    assert 0.2 < dropped < 0.6


class Twice(nn.Module):
    """Calls one convolution at two strides and once more as before."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        x = F.conv2d(x, self.conv.weight, self.conv.bias)
        x = F.conv2d(x, self.conv.weight, self.conv.bias)
        return F.conv2d(x, self.conv.weight, self.conv.bias, 2)


def test_calls_that_differ_share_the_weight_in_two_layers():
    model = Twice().eval()
    graph, inputs = trace(model), torch.randn(1, 3, 6, 6)
    layers = [m for m in graph.modules() if isinstance(m, nn.Conv2d)]
    assert [m.stride for m in layers] == [(1, 1), (2, 2)] or [m.stride for m in layers] == [1, 2]
    assert layers[0].weight is layers[1].weight is model.conv.weight
    torch.testing.assert_close(graph(inputs), model(inputs))


class Products(nn.Module):
    """Layers as products with parameters: from either side, with a bias, one beside a layer."""

    def __init__(self):
        super().__init__()
        self.first, self.low, self.high = (
            nn.Parameter(torch.randn(*size) / 2) for size in ((6, 8), (8, 2), (2, 8))
        )
        self.plain, self.left = nn.Linear(8, 8), nn.Parameter(torch.randn(5, 8))
        self.twice, self.bias = nn.Parameter(torch.randn(8, 8)), nn.Parameter(torch.randn(4))
        self.out = nn.Parameter(torch.randn(8, 4))

    def forward(self, x):
        x = torch.matmul(x, self.first)
        x = self.plain(x) + x @ self.low @ self.high
        rows = torch.matmul(self.left, x.mT).mT.sum(-1, keepdim=True)
        x = (x + rows).tanh() @ self.twice
        return torch.addmm(self.bias, (x @ self.twice).mean(1), self.out)


def test_products_with_parameters_are_layers(tmp_path):
    torch.manual_seed(0)
    model, inputs = Products().eval(), torch.randn(3, 7, 6)
    graph = trace(model, inputs)
    torch.testing.assert_close(graph(inputs), model(inputs))
    layers = {name: m for name, m in graph.named_modules() if isinstance(m, nn.Linear)}
    assert layers.keys() == {"first", "low", "high", "plain", "left", "out"}
    assert layers["out"].bias is not None
    assert graph.get_parameter("twice") is model.twice  # two layers would be trained apart
    small = edgespiral.cut(model, inputs, fraction=0.5)
    assert small.get_parameter("first.weight").shape == (4, 6)
    save_model(small, tmp_path, example=inputs)
    torch.testing.assert_close(load_model(tmp_path)(inputs), small(inputs))
