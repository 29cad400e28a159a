"""One and two processes of PyTorch's own launcher, on the CPU: what comes out is the same."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from trained_together import SETTINGS, TRAININGS, splits, student, trained_alone

from edgespiral.core.errors import DivergedError, ModelError
from edgespiral.distill.parallel.jobs import SETTINGS as STATED
from edgespiral.distill.parallel.jobs import Job

if TYPE_CHECKING:
    from pathlib import Path

# Sums are taken in another order; weights are of the size of 1.
TOLERANCE = 2e-5


def assert_alike(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert state.keys() == other.keys()
    for name, value in state.items():
        torch.testing.assert_close(value, other[name], rtol=TOLERANCE, atol=TOLERANCE, msg=name)


@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_end_as_one(of_two: Path, name: str) -> None:
    together = load_file(of_two / f"{name}.safetensors")
    alone = trained_alone(TRAININGS[name]).state_dict()
    assert_alike(together, alone)
    assert not torch.equal(together["both.conv.weight"], student().state_dict()["both.conv.weight"])


def test_of_a_shared_teacher_each_process_holds_its_part(of_two: Path) -> None:
    own, whole = json.loads((of_two / "said.json").read_text())["held"]
    assert 2 * own == whole


def test_two_processes_go_on_from_the_checkpoint_of_one(of_two: Path) -> None:
    assert_alike(
        load_file(of_two / "of-one.safetensors"), load_file(of_two / "live teacher.safetensors")
    )


def test_ctrl_c_in_one_process_stops_both_and_one_goes_on(of_two: Path) -> None:
    assert not (of_two / "stopped.safetensors").exists()
    kept = torch.load(of_two / "stopped.pt", weights_only=True)
    assert kept["step"] == 10
    alone = trained_alone(SETTINGS, of_two / "stopped.pt")
    assert_alike(alone.state_dict(), load_file(of_two / "live teacher.safetensors"))


def test_a_training_that_diverges_is_told_once_and_the_next_one_runs(of_two: Path) -> None:
    said = json.loads((of_two / "said.json").read_text())
    assert "no longer finite at epoch" in said["diverged"]
    assert_alike(
        load_file(of_two / "after.safetensors"), load_file(of_two / "live teacher.safetensors")
    )


def test_one_process_says_so_too() -> None:
    with pytest.raises(DivergedError, match="no longer finite at epoch"):
        trained_alone(replace(SETTINGS, learning_rate=1e30, clip_norm=None))


def test_a_process_out_of_memory_is_named_with_what_it_asked_for(of_two: Path) -> None:
    said = json.loads((of_two / "said.json").read_text())
    assert said["hungry"].startswith("ProcessLostError: process 1 (cpu of ")
    assert "ran out of memory: 1.07e+09 GiB were asked for" in said["hungry"]
    assert "lower --batch-size, or raise --accumulate" in said["hungry"]
    assert (of_two / "hungry.pt").exists() is False


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    settings = replace(SETTINGS, freeze=("both.conv.*",))
    masks = {"both.last.weight": torch.rand(4, 6) > 0.5}
    outputs = torch.rand(1, 64, 4)
    job = Job(student(), settings, [student(9)], outputs, masks)
    job.write(tmp_path)
    again = Job.read(tmp_path, next(iter(splits().train.epoch(batch_size=4)))[0])
    assert again.settings == settings
    assert torch.equal(again.outputs, outputs)
    assert torch.equal(again.masks["both.last.weight"], masks["both.last.weight"])
    for model, other in ((job.student, again.student), (job.teachers[0], again.teachers[0])):
        assert_alike(model.state_dict(), other.state_dict())


def test_a_student_whose_parameters_are_in_another_order_is_refused(tmp_path: Path) -> None:
    Job(student(), SETTINGS).write(tmp_path)
    stated = json.loads((tmp_path / STATED).read_text())
    stated["parameters"].reverse()
    (tmp_path / STATED).write_text(json.dumps(stated))
    with pytest.raises(ModelError, match="in another order"):
        Job.read(tmp_path, torch.zeros(4, 1, 6, 6))


def test_a_student_with_rounding_inside_stays_where_it_is() -> None:
    model = student()
    assert Job(model, SETTINGS).can_travel
    assert not Job(nn.Sequential(), SETTINGS).can_travel
    weight_norm(model.both.last)
    assert not Job(model, SETTINGS).can_travel
