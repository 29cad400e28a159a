from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from trained_together import Middle, Part, splits, student

from edgespiral.data.guard import guarded
from edgespiral.distill.evaluate import score
from edgespiral.distill.parallel.answers import answers, can_travel, share_of
from edgespiral.distill.parallel.world import ALONE
from edgespiral.distill.teacher_cache import kept_outputs
from edgespiral.models.saved import trace
from edgespiral.tasks.classification import CLASSIFICATION
from edgespiral.tasks.shared.own import OwnTask
from edgespiral.tasks.translation.task import Translation

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("batches", [1, 5, 6])
def test_each_batch_is_one_process_s(size: int, batches: int) -> None:
    shares = [share_of(rank, size, batches) for rank in range(size)]
    assert [batch for share in shares for batch in share] == list(range(batches))


def test_answers_of_two_are_those_of_one_in_order(of_two: Path) -> None:
    model = trace(Part(), torch.zeros(4, 1, 6, 6))
    model.load_state_dict(load_file(of_two / "asked.safetensors"))
    together = load_file(of_two / "answers.safetensors")
    said = [model.eval()(inputs) for inputs, _ in splits().train.epoch(batch_size=10)]
    for name, whole in zip(("first", "second"), zip(*said, strict=True), strict=True):
        torch.testing.assert_close(together[name], torch.cat(whole), rtol=1e-5, atol=1e-6)


def test_a_score_of_two_is_that_of_one(of_two: Path) -> None:
    said = json.loads((of_two / "said.json").read_text())
    alone = score(student(), guarded(splits()).validation, task=CLASSIFICATION, batch_size=24)
    assert said["score"] == said["score in runs"] == alone
    own = OwnTask(Middle())
    assert own.asks_in_order
    validation = guarded(splits()).validation
    alone = score(student(), validation, task=own, batch_size=24)
    assert said["own score"] == pytest.approx(alone, rel=1e-5)


def test_a_task_that_asks_in_its_own_way_is_scored_in_one() -> None:
    class Twice(Middle):
        def answers(self, predict, inputs):
            return (predict(inputs) + predict(inputs)) / 2

    class Own(Middle):
        def score(self, predict, source, *, batch_size=8):
            return super().score(predict, source, batch_size=1)

    for task in (Twice(), Own(), OwnTask(Twice()), OwnTask(Own()), Translation()):
        assert not task.asks_in_order


def test_a_teacher_s_outputs_of_two_are_those_of_one(of_two: Path, tmp_path: Path) -> None:
    alone = kept_outputs(tmp_path / "alone.safetensors", student(9), guarded(splits()).train)
    together = load_file(of_two / "outputs.safetensors")["outputs"]
    torch.testing.assert_close(together, alone, rtol=1e-2, atol=1e-2)  # bf16, where it is native
    assert not (of_two / "outputs.part").exists()


def test_what_memory_has_no_room_for_is_written_to_one_file_by_both(
    of_two: Path, tmp_path: Path
) -> None:
    alone = kept_outputs(tmp_path / "alone", student(9), guarded(splits(in_memory=True)).train)
    together = load_file(of_two / "large.safetensors")["outputs"]
    torch.testing.assert_close(together, alone, rtol=1e-2, atol=1e-2)
    by_file, by_memory = (load_file(of_two / f"by {n}.safetensors") for n in ("file", "memory"))
    assert all(torch.equal(by_memory[name], value) for name, value in by_file.items())


def test_what_cannot_be_shared_is_asked_in_one(of_two: Path) -> None:
    assert json.loads((of_two / "said.json").read_text())["shared"] == [False]
    model = student()
    assert answers(ALONE, model, splits().train, batch_size=8, precision="fp32") is None
    assert can_travel(model)
    assert not can_travel(nn.Linear(2, 2))
    weight_norm(model.get_submodule("both.last"))
    assert not can_travel(model)
