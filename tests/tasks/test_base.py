import pytest
import torch
from torch.nn import functional as F

from edgespiral import tasks
from edgespiral.core.errors import ModelError, UsageError
from edgespiral.core.records.metric import Metric
from edgespiral.tasks.base import Task, require_task
from edgespiral.tasks.classification import CLASSIFICATION

OWN = """
import torch
from edgespiral import Metric, Task

class Depth(Task):
    metric = Metric(name="RMSE", unit="m", higher_is_better=False)

class Nameless(Task):
    pass

def nothing():
    return 3
"""


class Regression(Task):
    metric = Metric(name="RMSE", unit="m", higher_is_better=False)

    def sample_losses(self, outputs, targets):
        return F.mse_loss(outputs, targets, reduction="none").flatten(1).mean(1)

    divergence = sample_losses


def test_classification_is_there_by_name():
    assert tasks.load("classification") is CLASSIFICATION
    assert {"classification", "segmentation"} <= set(tasks.TASKS.names())


def test_an_unknown_task_gets_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean segmentation"):
        tasks.load("segmentaton")


def test_a_task_of_ones_own_comes_from_a_file(tmp_path):
    path = tmp_path / "own_task.py"
    path.write_text(OWN)
    assert tasks.load(f"{path}:Depth").metric.unit == "m"
    with pytest.raises(UsageError, match="a int is no task"):
        tasks.load(f"{path}:nothing")
    with pytest.raises(UsageError, match="Nameless has no metric"):
        tasks.load(f"{path}:Nameless")


def test_what_is_no_task_is_told():
    with pytest.raises(UsageError, match="a dict is no task"):
        require_task({}, "task")


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "warm", None])
def test_a_temperature_that_is_none_is_told(value):
    class Frozen(type(CLASSIFICATION)):
        temperature = value

    with pytest.raises(UsageError, match="task: Frozen has a temperature that is none"):
        require_task(Frozen(), "task")


def test_an_output_name_that_is_none_is_told():
    class Unnamed(type(CLASSIFICATION)):
        output_name = 3

    with pytest.raises(UsageError, match="task: Unnamed has an output_name that is no name: 3"):
        require_task(Unnamed(), "task")


def test_losses_a_sample_are_enough_for_a_loss_and_a_distance():
    outputs, targets = torch.zeros(2, 3), torch.tensor([[1.0] * 3, [3.0] * 3])
    task = Regression()
    assert float(task.loss(outputs, targets)) == 5.0
    teachers = torch.stack([targets, outputs])
    assert float(task.distance(outputs, teachers, 4.0)) == 2.5
    assert task.rightness(outputs, outputs).tolist() == [1.0, 1.0]
    assert task.chance(targets) is None


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ({"depth": torch.zeros(3, 3)}, r"tensor \(3, 3\) as depth for 2"),
        ({"depth": "far"}, "a str as depth for 2"),
        (None, "a NoneType for 2"),
        (torch.zeros(3), r"tensor \(3,\)"),
    ],
)
def test_outputs_are_tensors_of_all_samples(outputs, told):
    with pytest.raises(ModelError, match=told):
        Regression().check_outputs(outputs, 2, None)
    several = {"near": torch.zeros(2, 3), "far": (torch.zeros(2),)}
    assert Regression().check_outputs(torch.zeros(2, 3), 2, None) is None
    assert Regression().check_outputs(several, 2, None) is None


def test_a_file_may_differ_by_what_rounding_turns_over():
    assert CLASSIFICATION.allowed_difference(92.0, 270, 0.005) == pytest.approx(1.66, abs=0.01)
    assert Regression().allowed_difference(2.0, 270, 0.005) == pytest.approx(0.01)
