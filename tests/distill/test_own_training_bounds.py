"""What a step or a loop of the user's leaves behind is held to what it was to do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from edgespiral import data, models
from edgespiral.core.errors import TrainingError, UsageError
from edgespiral.distill.own_training import TrainingJob, TrainingStep, train_by_loop
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.tasks.classification import CLASSIFICATION

SETTINGS = TrainSettings(epochs=1.5, batch_size=64, learning_rate=0.05, seed=3, precision="fp32")


@pytest.fixture(scope="module")
def splits():
    return data.load("digits").unaugmented()


def fresh(seed=0):
    torch.manual_seed(seed)
    return models.build("resnet8", classes=10, input_shape=(1, 8, 8))


def plain_loop(job: TrainingJob):
    optimizer = torch.optim.SGD(job.student.parameters(), lr=0.05)
    for inputs, targets in job.batches():
        loss = job.loss(job.forward(inputs), targets, job.teach(inputs))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        job.after_step(loss)


def by_loop(loop, student, splits, settings, **options):
    train_by_loop(loop, student, splits, settings, task=CLASSIFICATION, **options)
    return student


def attribute(**methods):
    return type("Odd", (TrainingStep,), methods)()


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"loss": lambda *_: 0.5}, "its loss fails at step 1: TypeError: it returns a float"),
        ({"loss": lambda _, student, batch, __: student(batch.inputs)}, r"a tensor \(64, 10\)"),
        (
            {"loss": lambda _, student, batch, usual: usual(student(batch.inputs), batch).detach()},
            "does not depend on the student",
        ),
        ({"rate": lambda *_: float("nan")}, "it returns nan, which is no learning rate"),
        ({"rate": lambda *_: "fast"}, "its rate fails at step 1"),
        ({"view": lambda _, inputs, targets: (inputs[:3], targets)}, "its view fails at step 1"),
        (
            {"optimizer": lambda _, student, __: torch.optim.LBFGS(student.parameters())},
            "optimizer",
        ),
        ({"state_dict": lambda _: {"last": SETTINGS}}, "a TrainSettings in it is neither a tensor"),
    ],
)
def test_what_a_step_returns_is_held_to_what_it_is_to_be(splits, own, told):
    with pytest.raises(TrainingError, match=told):
        train(
            fresh(),
            splits,
            replace(SETTINGS, epochs=0.2),
            Objective(CLASSIFICATION, own=attribute(**own)),
        )


def test_an_optimizer_of_another_network_is_refused(splits):
    own = attribute(optimizer=lambda *_: torch.optim.SGD(fresh(2).parameters(), lr=0.1))
    with pytest.raises(UsageError, match="Odd: its optimizer changes no weight of the student"):
        train(fresh(), splits, SETTINGS, Objective(CLASSIFICATION, own=own))


@pytest.mark.parametrize("changed", ["weights", "mode"])
def test_a_step_or_a_loop_that_changes_the_teacher_is_refused(splits, changed):
    teacher, settings = fresh(1), replace(SETTINGS, epochs=0.1)

    def change():
        if changed == "mode":
            teacher.train()
        else:
            teacher.fc.bias.data.add_(1.0)

    def loss(_, student, batch, usual):
        change()
        return usual(student(batch.inputs), batch)

    def loop(job):
        plain_loop(job)
        change()

    with pytest.raises(TrainingError, match="it changes the teacher"):
        train(
            fresh(),
            splits,
            settings,
            Objective(CLASSIFICATION, teachers=[teacher], own=attribute(loss=loss)),
        )
    with pytest.raises(TrainingError, match="it changes the teacher"):
        by_loop(loop, fresh(), splits, settings, teachers=[fresh(1), teacher])


def test_what_no_file_of_the_student_would_have_is_refused(splits):
    def hooked(_, student, settings):
        student.fc.register_forward_hook(lambda _, __, outputs: 2 * outputs)
        return TrainingStep().optimizer(student, settings)

    def doubled(job):
        plain_loop(job)
        job.student.double()

    settings = replace(SETTINGS, epochs=0.1)
    with pytest.raises(TrainingError, match=r"a hook or another forward on .* layer 'fc'"):
        train(fresh(), splits, settings, Objective(CLASSIFICATION, own=attribute(optimizer=hooked)))
    with pytest.raises(TrainingError, match="or the kind of their numbers"):
        by_loop(doubled, fresh(), splits, settings)


def test_weights_that_a_loop_froze_are_trained_by_the_next_one(splits):
    def loop(job):
        plain_loop(job)
        job.student.requires_grad_(requires_grad=False)

    student = by_loop(loop, fresh(), splits, replace(SETTINGS, epochs=0.1))
    assert all(parameter.requires_grad for parameter in student.parameters())
