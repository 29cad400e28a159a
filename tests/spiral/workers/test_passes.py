from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.distributed import HashStore
from torch.nn.utils.parametrizations import weight_norm
from trained_together import Branched, scored, splits

from edgespiral.distill.parallel.world import World, among
from edgespiral.models.saved import save_model, trace
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.workers.passes import (
    ASKED,
    MODEL,
    SOURCE,
    VARIANTS,
    FollowedPasses,
    SharedPasses,
)
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from pathlib import Path


class Giving:
    """The second of two processes, whose answers are kept."""

    rank, size = 1, 2

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def give(self, share: bytes) -> None:
        self.given.append(share)


@pytest.fixture
def source() -> PrunableModel:
    torch.manual_seed(3)
    return PrunableModel.of(trace(Branched(), torch.zeros(4, 1, 6, 6)), (1, 6, 6))


def test_scores_and_cuts_of_two_processes_are_those_of_one(of_two: Path) -> None:
    together, alone = load_file(of_two / "scored.safetensors"), scored()
    assert together.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-3, atol=1e-6, msg=name)
    assert len(alone["branches"]) == 1
    assert len(alone["damages"]) == 4
    assert alone["damages"].unique().numel() == 4


def test_the_second_process_answers_for_its_share(of_two: Path) -> None:
    given = json.loads((of_two / "given.json").read_text())
    assert len(given) >= 4  # of scores, of prices a batch, of cuts a batch
    assert all(given)


def test_one_process_or_a_model_that_cannot_travel_shares_nothing(source: PrunableModel) -> None:
    assert SharedPasses.begun(source, "fp32") is None
    last = source.model.get_submodule("last")
    assert isinstance(last, nn.Linear)
    weight_norm(last)
    with among(World(0, 2, "cpu", HashStore())):
        assert SharedPasses.begun(source, "fp32") is None


def test_a_process_that_built_another_model_answers_nothing(
    source: PrunableModel, tmp_path: Path
) -> None:
    giving = Giving()
    followed = FollowedPasses(giving, splits(), CLASSIFICATION)  # type: ignore[arg-type]
    assert not followed.answer(tmp_path)
    (tmp_path / MODEL).mkdir()
    save_model(source.model, tmp_path / MODEL)
    asked = {"what": SOURCE, "precision": "fp32", "groups": [], "branches": [["other", [], []]]}
    for request in (asked, {"what": VARIANTS, "index": 0, "variants": []}):
        (tmp_path / ASKED).write_text(json.dumps(request))
        assert followed.answer(tmp_path)
    assert giving.given == [b""]
