from types import SimpleNamespace

import pytest
import torch

from edgespiral.distill.settings import TrainSettings
from edgespiral.spiral.distilling import distil, teachers_of
from edgespiral.spiral.progress import Silent
from edgespiral.zoo import build


def bench_of(teacher, splits=None, who="original"):
    """As much of a run's bench as distillation looks at."""
    return SimpleNamespace(
        plan=SimpleNamespace(teacher=who),
        teacher=SimpleNamespace(model=teacher),
        splits=splits,
        listener=Silent(),
    )


@pytest.mark.parametrize(
    ("who", "expected"), [("original", [0]), ("previous", [1]), ("both", [0, 1])]
)
def test_the_plan_says_who_teaches(who, expected):
    first, last = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    bench = bench_of(first, who=who)
    found = teachers_of(bench, 1, last)
    assert [[first, last].index(model) for model in found] == expected
    assert teachers_of(bench, 0, first) == [first]


def test_a_finished_checkpoint_is_not_trained_again(teacher, digits, tmp_path):
    settings = TrainSettings.for_distillation(
        epochs=0.2, batch_size=32, learning_rate=0.05, temperature=4.0, alpha=0.9, seed=0
    )
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        student = build("resnet8", classes=10, input_shape=digits.input_shape)
        before = student.conv1.weight.clone()
        distil(
            bench_of(teacher, digits),
            student,
            settings,
            teachers=[teacher],
            checkpoint=tmp_path / "checkpoint.pt",
        )
        assert not torch.equal(student.conv1.weight, before)
        states.append(student.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
