"""Encoder-decoders in two halves: the same function, a word at a time."""

import pytest
import torch
from torch import nn

from edgespiral.core.errors import ModelError
from edgespiral.models.zoo.translation import Translator
from edgespiral.tasks.translation.halves import halves_of, proven, steps

SOURCE = torch.tensor([[3, 4, 5, 0, 0], [6, 7, 8, 9, 2]])
TARGET = torch.tensor([[2, 5, 6, 0], [2, 7, 8, 9]])
INPUTS = {"source": SOURCE, "target": TARGET}


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_a_word_at_a_time_is_all_words_at_once(kind):
    torch.manual_seed(0)
    model = Translator(10, 12, padding=0, kind=kind).eval()
    halves = halves_of(model)
    proven(model, halves, INPUTS)
    run = steps(halves, INPUTS)
    said = torch.cat([logits for logits, _ in run], 1)
    torch.testing.assert_close(said, model(**INPUTS), rtol=1e-4, atol=1e-5)
    assert len(halves.states) == (2 if kind is nn.LSTM else 1)
    # Samples come first in all that goes from part to part.
    assert {len(value) for _, asked in run for value in asked.values()} == {2}


class Plain(nn.Module):
    """A decoder that begins with zeros, with parameters that neither half computes."""

    def __init__(self):
        super().__init__()
        self.source, self.target = nn.Embedding(10, 6), nn.Embedding(12, 6)
        self.scale = nn.Parameter(torch.full((6,), 2.0))
        self.first, self.second = nn.GRU(6, 6, batch_first=True), nn.LSTM(6, 5, batch_first=True)
        self.words = nn.Linear(5, 12)

    def forward(self, source, target):
        meant = self.source(source).mean(1, keepdim=True)
        states, _ = self.first((self.target(target) + meant) * self.scale.exp())
        return self.words(self.second(states)[0])


def test_layers_that_begin_with_zeros_have_states_too():
    model = Plain().eval()
    halves = halves_of(model)
    assert halves.states == ("state_0", "state_1", "cell_1")
    proven(model, halves, INPUTS)
    assert set(halves.encoder(SOURCE)) == {"encoded_mean", "state_0", "state_1", "cell_1"}


class LooksBack(Plain):
    """What it says of a word depends on all words before it, by way of a sum."""

    def forward(self, source, target):
        meant = self.source(source).mean(1, keepdim=True)
        states, _ = self.first(self.target(target).cumsum(1) + meant)
        return self.words(self.second(states)[0])


class OneInput(Plain):
    def forward(self, tokens):
        return self.words(self.second(self.first(self.target(tokens))[0])[0])


class Sized(Plain):
    def forward(self, source, target):
        states, _ = self.first(self.target(target) + self.source(source).mean(1, keepdim=True))
        return self.words(self.second(states)[0]) / source.size(1)


class Branches(Plain):
    def forward(self, source, target):
        return super().forward(source, target) if source.sum() > 0 else self.words(target)


class Fails(Plain):
    def forward(self, source, target):
        return self.words(self.first(self.target(target) + self.source(source))[0])


class Named(Plain):
    def forward(self, source, target):
        return {"logits": super().forward(source, target)}


def test_what_fails_on_samples_or_returns_no_logits_is_told():
    with pytest.raises(ModelError, match="Fails: the model fails on 2 samples"):
        proven(Fails().eval(), halves_of(Fails().eval()), INPUTS)
    with pytest.raises(ModelError, match="the model returns a dict, not one tensor of logits"):
        halves_of(Named())


def test_what_remembers_in_another_way_is_refused():
    model = LooksBack().eval()
    with pytest.raises(ModelError, match="a word at a time its decoder says something else"):
        proven(model, halves_of(model), INPUTS)
    model = Sized().eval()
    with pytest.raises(ModelError, match="needs of the source is no tensor: encoded_size"):
        proven(model, halves_of(model), INPUTS)
    with pytest.raises(ModelError, match="takes tokens, not source and target"):
        halves_of(OneInput())
    with pytest.raises(ModelError, match="cannot be traced"):
        halves_of(Branches())
