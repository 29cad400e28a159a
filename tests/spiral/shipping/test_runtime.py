"""Runs whose runtime is raced or named, instead of the target's own."""

from __future__ import annotations

import pytest
from brief_target import brief_profile

from edgespiral import api
from edgespiral.core.errors import RunFolderError, UsageError
from edgespiral.core.listener import Listener
from edgespiral.core.records.events import Baseline, Outcome, RuntimeChosen
from edgespiral.core.records.journal import Journal, read
from edgespiral.spiral.shipping.runtime import settled
from edgespiral.tasks.classification import CLASSIFICATION


@pytest.fixture(scope="module")
def raced_options(quick_options):
    """Of a run that ends with the teacher, once its runtimes were raced."""
    asked = {name: value for name, value in quick_options.items() if name != "speedup"}
    return asked | {"latency_ms": 1000.0, "runtime": "auto"}


def test_the_winner_of_the_race_runs_all_that_follows(wide, digits, raced_options, tmp_path):
    done = api.compress(wide, digits, out=tmp_path / "run", **raced_options)
    assert done.result.outcome is Outcome.ALREADY_MET
    events = read(tmp_path / "run" / "journal.jsonl")
    [chosen] = [event for event in events if isinstance(event, RuntimeChosen)]
    [baseline] = [event for event in events if isinstance(event, Baseline)]
    [race] = chosen.races
    assert {row.runtime for row in race.rows} >= {"onnxruntime", "openvino"}
    # What a run is scored on is computed in float32, so no figure of less stands beside it.
    assert {row.precision for row in race.rows} == {"fp32"}
    assert baseline.devices[0].measurement.fingerprint.runtime == race.won.runtime
    assert done.result.races == chosen.races
    assert f"fastest: {race.won.runtime} fp32" in (tmp_path / "run" / "report.html").read_text()
    again = api.compress(wide, digits, out=tmp_path / "run", resume=True, **raced_options)
    assert again.result == done.result
    assert read(tmp_path / "run" / "journal.jsonl") == events


def test_where_students_may_be_rounded_a_rounding_runtime_may_win(wide, digits, tmp_path):
    pytest.importorskip("MNN", reason="the mnn extra is not installed")

    def winners(journal, *, rounded=True):
        [profile] = settled(
            *([brief_profile()], wide, digits),
            task=CLASSIFICATION,
            journal=journal,
            listener=Listener(),
            rounded=rounded,
        )
        return profile.runtime.kind, profile.runtime.float_precision

    journal = Journal(tmp_path / "journal.jsonl")
    first = winners(journal)
    [chosen] = journal.read()
    [race] = chosen.races
    assert first == (race.won.runtime, race.won.precision) == winners(journal)
    assert len(journal.read()) == 1
    # Whatever won here: a runtime that rounds is what a resumed run goes on with.
    [place] = [at for at, row in enumerate(race.rows) if row.precision == "fp32 int8 weights"]
    assert race.rows[place].measurement is not None
    other = Journal(tmp_path / "other.jsonl")
    won_by_rounding = race.model_copy(update={"winner": place})
    other.append(chosen.model_copy(update={"races": (won_by_rounding,)}))
    assert winners(other) == ("mnn", "fp32 int8 weights")
    with pytest.raises(RunFolderError, match="won by mnn in fp32 int8 weights, which does not"):
        winners(other, rounded=False)


def test_a_runtime_that_is_named_takes_the_place_of_the_targets(
    wide, digits, raced_options, tmp_path
):
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    asked = raced_options | {"runtime": "openvino"}
    done = api.compress(wide, digits, out=tmp_path / "run", **asked)
    [device] = done.result.devices
    assert {one.fingerprint.runtime for one in (device.teacher, device.student)} == {"openvino"}
    assert done.result.races == ()


@pytest.mark.parametrize(
    ("runtime", "what"), [("openvin", "did you mean openvino"), ("android", "binary")]
)
def test_a_runtime_that_cannot_be_had_is_refused(
    wide, digits, quick_options, tmp_path, runtime, what
):
    with pytest.raises(UsageError, match=what):
        api.compress(wide, digits, out=tmp_path / "run", **quick_options, runtime=runtime)
    assert not (tmp_path / "run").exists()
