"""What a plan leaves open of a training, and what follows for it."""

import pytest
from torch import nn

from edgespiral.core.errors import UsageError
from edgespiral.distill.own_training import USUAL
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.training import batch_of, check_training


@pytest.mark.parametrize(
    ("samples", "batch_size"), [(512, 128), (511, 64), (46, 8), (23, 4), (8, 2), (1, 2)]
)
def test_few_samples_make_small_batches(samples: int, batch_size: int) -> None:
    assert batch_of(Plan(speedup=2), samples) == batch_size


def test_a_batch_that_is_asked_for_stays() -> None:
    assert batch_of(Plan(speedup=2, batch_size=128), 46) == 128
    assert batch_of(Plan(speedup=2, batch_size=96), 46) == 96


@pytest.mark.parametrize("accumulate", [1, 2, 8, 3])
def test_parts_of_a_small_batch_are_whole(accumulate: int) -> None:
    size = batch_of(Plan(speedup=2, accumulate=accumulate), 5)
    assert size % accumulate == 0 or accumulate == 3
    assert size >= 2 * accumulate


def test_one_process_has_nobody_to_share_a_teacher_with() -> None:
    with pytest.raises(UsageError, match="nobody to share the teacher's weights with; give --dev"):
        check_training(Plan(speedup=2, shard_teacher=True), nn.Linear(2, 2), USUAL, 500)
