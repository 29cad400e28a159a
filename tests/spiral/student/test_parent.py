"""Training for sparse scales, on a real network and its data."""

from __future__ import annotations

import pytest
import torch

from edgespiral.distill.batchnorm import batchnorm_scales
from edgespiral.distill.evaluate import score
from edgespiral.spiral.context import Stopwatch
from edgespiral.spiral.plan import load_plan
from edgespiral.spiral.student.parent import Parents, slimming_epochs
from edgespiral.tasks.classification import CLASSIFICATION

ASKED = {"model": "resnet20", "data": "digits", "speedup": 2.0, "batch_size": 64, "epochs": 8.0}


def spread(scales: list[torch.Tensor]) -> float:
    """How unequal the scales of a layer are, on average over layers."""
    return float(
        torch.stack([(s / s.mean()).std() for s in (s.detach().abs() for s in scales)]).mean()
    )


def parents_of(context):
    plan = context.plan
    epochs = slimming_epochs(plan.criterion, plan.epochs, plan.turns)
    return Parents(context.scorer, context.distiller, epochs, context.out)


@pytest.fixture
def slimming(a_bench):
    def make(listener=None, **more):
        plan = load_plan(None, {**ASKED, "criterion": "l1-reg", **more})
        return a_bench(plan, listener)

    return make


def test_scales_grow_apart_and_the_teacher_stays_as_it_was(slimming, stops_at, digits, tmp_path):
    context = slimming()
    before = {key: value.clone() for key, value in context.teacher.model.state_dict().items()}
    watch = Stopwatch()
    parent = parents_of(context).parent(0, context.teacher, watch, next_turn=1)
    assert set(watch.seconds) == {"slim"}
    assert parent.model is context.teacher.model
    assert all(torch.equal(v, before[k]) for k, v in parent.model.state_dict().items())
    scales = batchnorm_scales(parent.source.model)
    assert spread(scales) > 1.2 * spread(batchnorm_scales(parent.model))
    assert score(parent.source.model, digits.validation, task=CLASSIFICATION) > 90
    assert all(bool((scores > 0).all()) for scores in parent.importance.channels.values())

    # Stopped and gone on with, it comes to the same weights.
    (tmp_path / "teacher" / "slimmed.safetensors").unlink()
    stopped = slimming(stops_at("training for sparse scales"))
    with pytest.raises(KeyboardInterrupt):
        parents_of(stopped).parent(0, stopped.teacher, Stopwatch(), next_turn=1)
    assert (tmp_path / "teacher" / "slimming.pt").exists()
    gone_on = parents_of(context).parent(0, context.teacher, Stopwatch(), next_turn=1)
    again = gone_on.source.model.state_dict()
    first = parent.source.model.state_dict()
    assert all(torch.equal(value, first[name]) for name, value in again.items())
    assert not (tmp_path / "teacher" / "slimming.pt").exists()


def test_other_criteria_train_nothing(a_bench, tmp_path):
    context = a_bench(load_plan(None, ASKED))
    parent = parents_of(context).parent(0, context.teacher, Stopwatch(), next_turn=1)
    assert parent.source is context.teacher
    assert not list(tmp_path.iterdir())


def test_its_epochs_leave_most_of_every_turn():
    epochs = {
        criterion: [slimming_epochs(criterion, 8.0, turns) for turns in ("auto", 1, 7)]
        for criterion in ("fisher", "l1-reg")
    }
    assert epochs["fisher"] == [0.0, 0.0, 0.0]
    assert epochs["l1-reg"] == pytest.approx([0.8, 0.8, 0.2])


@pytest.mark.parametrize("who", ["original", "previous", "both"])
def test_the_teacher_is_never_the_one_with_sparse_scales(slimming, who):
    context = slimming(teacher=who)
    original = context.teacher.model
    assert context.distiller.teaching(0, original, epochs=1.0).teachers == [original]
    student = torch.nn.Identity()
    expected = {"original": [original], "previous": [student], "both": [original, student]}
    assert context.distiller.teaching(1, student, epochs=1.0).teachers == expected[who]
