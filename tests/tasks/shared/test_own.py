from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from edgespiral import tasks
from edgespiral.core.errors import DataError, ModelError
from edgespiral.core.records.metric import Metric
from edgespiral.tasks import TASKS, is_built_in, resolved
from edgespiral.tasks.base import Task
from edgespiral.tasks.shared.own import OwnTask

ONES, ZEROS = torch.ones(2, 3), torch.zeros(2, 3)


class Distance(Task):
    """Mean distance; each method fails, or returns what it is told to."""

    metric = Metric(name="distance", unit="", higher_is_better=False)
    counted, main_output, output_name, temperature = "rows", "far", "metres", 2.0
    part_names = ("far", "near")
    raises: BaseException | None = None
    answer: object = None

    def _result(self, value):
        if self.raises is not None:
            raise self.raises
        return value if self.answer is None else self.answer

    def sample_losses(self, outputs, targets):
        return self._result(F.l1_loss(outputs, targets, reduction="none").mean(1))

    divergence = agreement = rightness = sample_losses

    def score_of(self, pairs):
        return self._result(float(torch.cat([a - b for a, b in pairs]).mean()))

    beside = (Metric(name="median", unit=""),)

    def scores_beside(self, pairs):
        return (self._result(0.5),)

    def chance(self, targets):
        return self._result(0.5)

    @property
    def scores_rightness(self):
        return self._result(True)

    def decisions(self, targets):
        return self._result(len(targets))

    def standard_error(self, score, source):
        return self._result(0.5)

    def allowed_difference(self, expected, samples, turned_share):
        return self._result(0.25)

    def targets_of(self, outputs):
        return self._result(outputs)

    def configured(self, options):
        self._result(None)
        return self

    def fitted(self, splits):
        self._result(None)
        return self, splits

    def postprocessing(self):
        return self._result(None)

    def prepared(self, model, splits):
        self._result(None)
        return model, self

    def pictures(self, inputs, outputs, targets, splits):
        return self._result(None)

    def texts(self, answers, targets, splits):
        return self._result([("a", "b")])

    def parts(self, model, inputs):
        return self._result(())

    def answers(self, predict, inputs):
        return self._result(predict(inputs))

    def target_problem(self, targets, splits):
        return self._result((0, "no number"))

    def check_data(self, splits):
        self._result(None)

    def check_outputs(self, outputs, samples, splits):
        self._result(None)


class Source:
    def epoch(self, *, batch_size):
        assert batch_size
        yield ONES, ZEROS


CALLS = {
    "sample_losses": lambda task: task.sample_losses(ONES, ZEROS),
    "divergence": lambda task: task.divergence(ONES, ZEROS),
    "agreement": lambda task: task.agreement(ONES, ZEROS),
    "rightness": lambda task: task.rightness(ONES, ZEROS),
    "loss": lambda task: task.loss(ONES, ZEROS),
    "distance": lambda task: task.distance(ONES, ZEROS[None], 2.0),
    "score_of": lambda task: task.score_of([(ONES, ZEROS)]),
    "score": lambda task: task.score(lambda inputs: inputs, Source()),
    "scored": lambda task: task.scored(lambda inputs: inputs, Source()),
    "scores_beside": lambda task: task.scores_beside([(ONES, ZEROS)]),
    "chance": lambda task: task.chance(ZEROS),
    "scores_rightness": lambda task: task.scores_rightness,
    "decisions": lambda task: task.decisions(ZEROS),
    "allowed_difference": lambda task: task.allowed_difference(1.0, 2, 0.1),
    "standard_error": lambda task: task.standard_error(1.0, Source()),
    "targets_of": lambda task: task.targets_of(ONES),
    "postprocessing": lambda task: task.postprocessing(),
    "configured": lambda task: task.configured({}).metric,
    "fitted": lambda task: task.fitted("splits")[1],
    "prepared": lambda task: task.prepared(None, None)[0],
    "pictures": lambda task: task.pictures(ONES, ONES, ZEROS, None),
    "texts": lambda task: task.texts(ONES, ZEROS, None),
    "parts": lambda task: task.parts(None, ONES),
    "answers": lambda task: task.answers(lambda inputs: inputs, ONES),
    "target_problem": lambda task: task.target_problem(ZEROS, None),
    "check_data": lambda task: task.check_data(None),
    "check_outputs": lambda task: task.check_outputs(ONES, 2, None),
}


def test_every_method_of_a_task_has_its_boundary():
    methods = {name for name in vars(Task) if not name.startswith("_")}
    attributes = {
        "metric",
        "beside",
        "counted",
        "timed",
        "main_output",
        "output_name",
        "part_names",
        "temperature",
        "asks_in_order",  # told by which methods a task has of its own
    }
    assert methods - attributes == set(CALLS)
    assert set(CALLS) <= set(vars(OwnTask))


@pytest.mark.parametrize("method", CALLS)
def test_a_task_answers_through_its_boundary_as_it_does_itself(method):
    task = Distance()
    own = OwnTask(task)
    call = CALLS[method]
    assert str(call(own)) == str(call(task))
    assert (own.metric, own.counted, own.main_output) == (task.metric, "rows", "far")
    assert (own.beside, own.output_name, own.temperature) == (task.beside, "metres", 2.0)
    assert own.part_names == task.part_names == ("far", "near")


