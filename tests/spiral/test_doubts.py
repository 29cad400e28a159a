from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from edgespiral.core.nested import count
from edgespiral.data import load
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.tensors import StoredRows
from edgespiral.distill.evaluate import score
from edgespiral.spiral.doubts import doubts_about, doubts_after
from edgespiral.tasks.binary import Binary
from edgespiral.tasks.classification import CLASSIFICATION
from edgespiral.tasks.multilabel import Multilabel
from edgespiral.tasks.recommendation import Recommendation

CLASSES = 10


class Told(nn.Module):
    """As sure of a class as its inputs say: (N, 1, 1, 2) of class and certainty."""

    def forward(self, inputs):
        answer, certainty = inputs.flatten(1).T
        return certainty[:, None] * torch.eye(CLASSES)[answer.long()]


def samples(size: int, wrong: int, certainty: float, seed: int) -> DatasetSource:
    """Samples sorted by class, of which `wrong` are told to be of the next one."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(size) * CLASSES // size
    answers = labels.clone()
    if wrong:
        answers[:: size // wrong] += 1
    sure = certainty + torch.rand(size, generator=generator)
    inputs = torch.stack([answers % CLASSES, sure], dim=1).reshape(size, 1, 1, 2).float()
    return DatasetSource(TensorDataset(inputs, labels), fixed=True)


@pytest.fixture
def splits():
    """Makes splits from a training and a validation part; the test part is not to be looked at."""
    digits = load("digits")
    return lambda train, validation: replace(digits, train=train, validation=validation, test=None)


def doubts_of(model, parts) -> tuple[str, ...]:
    """As a run asks, which knows the teacher's score by then."""
    on_validation = score(model, parts.validation, task=CLASSIFICATION, precision="fp32")
    return doubts_about(model, parts, CLASSIFICATION, on_validation)


def test_a_teacher_that_is_as_sure_of_validation_as_of_training_is_doubted(splits):
    seen = splits(samples(3000, 0, 12.0, seed=0), samples(400, 0, 12.0, seed=1))
    (doubt,) = doubts_of(Told(), seen)
    assert "100.0 % right of 400) as of training samples (100.0 % of 1000)" in doubt
    assert "--max-drop then means nothing" in doubt
    assert "\n" not in doubt


def test_one_that_errs_as_rarely_but_is_less_sure_has_not_seen_it(splits):
    assert not doubts_of(
        Told(), splits(samples(3000, 0, 12.0, seed=0), samples(400, 0, 10.0, seed=1))
    )


def test_neither_has_one_that_errs_more(splits):
    unseen = splits(samples(3000, 2, 12.0, seed=0), samples(400, 4, 12.0, seed=1))
    assert not doubts_of(Told(), unseen)


def test_of_one_that_has_learnt_little_by_heart_nothing_is_said(splits):
    same = splits(samples(3000, 300, 12.0, seed=0), samples(400, 40, 12.0, seed=1))
    assert not doubts_of(Told(), same)


def test_a_teacher_at_chance_is_told(splits):
    parts = splits(samples(3000, 0, 0.0, seed=0), samples(400, 0, 0.0, seed=1))
    silent = nn.Sequential(nn.Flatten(), nn.Linear(2, CLASSES))
    for parameter in silent.parameters():
        nn.init.zeros_(parameter)
    (doubt,) = doubts_of(silent, parts)
    assert "right on 10.0 % of 400 validation samples, always giving" in doubt
    assert "normalisation" in doubt


def test_a_mistaken_order_of_classes_is_at_chance_too(splits):
    parts = splits(samples(3000, 3000, 12.0, seed=0), samples(400, 400, 12.0, seed=1))
    (doubt,) = doubts_of(Told(), parts)
    assert "another order of the targets" in doubt


def test_of_a_score_that_leaves_no_question_nothing_is_asked(splits):
    class Asked(Told):
        passes = 0

        def forward(self, inputs):
            Asked.passes += 1
            return super().forward(inputs)

    parts = splits(samples(3000, 300, 12.0, seed=0), samples(400, 40, 12.0, seed=1))
    assert not doubts_about(Asked(), parts, CLASSIFICATION, 90.0)
    assert Asked.passes == 0
    # One at chance is asked about validation, and no sample that it was trained on.
    at_chance = splits(None, samples(400, 400, 12.0, seed=1))
    assert doubts_about(Asked(), at_chance, CLASSIFICATION, 0.0)
    assert Asked.passes > 0


def labelled(targets) -> StoredRows:
    """Samples of which the targets alone matter."""
    return StoredRows(torch.zeros(count(targets), 1), targets)


@pytest.mark.parametrize(
    ("validation", "test", "doubted"),
    [
        ((100.0, 300), (93.0, 400), True),
        ((93.5, 6000), (93.0, 10_000), False),
        ((98.5, 270), (99.2, 360), False),
        ((100.0, 50), (100.0, 50), False),
    ],
)
def test_a_test_split_that_is_told_far_worse_raises_the_doubt_at_the_end(validation, test, doubted):
    sources = [labelled(torch.zeros(samples)) for _, samples in (validation, test)]
    parts = replace(load("digits"), validation=sources[0], test=sources[1])
    doubts = doubts_after(validation[0], test[0], parts, CLASSIFICATION)
    assert bool(doubts) is doubted
    assert all(f"{test[0]:.2f} % on test" in line for line in doubts)


def test_what_chance_does_to_an_area_hangs_on_how_rare_the_rarer_class_is():
    even = labelled(torch.arange(2000) % 2)
    rare = labelled((torch.arange(2000) < 20).long())
    drawn = [
        doubts_after(95.0, 90.0, replace(load("digits"), validation=part, test=part), task)
        for task, part in ((Binary(), even), (Binary(), rare), (CLASSIFICATION, rare))
    ]
    # Of a share of 2,000 samples five points are far; of an area with 20 positives they are not.
    assert [bool(lines) for lines in drawn] == [True, False, True]


def test_of_a_metric_of_which_chance_is_not_known_nothing_is_said():
    part = labelled(torch.eye(100))
    parts = replace(load("digits"), validation=part, test=part)
    assert not doubts_after(99.0, 10.0, parts, Multilabel())


def test_hits_are_counted_by_queries():
    queries = torch.arange(20_000) // 100
    part = labelled({"label": (torch.arange(20_000) % 100 == 0).long(), "query": queries})
    assert Recommendation().standard_error(50.0, part) == pytest.approx(50 / 200**0.5)
    parts = replace(load("digits"), validation=part, test=part)
    assert not doubts_after(55.0, 50.0, parts, Recommendation())
    assert doubts_after(75.0, 50.0, parts, Recommendation())
