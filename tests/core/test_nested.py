from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from edgespiral.core import nested


@dataclass
class Boxes:
    places: torch.Tensor
    scores: torch.Tensor | None = None


def test_what_people_hand_over_becomes_plain_tuples_and_dicts():
    one = torch.ones(2, 3)
    assert nested.plain(one) is one
    assert nested.plain([one, (one, None)]) == (one, (one,))
    assert nested.plain({"boxes": Boxes(one), "none": None}) == {"boxes": {"places": one}}
    kept = Boxes(one)
    assert nested.plain([kept], is_leaf=lambda value: isinstance(value, Boxes)) == (kept,)


def test_names_of_leaves_say_where_they_are():
    one = torch.ones(1)
    assert nested.leaves(one) == {"": one}
    assert nested.leaves(None) == {}
    assert list(nested.leaves({"maps": (one, one), "age": one})) == ["maps.0", "maps.1", "age"]


@pytest.mark.parametrize(
    "value",
    [torch.arange(3), (torch.arange(3),), {"a": torch.arange(3), "b": (torch.arange(3),) * 2}],
    ids=["tensor", "tuple", "dict"],
)
def test_a_form_is_taken_out_and_filled_again(value):
    form = nested.template(value)
    back = nested.filled(form, iter(nested.leaves(value).values()))
    assert nested.template(back) == form
    assert all(
        torch.equal(one, other)
        for one, other in zip(
            nested.leaves(back).values(), nested.leaves(value).values(), strict=True
        )
    )


def test_samples_are_picked_joined_and_parted_in_each_tensor():
    value = {"image": torch.arange(6).view(3, 2), "age": torch.arange(3)}
    assert nested.count(value) == 3
    last = nested.rows(value, torch.tensor([2]))
    assert (last["image"].tolist(), last["age"].tolist()) == ([[4, 5]], [2])
    parts = nested.apart(value, 2)
    assert [nested.count(part) for part in parts] == [2, 1]
    assert torch.equal(nested.joined(parts)["image"], value["image"])
    assert nested.rows(None, slice(1)) is None


def test_only_real_numbers_become_single_precision():
    wide = nested.as_float({"x": torch.ones(1, dtype=torch.double), "id": torch.ones(1).long()})
    assert (wide["x"].dtype, wide["id"].dtype) == (torch.float32, torch.int64)


def test_sizes_are_told_without_the_batch():
    assert nested.shapes(torch.ones(2, 3, 4)) == "(3, 4)"
    assert nested.shapes({"image": torch.ones(2, 3), "age": torch.ones(2)}) == "image (3,), age ()"
    assert nested.shapes(("text",)) == "0 a str"
