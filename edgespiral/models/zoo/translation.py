"""A small encoder-decoder with attention: ids (N, S) and (N, T) -> logits (N, T, V).

What fills a source up counts for nothing; at places of `target` that are filled up the logits are
0. Both are filled up at their end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from edgespiral.core.errors import UsageError
from edgespiral.models.zoo.text import MASKED

if TYPE_CHECKING:
    from edgespiral.core.nested import Tensors

EMBEDDED, HIDDEN, KEYS, JOINED = 128, 192, 64, 192


class Translator(nn.Module):
    """A two-way recurrent encoder, and a one-way decoder that attends to what it made.

    The encoder has no biases, and what fills a source up is embedded as zeros: the direction that
    begins at the end is still at rest when it comes to the last word. The decoder begins with what
    a layer makes of the encoder's mean.

    Source: Luong et al. 2015, "Effective Approaches to Attention-based Neural Machine Translation",
    its global attention without input feeding, with keys of their own.

    Args:
        source_tokens, target_tokens: ids are below them.
        padding: the id that fills both up.
        kind: of recurrent layers.

    Example:
        >>> model = Translator(20, 30, padding=0)
        >>> model(torch.ones(2, 5, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64)).shape
        torch.Size([2, 7, 30])
    """

    def __init__(
        self,
        source_tokens: int,
        target_tokens: int,
        *,
        padding: int,
        kind: type[nn.GRU | nn.LSTM] = nn.GRU,
    ) -> None:
        super().__init__()
        self.padding, self.is_lstm = padding, kind is nn.LSTM
        self.source_embedding = nn.Embedding(source_tokens, EMBEDDED)
        self.encoder = kind(EMBEDDED, HIDDEN, batch_first=True, bidirectional=True, bias=False)
        self.bridge = nn.Linear(2 * HIDDEN, HIDDEN)
        self.keys = nn.Linear(2 * HIDDEN, KEYS)
        self.target_embedding = nn.Embedding(target_tokens, EMBEDDED)
        self.decoder = kind(EMBEDDED, HIDDEN, batch_first=True)
        self.query = nn.Linear(HIDDEN, KEYS)
        self.of_state = nn.Linear(HIDDEN, JOINED)
        self.of_context = nn.Linear(2 * HIDDEN, JOINED)
        self.dropout = nn.Dropout(0.2)
        self.words = nn.Linear(JOINED, target_tokens)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = source.ne(self.padding).unsqueeze(2).float()
        memory, _ = self.encoder(self.dropout(self.source_embedding(source)) * mask)
        mean = (memory * mask).sum(1) / mask.sum(1).clamp_min(1.0)
        start = torch.tanh(self.bridge(mean)).unsqueeze(0)
        hidden_keys = ((1.0 - mask) * MASKED).transpose(1, 2)
        keys = self.keys(memory).transpose(1, 2)
        embedded = self.dropout(self.target_embedding(target))
        states, _ = self.decoder(embedded, (start, start) if self.is_lstm else start)
        scores = torch.matmul(self.query(states), keys) * KEYS**-0.5
        context = torch.matmul(torch.softmax(scores + hidden_keys, dim=-1), memory)
        joined = torch.tanh(self.of_state(states) + self.of_context(context))
        counts = target.ne(self.padding).unsqueeze(2).float()
        return cast("Tensor", self.words(self.dropout(joined)) * counts)


def build(name: str, *, specs: Tensors, padding: int | None) -> nn.Module:
    """A freshly initialised model of `catalog.TRANSLATION`.

    Args:
        name: of the catalog.
        specs: an `InputSpec` each for `source` and `target`.
        padding: the id that fills sentences up.

    Raises:
        UsageError: the data has other inputs.
    """
    is_pair = isinstance(specs, dict) and specs.keys() == {"source", "target"}
    counts = [spec.token_count for spec in specs.values()] if is_pair else [None]
    if None in counts or padding is None:
        raise UsageError(
            f"{name} takes ids of a source and a target, and the data has none",
            where="model",
            hint="--data translation:FILE.tsv --task translation",
        )
    kind = nn.LSTM if name.startswith("lstm") else nn.GRU
    source, target = specs["source"].token_count, specs["target"].token_count
    return Translator(source, target, padding=padding, kind=kind)
