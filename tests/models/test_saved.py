from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import partial

import pytest
import torch
import torchvision
from safetensors.torch import load_file
from torch import nn
from torchvision.models.convnext import CNBlockConfig

from edgespiral.core.errors import ModelError, RunFolderError
from edgespiral.models.saved import SOURCE, WEIGHTS, check_computes, load_model, save_model, trace

ARCHITECTURES = {
    name: partial(torchvision.models.get_model, name)
    for name in ("resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1")
} | {
    "densenet": partial(torchvision.models.DenseNet, block_config=(2, 2), num_init_features=8),
    "googlenet": partial(torchvision.models.GoogLeNet, aux_logits=False, init_weights=False),
    "vit": partial(torchvision.models.VisionTransformer, 64, 16, 2, 2, 16, 32),
    "swin": partial(torchvision.models.SwinTransformer, [4, 4], 16, [1, 1], [2, 2], [4, 4]),
    "maxvit": partial(torchvision.models.MaxVit, (64, 64), 8, 4, [8, 16], [1, 1], 4, 0.1),
    "convnext": partial(
        torchvision.models.ConvNeXt, [CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)]
    ),
}


class Stacked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 6, 2, batch_first=True, bidirectional=True, dropout=0.25)
        self.embedding = nn.Embedding(9, 4, padding_idx=0)

    def forward(self, tokens):
        outputs, (hidden, _) = self.rnn(self.embedding(tokens))
        return outputs.mean(1) + torch.cat([hidden[-2], hidden[-1]], 1)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.tensor([2.0]))
        self.register_buffer("shift", torch.tensor([0.5]))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.body(inputs).mean((2, 3)))) * self.scale + self.shift


def saved(model, folder):
    model.eval()
    return save_model(trace(model), folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_saved_architecture_computes_the_same_under_the_same_names(name, tmp_path):
    torch.manual_seed(0)
    model = ARCHITECTURES[name]().eval()
    saved(model, tmp_path)
    again = load_model(tmp_path)
    inputs = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(inputs), model(inputs))
        assert torch.equal(trace(again)(inputs), model(inputs))
    assert set(again.state_dict()) == set(model.state_dict())
    assert set(trace(again).state_dict()) == set(model.state_dict())
    again.train()(inputs).sum().backward()
    assert [n for n, p in again.named_parameters() if p.grad is None] == []


@pytest.mark.slow
def test_two_lines_load_it_where_edgespiral_is_not(tmp_path):
    model = Small()
    saved(model, tmp_path)
    inputs = torch.ones(1, 1, 5, 5)
    script = (
        "import sys\nsys.modules['edgespiral'] = None  # importing it fails from here on\n"
        "from model import load\nmodel = load()\n"
        "import torch\nprint(model(torch.ones(1, 1, 5, 5)).tolist())"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(model(inputs).tolist())


def test_modes_and_gradients_survive(tmp_path):
    saved(Small(), tmp_path)
    model = load_model(tmp_path)
    inputs = torch.randn(8, 1, 5, 5)
    assert not model.training
    assert torch.equal(model(inputs), model(inputs))
    model.train()
    assert not torch.equal(model(inputs), model(inputs))
    model(inputs).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert "shift" not in dict(model.named_parameters())


def test_hashes_are_of_the_files_and_repeatable(tmp_path):
    model = Small()
    first = saved(model, tmp_path)
    assert first == saved(model, tmp_path)
    for name, digest in first.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest


def test_tied_weights_stay_tied(tmp_path):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4, bias=False)
            self.second = nn.Linear(4, 4, bias=False)
            self.second.weight = self.first.weight

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(inputs))

    model = Tied()
    saved(model, tmp_path)
    assert torch.equal(load_model(tmp_path)(torch.ones(1, 4)), model(torch.ones(1, 4)))


