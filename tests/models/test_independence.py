from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from edgespiral.core.errors import ExitCode, ModelError
from edgespiral.data import load
from edgespiral.data.dataset import DatasetSource
from edgespiral.models import build
from edgespiral.models.independence import check_answers, check_independence


@pytest.fixture(scope="module")
def digits():
    return load("digits")


class Between(nn.Module):
    """Two convolutions with something between them."""

    def __init__(self, between):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.between, self.head = between, nn.Linear(8, 10)

    def forward(self, inputs):
        x = self.between(torch.relu(self.first(inputs)))
        return self.head(torch.relu(self.second(x)).mean((2, 3)))


class Rows(nn.Module):
    """Reads an image (N, 1, 8, 8) row by row."""

    def __init__(self, layer):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = layer, nn.LazyLinear(10)
        self(torch.zeros(2, 1, 8, 8))

    def forward(self, inputs):
        read = self.layer(inputs[:, 0])
        return self.head((read[0] if isinstance(read, tuple) else read).flatten(1))


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(8),
        nn.InstanceNorm2d(8),
        nn.GroupNorm(2, 8),
        nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        nn.Dropout(0.5),
    ],
    ids=str,
)
def test_layers_that_look_at_one_sample_at_a_time_pass(layer, digits):
    model = Between(layer).train()
    check_independence(model, digits)
    assert model.training


@pytest.mark.parametrize("layer", [nn.LSTM(8, 4, batch_first=True), nn.Linear(8, 4)], ids=str)
def test_sequences_with_the_batch_first_pass(layer, digits):
    check_independence(Rows(layer), digits)


def test_a_bundled_network_passes_and_random_numbers_stay_where_they_were(digits):
    model = build("resnet8", classes=10, input_shape=digits.input_shape)
    before = torch.random.get_rng_state()
    check_independence(model, digits)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (nn.BatchNorm2d(8, track_running_stats=False), "between (BatchNorm2d)"),
        (
            nn.Sequential(nn.ReLU(inplace=True), nn.BatchNorm2d(8, track_running_stats=False)),
            "between.1 (BatchNorm2d)",
        ),
        (nn.Softmax(dim=0), "between (Softmax)"),
    ],
    ids=str,
)
def test_the_first_layer_that_depends_on_the_batch_is_named(layer, named, digits):
    with pytest.raises(ModelError, match="depends on the others in its batch") as caught:
        check_independence(Between(layer), digits)
    assert caught.value.where == named
    assert caught.value.exit_code == ExitCode.MODEL
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x - x.mean(0, keepdim=True),
        lambda x: x + 0.02 * x.mean(),
        lambda x: x / x.norm(),
        lambda x: x - x[:1],
        lambda x: x.roll(1, 0),
        lambda x: x / len(x),
        lambda x: x.sort(0).values,
        lambda x: F.batch_norm(x, None, None, training=True),
    ],
)
def test_so_is_the_forward_that_has_an_operation_over_the_batch(operation, digits):
    class Plain(Between):
        def forward(self, inputs):
            x = operation(torch.relu(self.first(inputs)))
            return self.head(torch.relu(self.second(x)).mean((2, 3)))

    with pytest.raises(ModelError, match="depends on the others in its batch") as caught:
        check_independence(Plain(nn.Identity()), digits)
    assert caught.value.where == "Plain, before second"


@pytest.mark.parametrize(
    "layer", [nn.LSTM(8, 4), nn.TransformerEncoderLayer(8, 2, 16)], ids=["lstm", "attention"]
)
def test_layers_that_take_the_batch_for_the_sequence_are_found(layer, digits):
    with pytest.raises(ModelError, match="depends on the others in its batch") as caught:
        check_independence(Rows(layer), digits)
    assert caught.value.where.startswith("layer")


def test_what_is_drawn_at_random_in_eval_mode_is_told_apart(digits):
    class Noisy(nn.Module):
        def forward(self, inputs):
            return F.dropout(inputs, 0.5)

    with pytest.raises(ModelError, match="something else when it is asked about the same") as found:
        check_independence(Between(Noisy()), digits)
    assert found.value.where == "between (Noisy)"


def test_a_model_that_cannot_be_asked_about_one_sample_is_told(digits):
    class Paired(nn.Module):
        def forward(self, inputs):
            pairs = inputs.view(-1, 2, *inputs.shape[1:])
            return pairs.flip(1).flip(1).reshape(inputs.shape)

    with pytest.raises(ModelError, match="the model fails on a sample alone") as caught:
        check_independence(Between(Paired()), digits)
    assert caught.value.where == "between (Paired)"


def test_one_validation_sample_is_enough(digits):
    one = DatasetSource(TensorDataset(torch.randn(1, 1, 8, 8), torch.zeros(1).long()), fixed=True)
    splits = replace(digits, validation=one)
    check_independence(Between(nn.BatchNorm2d(8)), splits)
    with pytest.raises(ModelError, match="between"):
        check_independence(Between(nn.BatchNorm2d(8, track_running_stats=False)), splits)


def test_token_ids_are_asked_about_too(digits):
    class Reader(nn.Module):
        def __init__(self, over):
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.head, self.over = nn.Embedding(9, 4), nn.Linear(4, 3), over

        def forward(self, tokens):
            return self.head(torch.tanh(self.embed(tokens).mean(1)).cumsum(self.over))

    part = DatasetSource(TensorDataset(torch.randint(0, 9, (8, 6)), torch.zeros(8).long()))
    text = replace(digits, validation=part, input_shape=(6,), token_count=9)
    check_independence(Reader(over=1), text)
    with pytest.raises(ModelError, match="Reader, before head"):
        check_independence(Reader(over=0), text)


class Remembers(nn.Module):
    """Scales by what the first batch that it ever saw was."""

    def __init__(self):
        super().__init__()
        self.scale = None

    def forward(self, inputs):
        if self.scale is None:
            self.scale = inputs.abs().mean()
        return inputs / self.scale


class Sized(nn.Module):
    """Keeps from its first call what every other call would make, too."""

    def __init__(self):
        super().__init__()
        self.grid = None

    def forward(self, inputs):
        if self.grid is None:
            self.grid = torch.linspace(0, 1, inputs.shape[-1])
        return inputs + self.grid


def is_logits(outputs, samples, splits):
    assert outputs.shape == (samples, len(splits.class_names))


def test_what_is_kept_of_the_first_call_is_told_with_its_layer(digits):
    check_answers(Between(Sized()), digits, is_logits)
    with pytest.raises(ModelError, match=r"between \(Remembers\).*first asked about"):
        check_answers(Between(Remembers()), digits, is_logits)
