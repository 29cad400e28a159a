from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
import torch

from edgespiral.core.listener import Silent
from edgespiral.distill.optimizers import width_of
from edgespiral.distill.own_training import TrainingStep
from edgespiral.distill.settings import TrainSettings
from edgespiral.models import build
from edgespiral.spiral.student.distillation import Distiller, Teaching
from edgespiral.spiral.student.learning_rate import (
    FACTORS,
    LEAST_STEPS,
    RateSearch,
    _Shown,
    expected_rate,
)
from edgespiral.tasks.classification import CLASSIFICATION

# Of 36 steps a pass: as few as give a trial of the least length.
EPOCHS = 23.0
STEPS = round(EPOCHS * 36)
SHORT, LONG = LEAST_STEPS, 2 * LEAST_STEPS


class OwnStep(TrainingStep):
    """A step of the user's."""


@pytest.fixture
def search(teacher, digits, tmp_path):
    """Makes the search for the rate of a small student of digits."""

    def make(*, epochs=EPOCHS, batch_size=32, optimizer="sgd", **parts):
        torch.manual_seed(0)
        student = build("resnet8", classes=10, input_shape=digits.input_shape)
        usual = TrainSettings(epochs=epochs, batch_size=batch_size, learning_rate=0.1, seed=5)
        settings = replace(usual, optimizer=optimizer)
        distiller = Distiller(
            digits.unaugmented(), CLASSIFICATION, Silent(), teacher, "original", settings, tmp_path,
            **parts,
        )  # fmt: skip
        teaching = Teaching([teacher])
        return RateSearch(distiller, student, settings, teaching, {}, tmp_path / "rates.json")

    return make


def told(losses):
    """What an interrupted trial has written: losses by factor and steps."""
    return json.dumps(
        {
            f"{factor * expected_rate('sgd', steps, batch_size=32):.6g} {steps}": loss
            for (factor, steps), loss in losses.items()
        }
    )


def known(search, short, long):
    """The rate found where all losses are known, for each factor over few and more steps."""
    losses = {(factor, SHORT): loss for factor, loss in zip(FACTORS, short, strict=True)}
    losses |= {(factor, LONG): loss for factor, loss in zip(FACTORS, long, strict=True)}
    search.path.write_text(told(losses))
    return search.run()


def test_the_rule_grows_with_the_steps_up_to_the_default():
    rates = [expected_rate("sgd", steps) for steps in (10, 100, 700, 10_000, 10**6)]
    assert rates == sorted(rates)
    assert rates[2] == pytest.approx(0.02)
    assert rates[-1] == pytest.approx(0.1)
    adam = [expected_rate("adamw", steps) for steps in (10, 100, 700, 10**6)]
    assert adam == sorted(adam)
    assert adam[-1] < expected_rate("sgd", 700)


def test_small_batches_take_less_of_a_long_training_by_sgd():
    few, many = (partial(expected_rate, "sgd", steps) for steps in (10, 1_000))
    assert few(batch_size=32) == few(batch_size=128)
    assert many(batch_size=8) == many(batch_size=32) == pytest.approx(0.006)
    assert many(batch_size=256) == many(batch_size=128)
    assert expected_rate("adamw", 10**6, batch_size=32) == expected_rate("adamw", 10**6)


def test_adam_s_rate_falls_with_the_width_where_that_is_large():
    narrow, usual, wide = (expected_rate("adamw", 700, width) for width in (32, 96, 768))
    assert narrow == usual == pytest.approx(8 * wide)
    assert expected_rate("sgd", 700, 768) == expected_rate("sgd", 700, 32)
    attention = torch.nn.TransformerEncoderLayer(64, 4, 256)
    assert width_of(attention) == 64
    # Rows of an embedding are looked up, however many there are.
    assert width_of(torch.nn.Sequential(torch.nn.Embedding(10**4, 8), torch.nn.Linear(32, 2))) == 32
    assert width_of(torch.nn.Identity()) == 1


def test_a_trial_tries_each_rate_and_the_better_ones_for_longer(search):
    found = search().run()
    lengths = [(trial.factor, trial.steps) for trial in found.tried]
    assert lengths[: len(FACTORS)] == [(factor, SHORT) for factor in FACTORS]
    by_loss = sorted(found.tried[: len(FACTORS)], key=lambda trial: trial.loss)
    assert lengths[len(FACTORS) :] == [(trial.factor, LONG) for trial in by_loss[:2]]
    assert len({trial.loss for trial in found.tried}) == len(found.tried)
    assert found.rate in [
        pytest.approx(f * expected_rate("sgd", STEPS, batch_size=32)) for f in FACTORS
    ]
    assert f"after {LONG} steps" in found.reason


