"""A model and its data with the tokens that the data use, and without all others.

A vocabulary that was made for more than the data at hand is most of a small model's file: its
embedding has a row a token. Rows that no sample ever asks for can go without changing an output.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from edgespiral.core.batches import changed, first_inputs
from edgespiral.core.errors import ModelError, UsageError
from edgespiral.core.user_code import user_code
from edgespiral.data.files.vocabulary import UNKNOWN, VOCABULARY, Vocabulary
from edgespiral.data.guard import guarded
from edgespiral.models.modes import evaluating

if TYPE_CHECKING:
    from torch import Tensor

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors

BATCH_SIZE = 1024


def with_used_tokens(model: nn.Module, splits: DataSplits) -> tuple[nn.Module, DataSplits]:
    """`model` and `splits` with those tokens alone that training and validation have.

    Padding and the unknown token stay. A test sample's token that no other part has becomes the
    unknown one; without such a token those of the test split stay, too. `model` stays as it was.

    Raises:
        UsageError: the data have no vocabulary.
        ModelError: no embedding of the model has a row a token, or one shares its rows with another
            layer.
    """
    text = splits.files.get(VOCABULARY)
    if text is None or splits.token_count is None:
        raise UsageError(
            "the data have no vocabulary", where="--vocabulary", hint="leave it out, or give text:"
        )
    tokens = text.splitlines()
    unknown = tokens.index(UNKNOWN) if UNKNOWN in tokens else None
    ids = _used(splits, unknown)
    places = {number: place for place, number in enumerate(ids.tolist())}
    other = 0 if unknown is None else places[unknown]
    numbers = torch.tensor([places.get(number, other) for number in range(splits.token_count)])
    files = {**splits.files, VOCABULARY: Vocabulary(tuple(tokens[i] for i in ids.tolist())).text}

    def renumbered(ids_before: Any, targets: Tensors) -> tuple[Tensors, Tensors]:  # noqa: ANN401 (one input, which is a tensor)
        return numbers[ids_before], targets

    smaller = replace(
        changed(splits, renumbered),
        token_count=len(ids),
        padding=None if splits.padding is None else int(numbers[splits.padding]),
        files=files,
    )
    pruned = _with_rows(model, ids, splits.token_count)
    _check_same(model, pruned, splits, numbers)
    return pruned, guarded(smaller)


def _used(splits: DataSplits, unknown: int | None) -> Tensor:
    """Ids that are used, ascending."""
    parts = [splits.train, splits.validation, *([splits.test] if unknown is None else [])]
    always = [number for number in (splits.padding, unknown) if number is not None]
    ids = [torch.tensor(always, dtype=torch.int64)]
    for part in parts:
        ids += [torch.unique(tokens) for tokens, _ in part.epoch(batch_size=BATCH_SIZE)]
    used: Tensor = torch.unique(torch.cat(ids))
    return used


def _with_rows(model: nn.Module, ids: Tensor, token_count: int) -> nn.Module:
    smaller = copy.deepcopy(model)
    embeddings = {
        name: layer
        for name, layer in smaller.named_modules()
        if isinstance(layer, nn.Embedding) and layer.num_embeddings == token_count
    }
    if not embeddings:
        raise ModelError(
            f"no embedding of it has {token_count} rows, one a token",
            where="--vocabulary",
            hint="leave it out",
        )
    for name, layer in embeddings.items():
        sharing = [
            other
            for other, parameter in smaller.named_parameters(remove_duplicate=False)
            if parameter is layer.weight and other != f"{name}.weight"
        ]
        if sharing:
            raise ModelError(
                f"{name} shares its rows with {sharing[0]}",
                where="--vocabulary",
                hint="leave it out",
            )
        layer.weight = nn.Parameter(layer.weight.detach()[ids].clone())
        layer.num_embeddings = len(ids)
        if layer.padding_idx is not None:
            place = (ids == layer.padding_idx).nonzero()
            layer.padding_idx = int(place[0]) if len(place) else None
    return smaller


def _check_same(model: nn.Module, pruned: nn.Module, splits: DataSplits, numbers: Tensor) -> None:
    """Refuse a model that does more with its ids than to look rows up.

    Raises:
        ModelError: it says something else of the first validation samples by their new ids.
    """
    tokens = first_inputs(splits)
    failed = "the model fails on tokens by other numbers"
    with user_code(ModelError, failed, where="--vocabulary", hint="leave it out"), torch.no_grad():
        with evaluating(model):
            expected = model(tokens)
        with evaluating(pruned):
            outputs = pruned(numbers[tokens])
    if not torch.allclose(outputs, expected, rtol=0, atol=1e-5 * float(expected.abs().max())):
        raise ModelError(
            "what the model says depends on the tokens' numbers, and not on their rows alone",
            where="--vocabulary",
            hint="leave it out",
        )