@pytest.mark.parametrize("raised", [KeyError("mask"), SystemExit(3), StopIteration(), OSError(28)])
@pytest.mark.parametrize("method", CALLS)
def test_whatever_a_task_raises_is_one_error_that_names_it(method, raised):
    task = Distance()
    task.raises = raised
    place = "( on sample 0 of the batch| at samples 0 to 1)?"
    # A generator makes RuntimeError of a StopIteration in it.
    raises = rf"(RuntimeError: generator raised )?{type(raised).__name__}"
    wanted = rf"^task Distance: {method} failed{place}: {raises}"
    with pytest.raises(ModelError, match=wanted):
        CALLS[method](OwnTask(task))


class Picky(Distance):
    """Fails on samples of which a value is below 0."""

    def sample_losses(self, outputs, targets):
        if bool((outputs < 0).any()):
            raise ValueError("a distance below 0")
        return super().sample_losses(outputs, targets)

    divergence = agreement = rightness = sample_losses

    def score_of(self, pairs):
        return float(torch.cat([self.sample_losses(*pair) for pair in pairs]).mean())


@pytest.mark.parametrize("method", ["sample_losses", "divergence", "agreement", "rightness"])
def test_the_sample_that_fails_is_named(method):
    outputs = torch.tensor([[1.0], [2.0], [-1.0], [-2.0]])
    wanted = f"^task Picky: {method} failed on sample 2 of the batch: ValueError: a distance below"
    with pytest.raises(ModelError, match=wanted):
        getattr(OwnTask(Picky()), method)(outputs, torch.zeros(4, 1))


def test_the_samples_that_a_score_failed_at_are_named():
    batches = [(ONES, ZEROS), (ONES, ZEROS), (-ONES, ZEROS), (ONES, ZEROS)]
    with pytest.raises(ModelError, match="score_of failed at samples 4 to 5: ValueError: a dist"):
        OwnTask(Picky()).score_of(batches)
    assert OwnTask(Picky()).score_of(batches[:2]) == 1.0


def test_a_batch_that_fails_as_a_whole_names_no_sample():
    class Crowded(Distance):
        def sample_losses(self, outputs, targets):
            if len(outputs) > 1:
                raise MemoryError("too many")
            return super().sample_losses(outputs, targets)

    with pytest.raises(ModelError, match="task Crowded: sample_losses failed: MemoryError: too"):
        OwnTask(Crowded()).sample_losses(ONES, ZEROS)


def test_our_own_errors_and_ctrl_c_pass():
    for raised in (DataError("x"), KeyboardInterrupt()):
        task = Distance()
        task.raises = raised
        with pytest.raises(type(raised)):
            CALLS["score"](OwnTask(task))


NO_FIGURES = [math.nan, math.inf, -math.inf, 1j, "80 %", [1.0], torch.ones(2), None]


@pytest.mark.parametrize(
    "method", ["score_of", "score", "scored", "scores_beside", "allowed_difference"]
)
@pytest.mark.parametrize("answer", NO_FIGURES, ids=str)
def test_what_is_no_figure_is_refused(method, answer):
    class Wrong(Distance):
        def _result(self, _value):
            return answer

    with pytest.raises(ModelError, match=f"task Wrong: {method} failed"):
        CALLS[method](OwnTask(Wrong()))


@pytest.mark.parametrize("method", ["score_of", "score", "scored", "scores_beside"])
@pytest.mark.parametrize("answer", [-20.0, 140.0])
def test_a_percentage_that_cannot_be_is_refused(method, answer):
    class Determination(Distance):
        metric = Metric(name="R2")
        beside = (Metric(name="R2 of logarithms"),)

        def _result(self, _value):
            return (answer,) if method == "scores_beside" else answer

        def scores_beside(self, pairs):
            return (answer,)

    with pytest.raises(ModelError, match=f"{method} failed.*from 0 to 100 %"):
        CALLS[method](OwnTask(Determination()))


@pytest.mark.parametrize("method", ["sample_losses", "divergence", "agreement", "rightness"])
@pytest.mark.parametrize("answer", [0.5, torch.tensor(0.5), torch.ones(2, 3)], ids=str)
def test_what_is_not_one_value_a_sample_is_refused(method, answer):
    task = Distance()
    task.answer = answer
    with pytest.raises(
        ModelError, match=f"task Distance: {method} failed on sample 0 of the batch: .*it"
    ):
        CALLS[method](OwnTask(task))


def test_a_divergence_of_finite_outputs_is_finite():
    task = Distance()
    task.answer = torch.tensor([0.5, math.nan])
    with pytest.raises(ModelError, match=r"divergence failed: .*not finite, for outputs that are"):
        OwnTask(task).divergence(ONES, ZEROS)
    # What the model does is for others to tell.
    assert len(OwnTask(task).divergence(ONES * math.inf, ZEROS)) == 2


def test_what_is_listed_among_tasks_is_one():
    assert "shared" not in TASKS.built_in()
    assert all(isinstance(TASKS.get(name), Task) for name in TASKS.built_in())


def test_a_score_may_be_a_tensor_of_one_value():
    task = Distance()
    task.answer = torch.tensor([[0.5]])
    assert OwnTask(task).score_of([(ONES, ZEROS)]) == 0.5


def test_tasks_that_are_not_ours_get_the_boundary_once(tmp_path):
    assert is_built_in(tasks.load("segmentation"))
    own = resolved(Distance())
    assert isinstance(own, OwnTask)
    assert not is_built_in(own)
    assert resolved(own) is own
    file = tmp_path / "task.py"
    file.write_text("from edgespiral.tasks.classification import Classification as Own\n")
    # A class of ours that a user's file names is ours.
    assert not isinstance(tasks.load(f"{file}:Own"), OwnTask)
