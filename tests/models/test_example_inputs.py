from __future__ import annotations

import torch

from edgespiral.models.example_inputs import example_input


def test_an_example_is_the_same_each_time():
    assert torch.equal(example_input((3, 8, 8)), example_input((3, 8, 8)))
    assert example_input((3, 8, 8)).shape == (1, 3, 8, 8)


def test_token_ids_are_whole_and_in_range():
    tokens = example_input((500,), token_count=7)
    assert tokens.dtype == torch.int64
    assert set(tokens.unique().tolist()) == set(range(7))
