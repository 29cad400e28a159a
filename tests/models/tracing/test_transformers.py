from __future__ import annotations

import pytest
import torch
from torch import nn

from edgespiral.models.saved import trace
from edgespiral.models.tracing.transformers import plain_forward


class Both(nn.Module):
    """An encoder with a mask, and a decoder that reads what it makes."""

    def __init__(self, *, batch_first, norm_first):
        super().__init__()
        options = {"dim_feedforward": 24, "batch_first": batch_first, "norm_first": norm_first}
        encoder = nn.TransformerEncoderLayer(16, 2, **options)
        self.encoder = nn.TransformerEncoder(encoder, 2, nn.LayerNorm(16), False)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, **options), 1)
        self.register_buffer("later", torch.triu(torch.ones(6, 6), 1).bool())

    def forward(self, x):
        return self.decoder(x, self.encoder(x, mask=self.later))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_traced_transformer_computes_what_it_did(batch_first, norm_first):
    model = Both(batch_first=batch_first, norm_first=norm_first).eval()
    inputs = torch.randn(6, 6, 16)
    torch.testing.assert_close(trace(model)(inputs), model(inputs))


def test_a_whole_transformer_is_followed_too():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Transformer(16, 2, 1, 1, 24, batch_first=True)

        def forward(self, x):
            return self.net(x, x.flip(1))

    model, inputs = Whole().eval(), torch.randn(2, 6, 16)
    torch.testing.assert_close(trace(model)(inputs), model(inputs))


def test_other_layers_keep_their_forward():
    assert plain_forward(nn.Linear(2, 2)) is None
