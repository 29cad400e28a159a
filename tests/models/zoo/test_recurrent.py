from __future__ import annotations

import torch

from edgespiral import models
from edgespiral.models.saved import trace


def test_text_and_sound_become_logits_and_can_be_traced():
    text = models.build("lstm-text", classes=5, input_shape=(24,), token_count=60).eval()
    sound = models.build("gru-sound", classes=5, input_shape=(1, 18, 31)).eval()
    for model, inputs in (
        (text, torch.randint(0, 60, (3, 24))),
        (sound, torch.randn(3, 1, 18, 31)),
    ):
        logits = model(inputs)
        assert logits.shape == (3, 5)
        assert torch.equal(trace(model)(inputs), logits)


def test_the_order_of_tokens_and_frames_matters():
    torch.manual_seed(0)
    text = models.build("lstm-text", classes=5, input_shape=(24,), token_count=60).eval()
    sound = models.build("gru-sound", classes=5, input_shape=(1, 16, 32)).eval()
    tokens, frames = torch.randint(0, 60, (1, 24)), torch.randn(1, 1, 16, 32)
    assert not torch.allclose(text(tokens), text(tokens.roll(5, 1)), atol=1e-4)
    assert not torch.allclose(sound(frames), sound(frames.roll(8, 3)), atol=1e-4)
