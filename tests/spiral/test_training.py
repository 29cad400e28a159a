"""What a plan leaves open of a training, and what follows for it."""

import pytest
from torch import nn

from edgespiral.core.errors import UsageError
from edgespiral.distill.own_training import USUAL
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.training import batch_of, check_training, training_settings
from edgespiral.tasks.base import Task
from edgespiral.tasks.classification import CLASSIFICATION
from edgespiral.tasks.speech_recognition import SpeechRecognition

CONVOLUTION = nn.Conv2d(3, 8, 3)


@pytest.mark.parametrize(
    ("samples", "batch_size"),
    [(10_000, 128), (9999, 32), (128, 32), (127, 16), (46, 8), (23, 4), (8, 2), (1, 2)],
)
def test_few_samples_make_small_batches(samples: int, batch_size: int) -> None:
    assert batch_of(Plan(speedup=2), samples, CONVOLUTION) == batch_size


@pytest.mark.parametrize(("epochs", "batch_size"), [(8, 32), (8.5, 128)])
def test_short_trainings_by_adamw_are_of_small_batches(epochs: float, batch_size: int) -> None:
    plan = Plan(speedup=2, epochs=epochs)
    assert batch_of(plan, 15_500, nn.LSTM(4, 4)) == batch_size
    assert batch_of(plan, 15_500, CONVOLUTION) == 128


def test_a_batch_that_is_asked_for_stays() -> None:
    assert batch_of(Plan(speedup=2, batch_size=128), 46, CONVOLUTION) == 128
    assert batch_of(Plan(speedup=2, batch_size=96), 46, CONVOLUTION) == 96


@pytest.mark.parametrize("accumulate", [1, 2, 8, 3])
def test_parts_of_a_small_batch_are_whole(accumulate: int) -> None:
    size = batch_of(Plan(speedup=2, accumulate=accumulate), 5, CONVOLUTION)
    assert size % accumulate == 0 or accumulate == 3
    assert size >= 2 * accumulate


def test_one_process_has_nobody_to_share_a_teacher_with() -> None:
    with pytest.raises(UsageError, match="nobody to share the teacher's weights with; give --dev"):
        check_training(
            Plan(speedup=2, shard_teacher=True), nn.Linear(2, 2), USUAL, 500, CLASSIFICATION
        )


@pytest.mark.parametrize(
    ("fields", "task", "temperature"),
    [
        ({}, CLASSIFICATION, 4.0),
        ({}, SpeechRecognition(), 1.0),
        ({"temperature": 4.0}, SpeechRecognition(), 4.0),
        ({"temperature": 2.0}, CLASSIFICATION, 2.0),
    ],
)
def test_a_task_has_its_own_temperature_unless_a_plan_says_one(
    fields: dict[str, float], task: Task, temperature: float
) -> None:
    plan = Plan.model_validate({"speedup": 2, **fields})
    assert training_settings(plan, nn.Linear(2, 2), 500, task).temperature == temperature