def test_tracing_keeps_the_mode_and_says_what_it_cannot_follow():
    class Branching(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs if inputs.sum() > 0 else -inputs

    model = Branching().train()
    with pytest.raises(ModelError, match=r"Branching \(.*py:\d+\): cannot be traced") as caught:
        trace(model)
    assert model.training
    assert "\n" not in str(caught.value)
    model.rnn = nn.GRU(2, 2)
    with pytest.raises(ModelError, match="must not branch on tensor values, nor pack sequences"):
        trace(model)


def test_a_graph_is_in_eval_mode_with_the_models_parameters_but_its_own_layers():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2)).train()
    model[1].eval()
    graph = trace(model)
    assert [module.training for module in model.modules()] == [True, True, False, True]
    inputs = torch.randn(2, 1, 3, 3)
    assert torch.equal(graph(inputs), graph(inputs))
    assert not any(module.training for module in graph.modules())
    assert all(a is b for a, b in zip(graph.parameters(), model.parameters(), strict=True))
    graph.get_submodule("0").weight = nn.Parameter(torch.zeros(1, 1, 1, 1))
    assert model[0].weight.shape == (2, 1, 1, 1)


def test_arguments_with_a_default_keep_it(tmp_path):
    class Optional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, x_1, x=None, features=False, *, scale=2.0):
            return x_1 if features else self.head(x_1 if x is None else x) * scale

    model = Optional()
    saved(model, tmp_path)
    inputs = torch.ones(1, 4)
    assert torch.equal(load_model(tmp_path)(inputs), model(inputs))


class Awkward(nn.Module):
    """Calls a layer by keyword, views its outputs as a row and its bits as whole numbers."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 1), nn.Linear(36, 2)

    def forward(self, inputs):
        found = self.conv(input=inputs)
        signs = found.view(torch.int32) >= 0
        return self.head((found * signs).view(inputs.size(0), -1))


def test_views_and_keywords_are_normalised(tmp_path):
    net, inputs = Awkward().eval(), torch.randn(2, 3, 3, 3)
    traced, expected = trace(net), net(inputs)
    (call,) = traced.graph.find_nodes(op="call_module", target="conv")
    assert (len(call.args), call.kwargs) == (1, {})
    traced.conv.to(memory_format=torch.channels_last)
    given = inputs.to(memory_format=torch.channels_last)
    assert torch.allclose(traced(given), expected, atol=1e-6)
    saved(net, tmp_path)
    assert torch.allclose(load_model(tmp_path)(inputs), expected, atol=1e-6)


def test_what_is_computed_from_a_buffer_keeps_the_buffers_name(tmp_path):
    class Indexed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.arange(4.0))
            self.register_buffer("index", torch.tensor([[3, 2], [1, 0]]))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs * self.table[self.index.view(-1)]

    saved(Indexed(), tmp_path)
    model = load_model(tmp_path)
    assert set(model.state_dict()) == {"table", "index"}
    assert model(torch.ones(1, 4)).tolist() == [[3.0, 2.0, 1.0, 0.0]]


def test_parameters_that_share_memory_are_all_saved(tmp_path):
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            values = torch.arange(6.0)
            self.first, self.last = nn.Parameter(values[:4]), nn.Parameter(values[2:])

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs * self.first + self.last

    saved(Views(), tmp_path)
    assert set(load_file(tmp_path / WEIGHTS)) == {"first", "last"}
    assert load_model(tmp_path)(torch.ones(4)).tolist() == [2.0, 4.0, 6.0, 8.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_precision_is_kept(dtype, tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).to(dtype)
    saved(model, tmp_path)
    inputs = torch.ones(1, 1, 2, 2, dtype=dtype)
    assert torch.equal(load_model(tmp_path)(inputs), model(inputs))


def test_saving_uses_no_random_numbers(tmp_path):
    model = trace(Small())
    state = torch.get_rng_state()
    save_model(model, tmp_path)
    save_model(model, tmp_path, example=torch.ones(1, 1, 5, 5))
    assert torch.equal(torch.get_rng_state(), state)


def test_an_example_shows_what_the_source_would_lose(tmp_path):
    model = trace(Small())
    model.get_submodule("head").register_forward_hook(lambda _m, _i, output: output + 1)
    with pytest.raises(ModelError, match="its source computes something else") as caught:
        save_model(model, tmp_path, example=torch.ones(1, 1, 5, 5))
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_be_saved_leaves_the_one_before_it(tmp_path):
    saved(Small(), tmp_path)
    before = (tmp_path / SOURCE).read_bytes()
    broken = trace(nn.Sequential(nn.Linear(2, 2)))
    broken.get_submodule("0").in_features = 3
    with pytest.raises(ModelError, match=r"0\.weight: its source does not rebuild it"):
        save_model(broken, tmp_path)
    assert (tmp_path / SOURCE).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [SOURCE, WEIGHTS]


def test_a_layer_that_cannot_be_written_is_named(tmp_path):
    class Odd(nn.Dropout):
        def __init__(self) -> None:
            super().__init__()
            self.p = torch.tensor(0.5)

    model = nn.Sequential(nn.ReLU(), Odd())
    with pytest.raises(ModelError, match="1: p of Dropout is not a plain value"):
        saved(model, tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"model\.py: no such file"):
        load_model(tmp_path)


def test_damaged_weights_are_refused(tmp_path):
    saved(Small(), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="cannot write"):
        saved(Small(), tmp_path / "missing")


def test_a_recurrent_model_of_token_ids_is_rebuilt(tmp_path):
    torch.manual_seed(0)
    model, tokens = trace(Stacked()), torch.randint(0, 9, (2, 5))
    save_model(model, tmp_path, example=tokens)
    loaded = load_model(tmp_path)
    assert torch.equal(loaded(tokens), model(tokens))
    assert (loaded.rnn.dropout, loaded.embedding.padding_idx) == (0.25, 0)


# In a process of its own: the runner's limit on each test is an alarm, too.
WAITING = """
import time
from torch import nn
from edgespiral.core.errors import ModelError
from edgespiral.models import saved
class Waits(nn.Module):
    def forward(self, inputs):
        time.sleep(60)
        return inputs
