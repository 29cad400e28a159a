"""Small networks of rows: of numbers and categories, of users and items, and autoencoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from edgespiral.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from edgespiral.core.batches import InputSpec
    from edgespiral.core.nested import Tensors

MLP, NEUMF, AUTOENCODER = "mlp-tabular", "neumf", "autoencoder"

WIDTHS, EMBEDDED = (512, 512, 256), 16
TOWER, FACTORS = (512, 256, 128), 64
# Of MLPerf Tiny's detector of odd sounds.
CODER, CODE = (128, 128, 128, 128), 8


def build(name: str, *, classes: int, specs: Tensors) -> nn.Module:
    """A freshly initialised model of rows, by name.

    Args:
        classes: number of outputs; 0 for one number.
        specs: an `InputSpec` for each input, as `DataSplits.specs` has them.

    Raises:
        UsageError: it takes other inputs.
    """
    if name == NEUMF:
        users, items = _ids(specs)
        return NeuMF(users, items)
    if name == AUTOENCODER:
        return autoencoder(_columns(name, specs))
    if not isinstance(specs, dict):
        only = "numbers" if specs.token_count is None else "categories"
        specs = {only: specs}
    if not specs or not specs.keys() <= {"numbers", "categories"}:
        raise _other(name, "inputs called numbers and categories, or one of them", specs)
    numbers, categories = specs.get("numbers"), specs.get("categories")
    if categories is None:
        return _body(_columns(name, numbers), WIDTHS, max(1, classes))
    codes = categories.token_count or 0
    if numbers is None:
        return Categories(codes, categories.shape[0], classes=max(1, classes))
    return TabularMLP(numbers.shape[0], codes, categories.shape[0], classes=max(1, classes))


def _body(width: int, widths: Sequence[int], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip((width, *widths), widths, strict=False):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


class Categories(nn.Module):
    """Codes of categories (N, columns), each embedded, into an MLP: (N, classes).

    Args:
        codes: how many there are, of all columns.
        columns: how many of these.
    """

    def __init__(self, codes: int, columns: int, *, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, EMBEDDED)
        self.body = _body(columns * EMBEDDED, WIDTHS, classes)

    def forward(self, categories: Tensor) -> Tensor:
        outputs: Tensor = self.body(self.embedding(categories).flatten(1))
        return outputs


class TabularMLP(nn.Module):
    """Numbers (N, columns) and embedded codes of categories (N, columns): (N, classes).

    Args:
        numbers: how many real columns.
        codes: how many codes, of all columns.
        columns: how many columns of categories.

    Example:
        >>> model = TabularMLP(3, 20, 4, classes=2)
        >>> model(torch.ones(5, 3), torch.zeros(5, 4, dtype=torch.int64)).shape
        torch.Size([5, 2])
    """

    def __init__(self, numbers: int, codes: int, columns: int, *, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, EMBEDDED)
        self.body = _body(numbers + columns * EMBEDDED, WIDTHS, classes)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        embedded = self.embedding(categories).flatten(1)
        outputs: Tensor = self.body(torch.cat([numbers, embedded], 1))
        return outputs


class NeuMF(nn.Module):
    """How much a user (N,) wants an item (N,), a logit (N, 1).

    A product of factors beside a tower of layers on embeddings of their own.

    Source: He et al. 2017, "Neural Collaborative Filtering", section 3.4.

    Args:
        users, items: how many ids there are of each.
    """

    def __init__(self, users: int, items: int) -> None:
        super().__init__()
        self.user_factors, self.user = nn.Embedding(users, FACTORS), nn.Embedding(users, FACTORS)
        self.item_factors, self.item = nn.Embedding(items, FACTORS), nn.Embedding(items, FACTORS)
        for table in (self.user_factors, self.item_factors, self.user, self.item):
            nn.init.normal_(table.weight, std=0.1)
        layers: list[nn.Module] = []
        for before, after in zip((2 * FACTORS, *TOWER), TOWER, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.tower = nn.Sequential(*layers)
        self.head = nn.Linear(FACTORS + TOWER[-1], 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        product = self.user_factors(user) * self.item_factors(item)
        deep = self.tower(torch.cat([self.user(user), self.item(item)], 1))
        outputs: Tensor = self.head(torch.cat([product, deep], 1))
        return outputs


def autoencoder(columns: int) -> nn.Sequential:
    """Rows (N, columns) through a code of 8 numbers and back.

    Source: Banbury et al. 2021, "MLPerf Tiny Benchmark", its anomaly detection.
    """
    widths = (*CODER, CODE, *CODER)
    return _body(columns, widths, columns)


def _columns(name: str, spec: Tensors) -> int:
    if isinstance(spec, (dict, tuple)) or spec.token_count is not None or len(spec.shape) != 1:
        raise _other(name, "one row of numbers a sample", spec)
    return int(spec.shape[0])


def _ids(specs: Tensors) -> tuple[int, int]:
    """How many users and items there are."""
    if not isinstance(specs, dict) or specs.keys() != {"user", "item"}:
        raise _other(NEUMF, "a user and an item", specs)
    users, items = specs["user"].token_count, specs["item"].token_count
    if users is None or items is None:
        raise _other(NEUMF, "ids of a user and an item", specs)
    return users, items


def _other(name: str, wanted: str, specs: Tensors) -> UsageError:
    entries = specs if isinstance(specs, dict) else {"the input": specs}
    if isinstance(specs, tuple):
        entries = {str(at): spec for at, spec in enumerate(specs)}
    has = ", ".join(f"{key} {_described(spec)}" for key, spec in entries.items())
    return UsageError(f"{name} takes {wanted}, and the data has {has}", where="model")


def _described(spec: InputSpec) -> str:
    return f"{spec.shape}" + ("" if spec.token_count is None else " of ids")
