from __future__ import annotations

import hashlib

import pytest
from example_records import measurement, ratio

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import Baseline, ModelFacts, OnDevice
from edgespiral.core.records.footprint import PeakMemory, footprint_budgets
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.sharing.baseline import (
    SharedBaseline,
    beside_latency,
    shared_baseline,
    with_budgets,
)

CONTENT = b"a file"


@pytest.fixture
def baseline():
    facts = ModelFacts(validation_score=98.0, parameter_count=10, size_bytes=40)
    device = OnDevice(budget_ms=4.0, measurement=measurement(8.0), speedup=ratio(1.0))
    files = {"model.onnx": hashlib.sha256(CONTENT).hexdigest()}
    return Baseline(teacher=facts, widths={"a": 8}, devices=(device,), files=files)


@pytest.fixture
def first(tmp_path):
    """Where a run has the files that it shares."""
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(CONTENT)
    return folder


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    return SharedBaseline(folder)


def test_another_run_takes_it_over_with_its_own_budget(tmp_path, baseline, first, shared):
    second = tmp_path / "second"
    assert shared.take(second) is None
    shared.give(baseline, first)
    assert shared.take(second) == baseline
    assert (second / "model.onnx").read_bytes() == CONTENT
    budgeted = with_budgets(baseline, Plan(latency_ms=1.0))
    assert budgeted.devices[0].budget_ms == 1.0
    assert budgeted.devices[0].measurement == baseline.devices[0].measurement


def test_sizes_and_memory_are_held_to_the_budgets_of_the_run_that_takes_over(baseline):
    memory = PeakMemory(peak_mib=60.0, limit_mib=80.0)
    of_first = baseline.model_copy(
        update={
            "devices": (baseline.devices[0].model_copy(update={"memory": memory}),),
            "footprints": footprint_budgets(1.0, None, baseline.teacher),
        }
    )
    budgeted = with_budgets(of_first, Plan(speedup=2.0, parameters=0.5, memory_mib=50.0))
    assert [str(budget) for budget in budgeted.footprints] == ["5 parameters"]
    assert budgeted.devices[0].memory == PeakMemory(peak_mib=60.0, limit_mib=50.0)
    bare = with_budgets(of_first, Plan(speedup=2.0))
    assert (bare.footprints, bare.devices[0].memory) == ((), None)


def test_what_was_not_measured_on_a_target_is_not_taken_for_it():
    limits = ({"host-cpu": 80.0}, {"tensorrt-local": 80.0}, {"host-cpu": 50.0}, 80.0)
    own = [beside_latency(limit, None) for limit in limits]
    assert own[0] == own[2]
    assert len({str(facts) for facts in own}) == 3


def test_what_changed_meanwhile_is_not_taken(tmp_path, baseline, first, shared):
    shared.give(baseline, first)
    (shared.folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(RunFolderError, match=r"model.onnx: changes while it is copied"):
        shared.take(tmp_path / "second")
    (shared.folder / "baseline.json").write_text("{}")
    with pytest.raises(RunFolderError, match="the shared baseline is damaged"):
        shared.take(tmp_path / "second")


def test_a_run_alone_shares_nothing():
    with shared_baseline(None) as shared:
        assert shared is None