saved.MOST_SECONDS = 0.2
try:
    saved.trace(Waits())
except ModelError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_forward_that_never_ends_is_told():
    told = subprocess.run([sys.executable, "-c", WAITING], capture_output=True, text=True)
    assert told.stdout.startswith("tracing the model took more than 0 s; "), told.stderr


class Masked(nn.Module):
    """Of two numbers one is as it comes and one is infinite."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, inputs):
        return torch.stack([self.factor * inputs, torch.full_like(inputs, -torch.inf)], 1)


def test_infinite_outputs_do_not_hide_how_finite_ones_differ():
    inputs = torch.ones(4)
    check_computes(Masked(1.0), Masked(1.0), inputs)
    with pytest.raises(ModelError, match="computes something else"):
        check_computes(Masked(2.0), Masked(1.0), inputs)


@pytest.mark.parametrize("name", ["graph", "code", "meta"])
def test_a_part_by_a_graphs_own_name_is_told(name):
    class Net(nn.Module):
        def forward(self, x):
            return getattr(self, name)(x)

    model = Net()
    model.add_module(name, nn.Linear(3, 3))
    with pytest.raises(ModelError, match=f"Net.{name}: .* has a '{name}' of its own"):
        trace(model, torch.randn(2, 3))


class Averaging(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        self.mean.mul_(0.5).add_(x.detach().mean(0))
        return self.layer(x - self.mean)


class Shuffled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(40, 40)

    def forward(self, x):
        return self.layer(x)[:, torch.randperm(40)]


class Lowered(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.layer(x)


@pytest.mark.parametrize(
    ("kind", "size", "cause"),
    [
        (Averaging, 3, "its buffer mean"),
        (Shuffled, 40, r"randperm at .*test_saved.py:\d+"),
        (Lowered, 3, r"autocast at .*test_saved.py:\d+"),
    ],
)
def test_what_a_trace_does_otherwise_is_named(kind, size, cause):
    with pytest.raises(ModelError, match=cause):
        trace(kind(), torch.randn(4, size))
