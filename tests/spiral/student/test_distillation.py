from types import SimpleNamespace

import pytest
import torch

from edgespiral.core.listener import Silent
from edgespiral.distill.own_training import USUAL
from edgespiral.distill.settings import TrainSettings
from edgespiral.models import build
from edgespiral.spiral.student.distillation import (
    Teaching,
    distil,
    kept_folder,
    teaching_live,
    teaching_of,
)
from edgespiral.tasks.classification import CLASSIFICATION


def bench_of(teacher, splits, who="original", *, epochs=1.0, out=None):
    """As much of a run's context as distillation looks at."""
    return SimpleNamespace(
        plan=SimpleNamespace(teacher=who, epochs=epochs),
        teacher=SimpleNamespace(model=teacher),
        splits=splits,
        listener=Silent(),
        out=out,
        task=CLASSIFICATION,
        training=USUAL,
    )


@pytest.mark.parametrize(
    ("who", "expected"), [("original", [0]), ("previous", [1]), ("both", [0, 1])]
)
def test_the_plan_says_who_teaches(digits, who, expected):
    first, last = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    context = bench_of(first, digits, who)
    found = teaching_of(context, 1, last, epochs=1.0)
    assert [[first, last].index(model) for model in found.teachers] == expected
    assert found.outputs is None
    assert teaching_of(context, 0, first, epochs=1.0).teachers == [first]


def net(seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))


@pytest.mark.parametrize("who", ["original", "previous", "both"])
def test_teachers_of_stored_samples_are_asked_once(digits, tmp_path, who):
    plain = digits.unaugmented()
    models = {"original": [net(0)], "previous": [net(1)], "both": [net(0), net(1)]}[who]
    context = bench_of(net(0), plain, who, epochs=2.0, out=tmp_path)
    first = teaching_of(context, 1, net(1), epochs=2.0)
    (inputs, _) = next(iter(plain.train.epoch(batch_size=len(plain.train))))
    expected = torch.stack([model(inputs) for model in models])
    # In bf16 where the machine multiplies that.
    assert torch.allclose(first.outputs, expected, atol=0.05)
    assert len(list(kept_folder(context).iterdir())) == len(models)
    last = net(1)
    for model in (last, context.teacher.model):
        model.forward = asked_again
    again = teaching_of(context, 1, last, epochs=2.0)
    assert torch.equal(again.outputs, first.outputs)


def asked_again(_inputs):
    raise AssertionError("its outputs are kept")


def test_live_teachers_keep_nothing(digits, tmp_path):
    context = bench_of(net(0), digits.unaugmented(), "both", epochs=2.0, out=tmp_path)
    last = net(1)
    found = teaching_live(context, 1, last)
    assert [id(model) for model in found.teachers] == [id(context.teacher.model), id(last)]
    assert found.outputs is None
    assert not kept_folder(context).exists()


def test_random_views_and_single_passes_keep_nothing(digits, tmp_path):
    for splits, epochs in ((digits, 2.0), (digits.unaugmented(), 1.0)):
        context = bench_of(net(0), splits, epochs=epochs, out=tmp_path)
        assert teaching_of(context, 0, net(0), epochs=epochs).outputs is None
    assert not kept_folder(context).exists()


@pytest.mark.parametrize(("who", "kept"), [("original", 1), ("previous", 0), ("both", 0)])
def test_a_turn_of_one_pass_keeps_what_later_turns_ask_for_alone(digits, tmp_path, who, kept):
    context = bench_of(net(0), digits.unaugmented(), who, epochs=2.0, out=tmp_path)
    found = teaching_of(context, 1, net(1), epochs=1.0)
    assert (0 if found.outputs is None else len(found.outputs)) == kept


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
            teaching=Teaching([teacher]),
            checkpoint=tmp_path / "checkpoint.pt",
        )
        assert not torch.equal(student.conv1.weight, before)
        states.append(student.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
