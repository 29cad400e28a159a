from __future__ import annotations

import pytest
import torch

from edgespiral.core.batches import InputSpec
from edgespiral.core.errors import UsageError
from edgespiral.models import build
from edgespiral.models.calling import call

NUMBERS, CODES = InputSpec((4,)), InputSpec((3,), 20, "int64")
ROWS, IDS = torch.randn(5, 4), torch.randint(20, (5, 3))


def made(name, specs, classes=2):
    return build(name, classes=classes, input_shape=(), specs=specs).eval()


def test_a_table_s_network_takes_numbers_categories_or_both():
    both = {"numbers": ROWS, "categories": IDS}
    specs = {"numbers": NUMBERS, "categories": CODES}
    assert call(made("mlp-tabular", specs), both).shape == (5, 2)
    assert call(made("mlp-tabular", NUMBERS), ROWS).shape == (5, 2)
    assert call(made("mlp-tabular", CODES, classes=0), IDS).shape == (5, 1)
    by_shape = build("mlp-tabular", classes=3, input_shape=(4,))
    assert call(by_shape, ROWS).shape == (5, 3)


def test_a_recommender_takes_a_user_and_an_item():
    specs = {"user": InputSpec((), 7, "int64"), "item": InputSpec((), 9, "int64")}
    pairs = {"user": torch.tensor([0, 6]), "item": torch.tensor([8, 1])}
    assert call(made("neumf", specs, classes=0), pairs).shape == (2, 1)


def test_an_autoencoder_gives_rows_back():
    assert call(made("autoencoder", NUMBERS), ROWS).shape == (5, 4)


@pytest.mark.parametrize(
    ("name", "specs", "told"),
    [
        ("neumf", NUMBERS, r"neumf takes a user and an item, and the data has the input \(4,\)"),
        ("autoencoder", CODES, r"one row of numbers a sample, .* \(3,\) of ids"),
        ("mlp-tabular", {"image": NUMBERS}, r"numbers and categories, .* has image \(4,\)"),
        ("mlp-tabular", InputSpec((3, 8, 8)), "one row of numbers"),
    ],
)
def test_other_inputs_are_refused(name, specs, told):
    with pytest.raises(UsageError, match=told):
        made(name, specs)
