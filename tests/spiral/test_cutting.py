from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import TensorDataset

import edgespiral
from edgespiral.core.errors import DataError, ModelError, NothingToCutError, UsageError
from edgespiral.models import build
from edgespiral.models.saved import load_model, save_model, trace
from edgespiral.prune.masking import gated
from edgespiral.prune.prunable import PrunableModel
from edgespiral.tasks.classification import Classification


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 16, 5),
    )  # fmt: skip


EXAMPLE = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Unlabelled(torch.utils.data.Dataset):
    """Pictures without targets."""

    def __init__(self, count, seed):
        self.pictures = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        return self.pictures[index]


@pytest.mark.parametrize("criterion", ["fisher", "l1"])
def test_data_without_targets_are_scored_by_what_the_model_says(criterion):
    parts = {"train": (40, 0), "validation": (20, 1), "test": (20, 2)}
    data = {name: Unlabelled(*sizes) for name, sizes in parts.items()}
    small = edgespiral.cut(
        net(), data=data | {"labelled": False}, fraction=0.5, criterion=criterion
    )
    assert small.meta["cut"].after == {"0": 8, "3": 4}
    assert small(EXAMPLE).shape == (4, 5)


class Boxed(nn.Module):
    """A net in something that cannot be traced, and is not what is cut."""

    def __init__(self):
        super().__init__()
        self.body = net()

    def forward(self, pictures):
        return [picture.tolist() for picture in self.body(pictures)]


class OfBody(Classification):
    """The task for what is inside of it."""

    def prepared(self, model, splits):
        assert splits.class_names
        return model.body, self


def test_what_the_task_takes_of_a_model_is_cut():
    rows = TensorDataset(Unlabelled(40, 0).pictures, torch.arange(40) % 5)
    data = {"train": rows, "validation": rows, "test": rows, "classes": list("abcde")}
    small = edgespiral.cut(Boxed(), data=data, task=OfBody(), fraction=0.5, criterion="l1")
    assert small.meta["cut"].after == {"0": 8, "3": 4}
    assert small(EXAMPLE).shape == (4, 5)


