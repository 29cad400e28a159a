from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import edgespiral
from edgespiral import data, models
from edgespiral.core.errors import DataError, TrainingError, UsageError
from edgespiral.distill.own_training import (
    TrainingJob,
    TrainingStep,
    name_of,
    train_by_loop,
    training_of,
)
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


def same(model, other):
    return all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())


class Mixing(TrainingStep):
    """Mixes samples, has a loss, an optimizer, a schedule and a state of its own."""

    def __init__(self):
        self.seen = 0
        self.shares = []

    def optimizer(self, student, settings):
        return torch.optim.NAdam(student.parameters(), lr=settings.learning_rate)

    def rate(self, step, steps, settings):
        return settings.learning_rate * 0.5 ** (step // 10)

    def view(self, inputs, targets):
        share = float(torch.rand(()))
        self.shares.append(share)
        return share * inputs + (1 - share) * inputs.flip(0), targets

    def loss(self, student, batch: edgespiral.Batch, usual):
        self.seen += len(batch.inputs)
        outputs = student(batch.inputs)
        return usual(outputs, batch) + 1e-3 * self.seen / 1000 * outputs.square().mean()

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


def stop_at(step):
    def heard(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    return heard


def test_the_usual_step_is_the_trainer_s_own(splits):
    plain, handed = fresh(), fresh()
    train(plain, splits, SETTINGS, Objective(CLASSIFICATION, teachers=[fresh(1)]))
    train(
        handed, splits, SETTINGS, Objective(CLASSIFICATION, teachers=[fresh(1)], own=TrainingStep())
    )
    assert same(plain, handed)


def test_a_step_of_ones_own_goes_on_bit_for_bit(splits, tmp_path):
    settings, path = replace(SETTINGS, learning_rate=1e-3), tmp_path / "c.pt"
    whole, resumed, plain = fresh(), fresh(), fresh()
    first, last = Mixing(), Mixing()
    train(whole, splits, settings, Objective(CLASSIFICATION, own=first))
    with pytest.raises(KeyboardInterrupt):
        train(
            fresh(),
            splits,
            settings,
            Objective(CLASSIFICATION, own=Mixing()),
            checkpoint=path,
            progress=stop_at(10),
        )
    train(resumed, splits, settings, Objective(CLASSIFICATION, own=last), checkpoint=path)
    assert same(whole, resumed)
    assert last.seen == first.seen == 64 * 27
    assert last.shares == first.shares[10:]
    train(plain, splits, settings, Objective(CLASSIFICATION))
    assert not same(whole, plain)


def test_views_of_ones_own_are_shown_to_teachers_too(splits):
    assert Mixing().alters_views
    assert not TrainingStep().alters_views
    seen = []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = fresh(1)

        def forward(self, inputs):
            seen.append(inputs)
            return self.inner(inputs)

    class Black(TrainingStep):
        def view(self, inputs, targets):
            return torch.zeros_like(inputs), targets

    train(
        fresh(),
        splits,
        replace(SETTINGS, epochs=0.2),
        Objective(CLASSIFICATION, teachers=[Watching()], own=Black()),
    )
    assert len(seen) == 4
    assert not any(inputs.any() for inputs in seen)


@pytest.mark.parametrize("method", ["optimizer", "rate", "loss", "state_dict"])
def test_a_step_that_fails_is_one_line(splits, method):
    with pytest.raises(TrainingError, match=r"Failing: .*fails.*KeyError: 'size'") as caught:
        train(fresh(), splits, SETTINGS, Objective(CLASSIFICATION, own=_with(method)))
    assert "\n" not in str(caught.value)


def _with(method):
    kind = type("Failing", (TrainingStep,), {method: lambda *_: {}["size"]})
    return kind()


def plain_loop(job: TrainingJob):
    """A loop as people write it."""
    optimizer = torch.optim.SGD(job.student.parameters(), lr=0.05, momentum=0.9)
    for inputs, targets in job.batches():
        loss = job.loss(job.forward(inputs), targets, job.teach(inputs))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        job.after_step(loss)


def by_loop(loop, student, splits, settings=SETTINGS, **options):
    train_by_loop(loop, student, splits, settings, task=CLASSIFICATION, **options)
    return student


def test_a_loop_is_handed_what_it_needs_and_trains(splits):
    jobs, heard = [], []

    def loop(job):
        jobs.append(job)
        assert job.student.training
        plain_loop(job)

    teacher = fresh(1)
    student = by_loop(loop, fresh(), splits, teachers=[teacher], progress=heard.append)
    (job,) = jobs
    assert isinstance(job, edgespiral.TrainingJob)
    assert (job.steps, job.teachers, len(job.train)) == (27, (teacher,), len(splits.train))
    assert [progress.step for progress in heard] == [10, 20]
    assert not same(student, fresh())
    assert not student.training


def test_a_loop_sees_the_batches_that_the_trainer_would_show(splits):
    shown = []

    class Noting(TrainingStep):
        def loss(self, student, batch, usual):
            shown.append(batch.targets)
            return usual(student(batch.inputs), batch)

    train(fresh(), splits, SETTINGS, Objective(CLASSIFICATION, own=Noting()))
    looped = []

    def loop(job):
        looped.extend(targets for _, targets in job.batches(first=5))
        plain_loop(job)

    by_loop(loop, fresh(), splits)
    assert len(looped) == job_steps() - 5
    assert all(torch.equal(a, b) for a, b in zip(looped, shown[5:], strict=True))


def job_steps():
    return 27


def test_what_a_loop_returns_is_taken(splits):
    def loop(job):
        model = models.build("resnet8", classes=10, input_shape=(1, 8, 8)).to(job.device)
        model.load_state_dict(job.student.state_dict())
        nn.init.ones_(model.fc.bias)
        return model

    assert bool((by_loop(loop, fresh(), splits).fc.bias == 1).all())


def test_a_loop_that_is_through_is_not_run_again(splits, tmp_path):
    path = tmp_path / "c.pt"
    student = by_loop(plain_loop, fresh(), splits, checkpoint=path)

    def again(_job):
        raise AssertionError("it was through")

    again.__qualname__, again.__module__ = plain_loop.__qualname__, plain_loop.__module__
    assert same(by_loop(again, fresh(), splits, checkpoint=path), student)


def test_zeros_stay_zero_in_a_loop_that_forgets_them(splits):
    student = fresh()
    masks = {"fc.weight": torch.rand(student.fc.weight.shape) > 0.5}

    def loop(job):
        job.student.fc.weight.data.fill_(1.0)

    by_loop(loop, student, splits, masks=masks)
    assert torch.equal(student.fc.weight != 0, masks["fc.weight"])


def raising(job):
    job.student.fc.weight.data.fill_(1.0)
    raise SystemExit(3)


def refusing(job):
    job.student.fc.weight.data.fill_(1.0)
    raise DataError("no such samples")


def wrapping(job):
    job.student.fc = nn.Sequential(job.student.fc)


def diverging(job):
    job.student.fc.weight.data.fill_(torch.nan)


@pytest.mark.parametrize(
    ("loop", "problem"),
    [
        (raising, "raising: the training loop fails: SystemExit: 3"),
        (wrapping, "wrapping: it changed the student's layers"),
        (diverging, "weights that are not finite"),
        (lambda _: None, "leaves the student's weights as they were"),
        (lambda _: 0.93, "the training loop returns a float"),
        (lambda _: nn.Linear(1, 1), "what the training loop returns is not the student"),
    ],
)
def test_a_loop_that_goes_wrong_is_one_line(splits, loop, problem):
    student = fresh()
    with pytest.raises(TrainingError, match=problem) as caught:
        by_loop(loop, student, splits)
    assert "\n" not in str(caught.value)
    if loop in (raising, diverging):
        assert same(student, fresh())


def test_a_mask_of_infinite_numbers_is_no_weight_that_diverged(splits):
    student = fresh()
    student.register_buffer("mask", torch.full((2, 2), -torch.inf))

    def loop(job):
        job.student.fc.weight.data.fill_(1.0)

    by_loop(loop, student, splits)
    assert bool((student.fc.weight == 1).all())


def test_a_refusal_of_the_loops_own_passes_and_leaves_the_weights(splits):
    student = fresh()
    with pytest.raises(DataError, match="no such samples"):
        by_loop(refusing, student, splits)
    assert same(student, fresh())


def test_ctrl_c_passes_through_a_loop(splits):
    def loop(_job):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        by_loop(loop, fresh(), splits)


def test_a_file_names_a_step_or_a_loop(tmp_path):
    path = tmp_path / "own_way.py"
    path.write_text(
        "import edgespiral\n"
        "class Step(edgespiral.TrainingStep):\n    pass\n"
        "def loop(job):\n    pass\n"
        "number = 3\n"
        "class Other:\n    pass\n"
    )
    assert training_of(f"{path}:Step").name == "own_way:Step"
    assert name_of(training_of(f"{path}:loop")) == "own_way:loop"
    assert training_of(None).name == ""
    for name, problem in (("number", "no function 'number'"), ("Other", "a type is no way")):
        with pytest.raises(UsageError, match=problem):
            training_of(f"{path}:{name}")
    with pytest.raises(UsageError, match="train: a int is no way to train"):
        training_of(3)
