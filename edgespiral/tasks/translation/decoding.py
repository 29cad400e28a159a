"""Greedy decoding: the likeliest word is taken, and is what the next step is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgespiral.core.records.parts import PredictByParts
from edgespiral.tasks.translation.halves import LOGITS, SOURCE, TARGET, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

    from edgespiral.tasks.base import Predict

ENCODER, STEP = "encoder", "decoder_step"


def decoded(predict: Predict, inputs: Mapping[str, Tensor], begin: int, end: int) -> Tensor:
    """What a model says of each source, as ids (N, L) with `end` behind the last word.

    Args:
        predict: a whole model, which is asked again for each word, or one of parts.
        inputs: `source` (N, S) and `target` (N, T), of which the size alone is looked at: at most
            T words are said.
        begin: the id that a sentence begins with.
        end: the id that ends it.

    Returns:
        int64 on the CPU; what comes after the first `end` of a row is `end`.
    """
    source, most = inputs[SOURCE], inputs[TARGET].shape[1]
    ids = torch.full((len(source), most + 1), end, dtype=torch.int64)
    ids[:, 0] = begin
    going = torch.ones(len(source), dtype=torch.bool)

    def so_far() -> Tensor:
        return ids[:, :most]

    if isinstance(predict, PredictByParts):
        words = _by_parts(predict, source, so_far)
    else:
        words = _by_whole(predict, source, so_far)
    for at, logits in enumerate(words):
        ids[going, at + 1] = logits.cpu().argmax(1)[going]
        going = going & (ids[:, at + 1] != end)
        if at + 1 == most or not bool(going.any()):
            break
    return ids[:, 1:]


def _by_parts(
    predict: PredictByParts, source: Tensor, so_far: Callable[[], Tensor]
) -> Iterator[Tensor]:
    """Logits (N, V) of one word after another."""
    encoded = predict.parts[ENCODER](source)
    at = 0
    while True:
        outputs = predict.parts[STEP]({TOKEN: so_far()[:, at : at + 1], **encoded})
        yield outputs[LOGITS][:, 0]
        encoded = encoded | {name: value for name, value in outputs.items() if name != LOGITS}
        at += 1


def _by_whole(predict: Predict, source: Tensor, so_far: Callable[[], Tensor]) -> Iterator[Tensor]:
    """The same of a model that takes all words at once, and looks at none that is to come."""
    at = 0
    while True:
        yield predict({SOURCE: source, TARGET: so_far()})[:, at]
        at += 1