def test_a_trial_leaves_the_student_as_it_was_and_repeats(search):
    first = search()
    before = {name: value.clone() for name, value in first.student.state_dict().items()}
    found = first.run()
    assert all(torch.equal(v, before[n]) for n, v in first.student.state_dict().items())
    first.path.unlink()
    assert search().run() == found


def test_an_interrupted_trial_goes_on(search, monkeypatch):
    found = search().run()
    tried = json.loads(search().path.read_text())
    last = list(tried)[-1]
    kept = {key: tried[key] for key in tried if key != last}
    search().path.write_text(json.dumps(kept))
    trainings = []
    train = "edgespiral.spiral.student.learning_rate.train"
    from edgespiral.distill import trainer

    def counted(*arguments, **options):
        trainings.append(1)
        return trainer.train(*arguments, **options)

    monkeypatch.setattr(train, counted)
    assert search().run() == found
    assert len(trainings) == 1
    # What is no loss is none that was tried.
    for damaged in ("low", float("nan"), [1.0]):
        search().path.write_text(json.dumps(tried | {last: damaged}))
        assert search().run() == found


@pytest.mark.parametrize(
    ("short", "long", "factor", "reason"),
    [
        ([3.0, 2.0, 1.0], [3.0, 2.0, 1.0], 3.0, "3 times what suits"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 1 / 3, "0.33 times what suits"),
        ([2.0, 1.0, None], [2.0, 1.0, None], 1.0, "1 times what suits"),
        # Better over few steps is not better over more.
        ([1.0, 1.1, 3.0], [1.2, 1.0, 3.0], 1.0, "1 times what suits"),
        ([0.99, 1.0, 3.0], [0.99, 1.0, 3.0], 1.0, "too close to tell"),
        ([None, None, None], [None, None, None], 1 / 3, "every rate that was tried diverged"),
        ([2.0, None, None], [2.0, None, None], 1 / 3, "diverged"),
    ],
)
def test_the_best_factor_is_taken_and_the_reason_told(search, short, long, factor, reason):
    found = known(search(), short, long)
    assert found.rate == pytest.approx(factor * expected_rate("sgd", STEPS, batch_size=32))
    assert reason in found.reason


@pytest.mark.parametrize(("loss", "factor"), [(0.89, 1.0), (0.87, 2.0)])
def test_a_higher_rate_of_adamw_s_is_to_be_clearly_better(search, loss, factor):
    by_adamw = search(optimizer="adamw")
    rate = partial(expected_rate, "adamw", width=width_of(by_adamw.student))
    losses = {1 / 3: 2.0, 1.0: 1.0, 2.0: loss}
    by_adamw.path.write_text(
        json.dumps(
            {f"{f * rate(n):.6g} {n}": own for f, own in losses.items() for n in (SHORT, LONG)}
        )
    )
    found = by_adamw.run()
    assert [trial.factor for trial in found.tried[:3]] == [1 / 3, 1.0, 2.0]
    assert found.rate == pytest.approx(factor * rate(STEPS))


def test_a_rate_that_diverges_is_out(search):
    bench = search()
    with torch.no_grad():
        bench.student.fc.weight.fill_(1e38)
    found = bench.run()
    assert {trial.loss for trial in found.tried} == {None}
    assert "every rate that was tried diverged" in found.reason


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"epochs": 4.0}, "144 steps are too few to try rates in 7% of them"),
        ({"batch_size": 256, "epochs": 300.0}, "1167 training samples are too few"),
        ({"own": OwnStep()}, "the training is one's own"),
    ],
)
def test_what_is_too_small_for_a_trial_is_told_with_the_rate_taken(search, options, reason):
    asked = search(**options)
    found = asked.run()
    steps = round(asked.settings.epochs * (1167 // asked.settings.batch_size))
    size = asked.settings.batch_size
    assert found.rate == expected_rate("sgd", steps, batch_size=size)
    assert found.reason.startswith(reason)
    assert found.tried == ()


def test_no_sample_is_both_trained_on_and_judged_by(digits):
    source = digits.unaugmented().train
    held, shown = _Shown(source, 7, 32, 0, 16), _Shown(source, 7, 32, 16, 20)
    samples = [
        torch.cat([inputs.flatten(1) for inputs, _ in part.epoch(batch_size=32, seed=1)])
        for part in (held, shown)
    ]
    assert [len(part) for part in samples] == [len(held), len(shown)] == [512, 640]
    order = source.order(7)
    everything = next(iter(source.epoch(batch_size=len(source))))[0].flatten(1)
    assert torch.equal(torch.cat(samples), everything[order[: 512 + 640]])