def test_what_is_left_computes_what_the_masked_model_does():
    model = net().eval()
    before = copy.deepcopy(model.state_dict())
    small = edgespiral.cut(model, EXAMPLE, fraction=0.5)
    facts = small.meta["cut"]
    assert isinstance(facts, edgespiral.CutFacts)
    assert (facts.before, facts.after) == ({"0": 16, "3": 8}, {"0": 8, "3": 4})
    assert facts.difference < 1e-9
    assert sum(p.numel() for p in small.parameters()) == facts.parameters_after
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    # By hand: the channels with the largest norms of weights are those that stay.
    gates = {}
    source = PrunableModel.of(trace(model, EXAMPLE), (3, 8, 8))
    for group in source.groups:
        weights = model.get_submodule(group.name).weight.flatten(1).abs().sum(1)
        gates[group.name] = torch.zeros(1, group.channels)
        gates[group.name][0, weights.argsort()[group.channels // 2 :]] = 1
    with torch.no_grad(), gated(source.model, source.groups, gates):
        masked = source.model(EXAMPLE)
        # The masked model's batch norms take the same statistics; biases of gated ones are gated.
    assert torch.allclose(small(EXAMPLE), masked, atol=1e-5)


def test_it_is_a_plain_module_that_trains():
    small = edgespiral.cut(net(), EXAMPLE, fraction=0.25)
    assert {type(layer).__module__.split(".")[0] for layer in small.children()} == {"torch"}
    optimizer = torch.optim.SGD(small.parameters(), lr=0.1)
    before = small.get_parameter("0.weight").clone()
    small.train()(EXAMPLE).square().mean().backward()
    optimizer.step()
    assert not torch.equal(small.get_parameter("0.weight"), before)


class PartlyFrozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.utils.weight_norm(nn.Linear(8, 16))
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.second = nn.utils.parametrizations.weight_norm(nn.Linear(16, 16))
        self.hidden, self.head = nn.Linear(16, 12), nn.Linear(12, 5)

    def forward(self, x):
        rows = self.second(self.first(x).relu())
        rows = rows + self.attention(rows, x[..., :1] + rows, rows, need_weights=False)[0]
        return self.head(self.hidden(rows).relu().mean(1))


class HalfTrained(nn.Module):
    """A backbone whose features have no gradients, beside a part that has."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 12))
        self.side, self.head = nn.Linear(8, 12), nn.Linear(12, 5)

    def forward(self, x):
        with torch.no_grad():
            features = self.backbone(x).tanh()
        return self.head((features + self.side(x)).relu())


@pytest.mark.parametrize("pruner", ["flow", "depgraph", "nni"])
@pytest.mark.parametrize("data", [False, True])
def test_what_has_no_gradients_in_the_forward_has_none_afterwards(pruner, data):
    inputs = torch.randn(24, 8)
    splits = {
        "train": TensorDataset(inputs, torch.arange(24) % 5),
        "validation": TensorDataset(inputs[:8] + 1, torch.arange(8) % 5),
        "test": TensorDataset(inputs[:8] - 1, torch.arange(8) % 5),
        "classes": list("abcde"),
    }
    asked = {"data": splits} if data else {"example_inputs": inputs}
    small = edgespiral.cut(HalfTrained(), **asked, fraction=0.5, pruner=pruner)
    assert small.meta["cut"].after["backbone.0"] == 8
    small(inputs).square().mean().backward()
    for name, parameter in small.named_parameters():
        assert (parameter.grad is None) == name.startswith("backbone."), name


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("asked", [{"widths": {}}, {"fraction": 0.5}])
@pytest.mark.parametrize(
    ("pruner", "model", "example", "frozen"),
    [
        *((pruner, net, EXAMPLE, ("0.", "3.bias")) for pruner in ("flow", "depgraph", "nni")),
        ("auto", PartlyFrozen, torch.randn(4, 6, 8), ("first.", "second.", "attention.")),
    ],
)
def test_what_was_frozen_stays_frozen(pruner, model, example, frozen, asked):
    model = model()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))
    small = edgespiral.cut(model, example, **asked, pruner=pruner)
    for name, parameter in small.named_parameters():
        assert parameter.requires_grad == (not name.startswith(frozen)), name


def test_widths_are_asked_for_by_group_and_a_branch_can_go():
    model = build("resnet8", classes=10, input_shape=(1, 8, 8)).eval()
    example = torch.randn(2, 1, 8, 8)
    small = edgespiral.cut(model, example, widths={"layer1.0.conv1": 0, "layer2.0.conv1": 12})
    after = small.meta["cut"].after
    assert (after["layer1.0.conv1"], after["layer2.0.conv1"]) == (0, 12)
    assert "layer1.0.conv1.weight" not in small.state_dict()
    assert small.get_parameter("layer2.0.conv1.weight").shape[0] == 12
    others = set(after) - {"layer1.0.conv1", "layer2.0.conv1"}
    assert all(after[name] == small.meta["cut"].before[name] for name in others)


def test_data_score_channels_and_say_what_to_fold(digits, teacher):
    by_data = edgespiral.cut(teacher, data="digits", fraction=0.5)
    by_norm = edgespiral.cut(teacher, data=digits, fraction=0.5, criterion="random")
    (inputs, labels) = next(iter(digits.validation.epoch(batch_size=200)))
    with torch.no_grad():
        right = [
            float((model(inputs).argmax(1) == labels).float().mean())
            for model in (by_data, by_norm)
        ]
    assert right[0] > right[1]
    again = edgespiral.cut(teacher, data="digits", fraction=0.5)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in by_data.state_dict().items())


def test_widths_are_multiples_where_that_is_asked():
    small = edgespiral.cut(net(), EXAMPLE, fraction=0.4, multiple=4)
    assert small.meta["cut"].after == {"0": 8, "3": 4}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "one of fraction and widths is needed"),
        ({"fraction": 0.5, "widths": {"0": 8}}, "one of fraction and widths is needed"),
        ({"fraction": 1.0}, "fraction: must be above 0 and below 1, is 1.0"),
        ({"fraction": float("nan")}, "fraction: must be above 0"),
        ({"fraction": "0.5"}, "fraction: must be above 0"),
        ({"fraction": 0.01}, "fraction: takes no channel"),
        ({"fraction": 0.5, "multiple": 2.5}, "multiple: must be 1 or more, is 2.5"),
        ({"widths": [("0", 8)]}, "widths: a list has no names of groups"),
        ({"widths": {"0": 8.0}}, "0: 8.0 is not a number of channels"),
        ({"fraction": 0.5, "multiple": 0}, "multiple: must be 1 or more"),
        ({"fraction": 0.5, "multiple": 64}, "multiple: nothing to cut"),
        ({"widths": {"9": 8}}, "unknown group '9'"),
        ({"widths": {"0": 17}}, "0 can have 1 to 16 channels in steps of 1, not 17"),
        ({"widths": {"0": 0}}, "0 cannot have width 0; only a whole residual branch"),
        ({"fraction": 0.5, "criterion": "fishr"}, "unknown criterion 'fishr'; did you mean fisher"),
        ({"fraction": 0.5, "example_inputs": None}, "example_inputs or data are needed"),
        ({"fraction": 0.5, "example_inputs": torch.tensor(3.0)}, "not a tensor \\(\\)"),
        ({"fraction": 0.5, "example_inputs": [1]}, "not a list"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(options, problem):
    asked = {"example_inputs": EXAMPLE, **options}
    with pytest.raises(UsageError, match=problem) as caught:
        edgespiral.cut(net(), **asked)
    assert "\n" not in str(caught.value)


def test_gradients_need_data():
    with pytest.raises(DataError, match="needs labelled samples"):
        edgespiral.cut(net(), EXAMPLE, fraction=0.5, criterion="fisher")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("criterion", ["l1", "l2", "fpgm", "l1-reg", "random"])
def test_weights_of_any_precision_are_scored(dtype, criterion):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    # Scores of transposed convolutions are not NNI's.
    model.extend([nn.Unflatten(1, (10, 1)), nn.ConvTranspose1d(10, 4, 3), nn.BatchNorm1d(4),
                  nn.Flatten(), nn.Linear(12, 3)])  # fmt: skip
    model.eval().to(dtype)
    if criterion == "l1-reg":
        model = nn.Sequential(*model[:4])
    small = edgespiral.cut(model, torch.randn(4, 8, dtype=dtype), fraction=0.5, criterion=criterion)
    assert small.meta["cut"].after["0"] == 16
    assert small.get_parameter("0.weight").dtype == dtype


def test_a_model_without_channels_to_cut_is_told():
    with pytest.raises(NothingToCutError):
        edgespiral.cut(nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), EXAMPLE, fraction=0.5)


def test_a_model_of_another_task_or_without_numbers_is_told():
    seven = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 7))
    with pytest.raises(ModelError, match=r"not logits of shape"):
        edgespiral.cut(seven, data="digits", fraction=0.5)
    broken = net()
    broken[3].weight.data[0, 0] = torch.nan
    with pytest.raises(ModelError, match=r"weights are NaN or infinite: 3\.weight"):
        edgespiral.cut(broken, EXAMPLE, fraction=0.5)
    with pytest.raises(UsageError, match="model: a NoneType is no"):
        edgespiral.cut(None, EXAMPLE, fraction=0.5)


class Causal(nn.Module):
    """Attention whose mask is a buffer of infinite numbers, beside a layer that nothing calls."""

    def __init__(self, *, persistent):
        super().__init__()
        self.enter, self.leave = nn.Linear(8, 48), nn.Linear(16, 3)
        self.unused = nn.Linear(2, 2)
        nn.init.constant_(self.unused.weight, torch.nan)
        mask = torch.full((6, 6), -torch.inf).triu(1)
        self.register_buffer("mask", mask, persistent=persistent)

    def forward(self, x):
        query, key, value = self.enter(x).chunk(3, -1)
        return self.leave((query @ key.mT + self.mask).softmax(-1) @ value).mean(1)


@pytest.mark.parametrize("persistent", [True, False])
def test_a_mask_may_be_infinite_and_stays_out_of_the_state(persistent, tmp_path):
    torch.manual_seed(0)
    model, inputs = Causal(persistent=persistent).eval(), torch.randn(4, 6, 8)
    small = edgespiral.cut(model, inputs, fraction=0.5)
    again = edgespiral.cut(small, inputs, fraction=0.5)
    assert ("mask" in small.state_dict()) == ("mask" in again.state_dict()) == persistent
    assert torch.equal(again.get_buffer("mask"), model.mask)
    save_model(trace(small, inputs), tmp_path, example=inputs)
    assert torch.equal(load_model(tmp_path)(inputs), small(inputs))
    model.mask[0, 0] = torch.nan
    with pytest.raises(ModelError, match="weights are NaN or infinite: mask"):
        edgespiral.cut(model, inputs, fraction=0.5)


def test_a_sparse_buffer_is_no_weight():
    class Spread(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 3)
            self.register_buffer("near", torch.eye(8).to_sparse())

        def forward(self, x):
            return self.second(self.first(torch.sparse.mm(self.near, x.T).T).relu())

    small = edgespiral.cut(Spread().eval(), torch.randn(4, 8), fraction=0.5)
    assert small.meta["cut"].after == {"first": 8}


def test_what_torch_saved_it_loads(tmp_path):
    small = edgespiral.cut(net(), EXAMPLE, fraction=0.5)
    torch.save(small, tmp_path / "small.pt")
    loaded = torch.load(tmp_path / "small.pt", weights_only=False)
    assert torch.equal(loaded(EXAMPLE), small(EXAMPLE))
    assert edgespiral.cut(loaded, EXAMPLE, fraction=0.5).meta["cut"].after == {"0": 4, "3": 2}


class Scaled(torch.autograd.Function):
    """x times its logistic function, with its own gradient."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x.sigmoid() * (1 + x * (1 - x.sigmoid())))


@torch.jit.script
def bent(x):
    return torch.relu(x) + 0.5 * x


BETWEEN = {
    "function": Scaled.apply,
    "script": bent,
    "checkpoint": lambda x: checkpoint(torch.relu, x, use_reentrant=False),
    "mean": lambda x: x.relu() * x.relu().mean(1, keepdim=True),
    "length": lambda x: nn.functional.normalize(x.relu(), dim=1),
    "size": lambda x: x.relu() / x.shape[1],
    "halves": lambda x: torch.cat([x.chunk(2, 1)[0] * x.chunk(2, 1)[1], x.chunk(2, 1)[0]], 1),
}


@pytest.mark.parametrize("form", BETWEEN)
def test_channels_that_are_always_zero_leave_and_nothing_changes(form):
    """Held against the model itself, and not against one that is masked."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 3)

        def forward(self, x):
            return self.second(BETWEEN[form](self.first(x))).mean((2, 3))

    torch.manual_seed(0)
    model = Net().eval()
    with torch.no_grad():
        model.first.weight[1::2] = 0
        model.first.bias[1::2] = 0
        before = model(EXAMPLE)
    small = edgespiral.cut(model, EXAMPLE, fraction=0.5)
    assert small.meta["cut"].after == {"first": 4}
    with torch.no_grad():
        assert torch.allclose(small(EXAMPLE), before, atol=1e-5)
        assert torch.equal(model(EXAMPLE), before)
