import pytest
import torch
from torch import nn

from edgespiral import data
from edgespiral.core.errors import ModelError
from edgespiral.distill.evaluate import score
from edgespiral.tasks.classification import CLASSIFICATION


class Constant(nn.Module):
    """Says class `answer` whatever it sees."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.seen_training = []

    def forward(self, inputs):
        self.seen_training.append(self.training or torch.is_grad_enabled())
        return torch.eye(10)[self.answer].expand(len(inputs), 10)


def test_accuracy_counts_every_sample_once():
    source = data.load("digits").test
    labels = torch.cat([labels for _, labels in source.epoch(batch_size=50)])
    for batch_size in (1, 7, 250, 1000):
        expected = 100 * float((labels == 3).float().mean())
        found = score(Constant(3), source, batch_size=batch_size, task=CLASSIFICATION)
        assert found == pytest.approx(expected)


def test_evaluation_takes_no_gradients_and_puts_the_mode_back():
    model = Constant(3).train()
    score(model, data.load("digits").test, task=CLASSIFICATION)
    assert model.training
    assert not any(model.seen_training)


def test_a_layer_that_was_frozen_stays_in_the_mode_it_was_in():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).train()
    model[1].eval()
    score(model, data.load("digits").test, task=CLASSIFICATION)
    assert [layer.training for layer in model] == [True, False, True]


class Overflows(nn.Module):
    """Says something of every sample but the brightest, of which it says what is no number."""

    def __init__(self, value, largest):
        super().__init__()
        self.value, self.largest = value, largest

    def forward(self, inputs):
        brightness = inputs.flatten(1).sum(1, keepdim=True)
        outputs = torch.eye(10)[3].expand(len(inputs), 10)
        return torch.where(brightness >= self.largest, torch.tensor(self.value), outputs)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_score_is_read_of_outputs_that_are_no_numbers(value):
    source = data.load("digits").validation
    largest = max(float(x.flatten(1).sum(1).max()) for x, _ in source.epoch(batch_size=90))
    with pytest.raises(ModelError, match="the model's outputs are NaN or infinite"):
        score(Overflows(value, largest), source, task=CLASSIFICATION)
    assert score(Overflows(value, largest + 1), source, task=CLASSIFICATION) > 0
