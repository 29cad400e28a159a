from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest
from example_records import measurement, ratio

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import Baseline, ModelFacts, OnDevice
from edgespiral.core.records.footprint import PeakMemory, footprint_budgets
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.sharing.baseline import SharedBaseline, beside_latency, shared_baseline

CONTENT = b"a file"


@pytest.fixture
def baseline():
    facts = ModelFacts(validation_score=98.0, parameter_count=10, size_bytes=40)
    device = OnDevice(budget_ms=4.0, measurement=measurement(8.0), speedup=ratio(1.0))
    files = {"model.onnx": hashlib.sha256(CONTENT).hexdigest()}
    return Baseline(teacher=facts, widths={"a": 8}, devices=(device,), files=files)


def context_in(folder, **fields):
    """What sharing reads of a run's context."""
    place = folder / "teacher"
    place.mkdir(parents=True)
    return SimpleNamespace(folder=lambda _turn: place, plan=Plan(**fields))


def test_another_run_takes_it_over_with_its_own_budget(tmp_path, baseline):
    shared = tmp_path / "shared"
    shared.mkdir()
    first = context_in(tmp_path / "first", speedup=2.0)
    (first.folder(0) / "model.onnx").write_bytes(CONTENT)
    assert SharedBaseline(shared, first).taken() is None
    SharedBaseline(shared, first).give(baseline)
    second = context_in(tmp_path / "second", latency_ms=1.0)
    taken = SharedBaseline(shared, second).taken()
    assert taken is not None
    assert taken.devices[0].budget_ms == 1.0
    assert taken.devices[0].measurement == baseline.devices[0].measurement
    assert (second.folder(0) / "model.onnx").read_bytes() == CONTENT


def test_sizes_and_memory_are_held_to_the_budgets_of_the_run_that_takes_over(tmp_path, baseline):
    shared = tmp_path / "shared"
    shared.mkdir()
    memory = PeakMemory(peak_mib=60.0, limit_mib=80.0)
    of_first = baseline.model_copy(
        update={
            "devices": (baseline.devices[0].model_copy(update={"memory": memory}),),
            "footprints": footprint_budgets(1.0, None, baseline.teacher),
        }
    )
    first = context_in(tmp_path / "first", speedup=2.0, size_mib=1.0, memory_mib=80.0)
    (first.folder(0) / "model.onnx").write_bytes(CONTENT)
    SharedBaseline(shared, first).give(of_first)
    asked = {"speedup": 2.0, "parameters": 0.5, "memory_mib": 50.0}
    taken = SharedBaseline(shared, context_in(tmp_path / "second", **asked)).taken()
    assert taken is not None
    assert [str(budget) for budget in taken.footprints] == ["5 parameters"]
    assert taken.devices[0].memory == PeakMemory(peak_mib=60.0, limit_mib=50.0)
    bare = SharedBaseline(shared, context_in(tmp_path / "third", speedup=2.0)).taken()
    assert bare is not None
    assert (bare.footprints, bare.devices[0].memory) == ((), None)


def test_what_was_not_measured_on_a_target_is_not_taken_for_it():
    asked = {"target": ["host-cpu", "tensorrt-local"], "speedup": 2.0}
    limits = ({"host-cpu": 80.0}, {"tensorrt-local": 80.0}, {"host-cpu": 50.0}, 80.0)
    own = [
        beside_latency(Plan(model="resnet8", data="digits", memory_mib=limit, **asked))
        for limit in limits
    ]
    assert own[0] == own[2]
    assert len({str(facts) for facts in own}) == 3


def test_what_changed_meanwhile_is_not_taken(tmp_path, baseline):
    shared = tmp_path / "shared"
    shared.mkdir()
    first = context_in(tmp_path / "first", speedup=2.0)
    (first.folder(0) / "model.onnx").write_bytes(CONTENT)
    SharedBaseline(shared, first).give(baseline)
    (shared / "model.onnx").write_bytes(b"another")
    second = SharedBaseline(shared, context_in(tmp_path / "second", speedup=2.0))
    with pytest.raises(RunFolderError, match=r"model.onnx: changes while it is copied"):
        second.taken()
    (shared / "baseline.json").write_text("{}")
    with pytest.raises(RunFolderError, match="the shared baseline is damaged"):
        second.taken()


def test_a_run_alone_shares_nothing(tmp_path):
    with shared_baseline(context_in(tmp_path, speedup=2.0)) as shared:
        assert shared is None
