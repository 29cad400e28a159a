from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgespiral.core.errors import ModelError
from edgespiral.models.saved import save_model, trace

INPUTS = torch.randn(7, 4, 6, 6, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """One convolution and a head around what is between."""

    def __init__(self, between) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(4, 8, 1), nn.Linear(8, 3)
        self.between = between
        self.register_buffer("flag", torch.tensor(1))

    def forward(self, x):
        return self.head(self.between(self, self.conv(x)).mean((2, 3)))


def branches_on_sizes(net, x):
    _, c, h, w = x.shape
    assert x.dim() == 4, "images"
    if h % 4 or w % 4:
        x = F.pad(x, (0, -w % 4, 0, -h % 4))
    if x.dtype != torch.float32 or c != 8 or not isinstance(x, torch.Tensor):
        raise ValueError("of eight channels")
    return x


def same_padding(net, x):
    needed = max((-(-x.shape[-1] // 4) - 1) * 4 + 3 - x.shape[-1], 0)
    return F.pad(x, [needed // 2, needed - needed // 2] * 2)


def iterates(net, x):
    parts = list(x.chunk(2, 1))
    parts += [part * 2 for part in x.split(4, 1)]
    return torch.cat(parts, 1)[:, :8]


def unused_sizes(net, x):
    n, c, h, w = x.shape
    return x.flatten(2).transpose(1, 2).reshape(n, h * w, c).transpose(1, 2).reshape(n, c, h, w)


def constants_of_sizes(net, x):
    rows = torch.linspace(0, 1, 6).expand(x.shape[0], 1, 6, -1)
    return x * rows.to(x) + torch.ones(6, 1).repeat(len(x), 1, 1, 6)


def factories(net, x):
    n, c = x.shape[0], x.shape[1]
    steps = torch.arange(x.shape[-1], device=x.device, dtype=x.dtype)
    ones = torch.ones(n, c, 1, 1, dtype=x.dtype) + torch.zeros((n, 1, 1, 1))
    return x * ones + steps + x.new_zeros(n, c, 1, 1) + torch.finfo(x.dtype).tiny


def unfolds(net, x):
    n, c, h, w = x.shape
    rows, columns = int(-(-h // 2)), int(-(-w // 2))
    if rows * 2 != h:
        x = F.interpolate(x, (rows * 2, columns * 2))
    x = x.reshape(n * c * rows, 2, columns, 2).transpose(1, 2)
    return x.reshape(n, c, rows, columns, 4).mean(-1)


def constant_flag(net, x):
    return x * 2 if net.flag == 1 else x


LIKE_THE_WILD = [
    branches_on_sizes,
    same_padding,
    iterates,
    unused_sizes,
    constants_of_sizes,
    factories,
    unfolds,
    constant_flag,
]


@pytest.mark.parametrize("between", LIKE_THE_WILD)
def test_what_is_known_of_the_input_is_no_obstacle(between, tmp_path):
    torch.manual_seed(0)
    model = Net(between).eval()
    graph = trace(model, INPUTS[:2])
    save_model(graph, tmp_path, example=INPUTS)
    for size in (1, 3, 7):
        assert torch.equal(graph(INPUTS[:size]), model(INPUTS[:size]))


def by_value(net, x):
    return x if x.sum() > 0 else -x


def by_batch(net, x):
    if x.shape[0] > 1:
        x = x - x[:1] * 0 + 1
    return x


def by_exact_batch(net, x):
    return x + 1 if x.shape[0] == 2 else x


def loops_over_samples(net, x):
    return torch.stack([sample * 2 for sample in x])


def counts_by_batch(net, x):
    return torch.cat([x[i : i + 1] for i in range(x.shape[0])])


def item(net, x):
    return x * int(x.abs().max())


REFUSED = {
    by_value: "branches on a tensor's value",
    by_batch: "on a batch of 1",
    by_exact_batch: "branches on the batch size",
    loops_over_samples: "asks the length of the batch size",
    counts_by_batch: "counts by the batch size",
    item: "makes a number of a tensor's value",
}


@pytest.mark.parametrize("between", REFUSED)
def test_what_depends_on_values_or_on_the_batch_is_refused_with_its_line(between):
    line = between.__code__.co_firstlineno + 1
    with pytest.raises(ModelError, match=rf"test_tracer\.py:{line}") as caught:
        trace(Net(between), INPUTS)
    assert REFUSED[between] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_users_own_error_is_told_with_its_line():
    def fails(net, x):
        return x.no_such_method()

    with pytest.raises(ModelError, match=r"`return x\.no_such_method\(\)`.*no_such_method"):
        trace(Net(fails), INPUTS)


HOOKS = {
    "before": lambda m: m.register_forward_pre_hook(lambda _, args: (args[0] * 2 - 1,)),
    "after": lambda m: m.register_forward_hook(lambda _m, _i, output: output + 1),
    "keywords": lambda m: m.register_forward_pre_hook(
        lambda _, args, kwargs: ((args[0] + 1,), kwargs), with_kwargs=True
    ),
}


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("where", ["", "conv", "body", "body.0"])
def test_what_hooks_change_is_part_of_the_graph(hook, where, tmp_path):
    class Hooked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.body = nn.Conv2d(4, 8, 1), nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU())

        def forward(self, x):
            return self.body(self.conv(x)).mean((2, 3))

    model = Hooked().eval()
    before = model(INPUTS)
    HOOKS[hook](model.get_submodule(where))
    assert not torch.allclose(model(INPUTS), before)
    graph = trace(model, INPUTS)
    save_model(graph, tmp_path, example=INPUTS)
    assert torch.allclose(graph(INPUTS), model(INPUTS), atol=1e-6)


def test_hooks_that_change_nothing_are_left_out():
    kept = {}
    model = Net(lambda _, x: x).eval()
    plain = [str(node) for node in trace(model, INPUTS).graph.nodes]

    def look(_module, _inputs, output):
        kept["shape"] = output.detach().cpu().numpy().shape

    model.conv.register_forward_hook(look)
    model.register_forward_hook(look)
    assert [str(node) for node in trace(model, INPUTS).graph.nodes] == plain
    assert len(kept["shape"]) == 2


@pytest.mark.parametrize("where", ["", "conv"])
def test_a_forward_of_its_own_is_followed(where):
    model = Net(lambda _, x: x).eval()
    module = model.get_submodule(where)
    usual = module.forward
    module.forward = lambda x: usual(x) * 3
    graph = trace(model, INPUTS)
    assert torch.allclose(graph(INPUTS), model(INPUTS), atol=1e-6)


def test_subclasses_of_layers_are_followed_and_plain_ones_are_layers():
    class Doubling(nn.Conv2d):
        def forward(self, x):
            return super().forward(x) * 2

    class Named(nn.Conv2d):
        def __init__(self, channels):
            super().__init__(channels, channels, 1)

    model = nn.Sequential(Named(4), Doubling(4, 4, 1), nn.Flatten()).eval()
    graph = trace(model, INPUTS)
    assert torch.equal(graph(INPUTS), model(INPUTS))
    assert [str(n.target) for n in graph.graph.find_nodes(op="call_module")] == ["0", "1", "2"]
    assert type(graph.get_submodule("1")) is nn.Conv2d
    assert type(graph.get_submodule("0")) is nn.Conv2d
    assert type(model[0]) is Named


def test_what_others_left_in_layers_is_dropped(tmp_path):
    model = Net(lambda _, x: x).eval()
    for module in model.modules():
        module.register_buffer("total_ops", torch.zeros(1, dtype=torch.float64))
    graph = trace(model, INPUTS)
    save_model(graph, tmp_path, example=INPUTS)
    assert set(graph.state_dict()) == {"conv.weight", "conv.bias", "head.weight", "head.bias"}


def test_the_model_stays_as_it_was():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            self.last = x * torch.ones(6)
            return self.last.mean((2, 3))

    model = Counting()
    before = torch.get_rng_state()
    trace(model, INPUTS)
    assert set(vars(model)["_buffers"]) == {"calls"}
    assert type(model.calls) is torch.Tensor
    assert "last" not in vars(model) or type(model.last) is torch.Tensor
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training


def test_without_samples_sizes_stay_unknown():
    with pytest.raises(ModelError, match="control flow"):
        trace(Net(branches_on_sizes))


class OnTheSpot(nn.Module):
    """Makes modules without weights while it runs, as Hugging Face's DistilBERT does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        x = nn.ReLU()(self.first(x))
        return self.second(nn.Sequential(nn.Tanh(), nn.Hardtanh(-0.5, 0.5))(x))


def test_a_module_made_on_the_spot_is_what_it_computes():
    model, inputs = OnTheSpot().eval(), torch.randn(5, 6)
    graph = trace(model, inputs)
    assert torch.equal(graph(inputs), model(inputs))
    called = [str(n.target) for n in graph.graph.find_nodes(op="call_module")]
    assert called == ["first", "second"]


def test_weights_made_on_the_spot_are_refused_with_their_line():
    class Fresh(nn.Module):
        def forward(self, x):
            return nn.Linear(6, 2)(x)

    with pytest.raises(ModelError, match=r"test_tracer\.py:\d+.*`return nn.Linear"):
        trace(Fresh(), torch.randn(5, 6))
