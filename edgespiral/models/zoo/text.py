"""Small classifiers of text: token ids (N, T) -> (N, classes).

Where a token fills sequences up, it counts for nothing: what they say of a text does not depend on
how far it is filled up. Sequences are filled up at their end.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from edgespiral.models.zoo.recurrent import TextLSTM

EMBEDDED, HIDDEN = 96, 96
LAYERS, HEADS, WIDTH, FEED_FORWARD = 2, 4, 96, 192
# What is added to the scores of a key that counts for nothing.
MASKED = -1e4


class PaddedRecurrent(nn.Module):
    """Embedding, a two-way LSTM or GRU, its mean over the tokens: (N, T) -> (N, classes).

    The recurrent layer has no biases, and what fills a sequence up is embedded as zeros. So the
    direction that begins at the end is still at rest when it comes to the last token, and that
    is what it would be without the padding. Steps after it are left out of the mean.

    Args:
        classes: number of logits.
        token_count: token ids are below it.
        padding: the token id that counts for nothing.
        kind: of recurrent layer.
    """

    def __init__(
        self, *, classes: int, token_count: int, padding: int, kind: type[nn.LSTM | nn.GRU]
    ) -> None:
        super().__init__()
        self.padding = padding
        self.embedding = nn.Embedding(token_count, EMBEDDED)
        self.rnn = kind(EMBEDDED, HIDDEN, batch_first=True, bidirectional=True, bias=False)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(2 * HIDDEN, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        mask = _mask(tokens, self.padding)
        outputs, _ = self.rnn(self.embedding(tokens) * mask)
        return cast("Tensor", self.fc(self.dropout(_mean(outputs, mask))))


class EncoderLayer(nn.Module):
    """Attention and a feed-forward network, each added to its normalised input: (N, T, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, FEED_FORWARD)
        self.relu = nn.ReLU()
        self.down = nn.Linear(FEED_FORWARD, WIDTH)
        self.dropout = nn.Dropout(0.1)

    def forward(self, inputs: Tensor, hidden_keys: Tensor) -> Tensor:
        """`hidden_keys` (N, 1, 1, T) is 0 where a key counts, far below 0 where it does not."""
        normal = self.attention_norm(inputs)
        queries, keys, values = (
            layer(normal).unflatten(2, (HEADS, WIDTH // HEADS)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = torch.matmul(queries, keys.transpose(2, 3)) * (WIDTH // HEADS) ** -0.5
        weights = torch.softmax(scores + hidden_keys, dim=-1)
        attended = torch.matmul(weights, values).transpose(1, 2).flatten(2)
        middle = inputs + self.dropout(self.out(attended))
        return cast(
            "Tensor", middle + self.dropout(self.down(self.relu(self.up(self.norm(middle)))))
        )


class TextTransformer(nn.Module):
    """Embedding with learned places, two encoder layers, their mean: (N, T) -> (N, classes).

    Source: Vaswani et al. 2017, with the norms first (Xiong et al. 2020).

    Args:
        classes: number of logits.
        token_count: token ids are below it.
        steps: T.
        padding: the token id that counts for nothing; None: all count.
    """

    def __init__(self, *, classes: int, token_count: int, steps: int, padding: int | None) -> None:
        super().__init__()
        self.padding = padding
        self.embedding = nn.Embedding(token_count, WIDTH)
        self.places = nn.Parameter(0.02 * torch.randn(1, steps, WIDTH))
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.fc = nn.Linear(WIDTH, classes)
        nn.init.normal_(self.embedding.weight, std=0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        mask = _mask(tokens, self.padding)
        hidden_keys = ((1.0 - mask) * MASKED).transpose(1, 2).unsqueeze(1)
        features = self.embedding(tokens) + self.places
        for layer in self.layers:
            features = layer(features, hidden_keys)
        return cast("Tensor", self.fc(_mean(self.norm(features), mask)))


def build(
    name: str, *, classes: int, token_count: int, steps: int, padding: int | None
) -> nn.Module:
    """A freshly initialised model of `MODELS`; see `TextTransformer` for the arguments."""
    if name == "transformer-text":
        return TextTransformer(
            classes=classes, token_count=token_count, steps=steps, padding=padding
        )
    if padding is None and name == "lstm-text":
        return TextLSTM(classes=classes, token_count=token_count)
    # Where nothing is padding, a token id that none is masks nothing.
    own = -1 if padding is None else padding
    kind = RECURRENT[name]
    return PaddedRecurrent(classes=classes, token_count=token_count, padding=own, kind=kind)


RECURRENT: dict[str, type[nn.LSTM | nn.GRU]] = {"gru-text": nn.GRU, "lstm-text": nn.LSTM}


def _mask(tokens: Tensor, padding: int | None) -> Tensor:
    """(N, T, 1): 1 where a token counts, else 0."""
    return tokens.ne(-1 if padding is None else padding).unsqueeze(2).float()


def _mean(features: Tensor, mask: Tensor) -> Tensor:
    """Mean of (N, T, C) over the tokens that count; 0 where there are none."""
    return (features * mask).sum(1) / mask.sum(1).clamp_min(1.0)
