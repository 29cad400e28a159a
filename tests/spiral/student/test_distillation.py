from pathlib import Path

import pytest
import torch

from edgespiral.core.listener import Silent
from edgespiral.distill.settings import TrainSettings
from edgespiral.models import build
from edgespiral.spiral.student.distillation import Distiller, Teaching
from edgespiral.tasks.classification import CLASSIFICATION


def distiller_of(teacher, splits, who="original", *, epochs=1.0, out=Path()):
    whole = TrainSettings(epochs=epochs, learning_rate=0.1, seed=7)
    return Distiller(splits, CLASSIFICATION, Silent(), teacher, who, whole, out / "outputs")


@pytest.mark.parametrize(
    ("who", "expected"), [("original", [0]), ("previous", [1]), ("both", [0, 1])]
)
def test_the_plan_says_who_teaches(digits, who, expected):
    first, last = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    distiller = distiller_of(first, digits, who)
    found = distiller.teaching(1, last, epochs=1.0)
    assert [[first, last].index(model) for model in found.teachers] == expected
    assert found.outputs is None
    assert distiller.teaching(0, first, epochs=1.0).teachers == [first]


def test_a_training_has_the_run_s_settings_at_a_share_of_its_rate(digits):
    distiller = distiller_of(torch.nn.Linear(1, 1), digits, epochs=4.0)
    expected = TrainSettings(epochs=0.5, learning_rate=0.05, seed=3)
    assert distiller.settings(epochs=0.5, seed=3, rate_share=0.5) == expected


def net(seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))


@pytest.mark.parametrize("who", ["original", "previous", "both"])
def test_teachers_of_stored_samples_are_asked_once(digits, tmp_path, who):
    plain = digits.unaugmented()
    models = {"original": [net(0)], "previous": [net(1)], "both": [net(0), net(1)]}[who]
    distiller = distiller_of(net(0), plain, who, epochs=2.0, out=tmp_path)
    first = distiller.teaching(1, net(1), epochs=2.0)
    (inputs, _) = next(iter(plain.train.epoch(batch_size=len(plain.train))))
    expected = torch.stack([model(inputs) for model in models])
    # In bf16 where the machine multiplies that.
    assert torch.allclose(first.outputs, expected, atol=0.05)
    assert len(list(distiller.folder.iterdir())) == len(models)
    last = net(1)
    for model in (last, distiller.original):
        model.forward = asked_again
    again = distiller.teaching(1, last, epochs=2.0)
    assert torch.equal(again.outputs, first.outputs)


def asked_again(inputs):
    # One tells how much an answer takes.
    if len(inputs) == 1:
        return torch.zeros(1, 10)
    raise AssertionError("its outputs are kept")


def test_live_teachers_keep_nothing(digits, tmp_path):
    distiller = distiller_of(net(0), digits.unaugmented(), "both", epochs=2.0, out=tmp_path)
    last = net(1)
    found = distiller.teaching_live(1, last)
    assert [id(model) for model in found.teachers] == [id(distiller.original), id(last)]
    assert found.outputs is None
    assert not distiller.folder.exists()


def test_random_views_and_single_passes_keep_nothing(digits, tmp_path):
    for splits, epochs in ((digits, 2.0), (digits.unaugmented(), 1.0)):
        distiller = distiller_of(net(0), splits, epochs=epochs, out=tmp_path)
        assert distiller.teaching(0, net(0), epochs=epochs).outputs is None
    assert not distiller.folder.exists()


@pytest.mark.parametrize(("who", "kept"), [("original", 1), ("previous", 0), ("both", 0)])
def test_a_turn_of_one_pass_keeps_what_later_turns_ask_for_alone(digits, tmp_path, who, kept):
    distiller = distiller_of(net(0), digits.unaugmented(), who, epochs=2.0, out=tmp_path)
    found = distiller.teaching(1, net(1), epochs=1.0)
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
        distiller_of(teacher, digits).train(
            student,
            settings,
            teaching=Teaching([teacher]),
            checkpoint=tmp_path / "checkpoint.pt",
        )
        assert not torch.equal(student.conv1.weight, before)
        states.append(student.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
