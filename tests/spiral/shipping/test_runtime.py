"""Runs whose runtime is raced or named, instead of the target's own."""

from __future__ import annotations

import pytest
from brief_target import brief_profile
from torch import nn

from edgespiral import api
from edgespiral.core.errors import RunFolderError, UsageError
from edgespiral.core.listener import Listener
from edgespiral.core.records.events import Baseline, Candidate, Outcome, RuntimeChosen
from edgespiral.core.records.journal import Journal, read
from edgespiral.spiral.shipping.runtime import settled
from edgespiral.tasks.classification import CLASSIFICATION


@pytest.fixture(scope="module")
def named_options(quick_options):
    """Of a run that ends with the teacher, on a runtime that is named."""
    asked = {name: value for name, value in quick_options.items() if name != "speedup"}
    return asked | {"latency_ms": 1000.0, "runtime": "openvino"}


@pytest.fixture
def upscaled(wide):
    """Convolutions on pictures of some size, which runtimes differ by more than races do."""
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), wide[-1])
    return nn.Sequential(nn.Upsample(scale_factor=4), *wide[:-3], *pooled)


def test_the_winner_of_the_race_runs_all_that_follows(upscaled, digits, quick_options, tmp_path):
    asked = quick_options | {"speedup": 1.3, "runtime": "auto", "turns": 1, "criterion": "l1"}
    asked |= {"allocation": "uniform", "device_samples": 4, "max_drop": 100.0}
    done = api.compress(upscaled, digits, out=tmp_path / "run", **asked)
    assert done.result.outcome is Outcome.MET
    events = read(tmp_path / "run" / "journal.jsonl")
    [chosen] = [event for event in events if isinstance(event, RuntimeChosen)]
    [baseline] = [event for event in events if isinstance(event, Baseline)]
    [race] = chosen.races
    assert {row.runtime for row in race.rows} >= {"onnxruntime", "openvino"}
    # What a run is scored on is computed in float32, so no figure of less stands beside it.
    assert {row.precision for row in race.rows} == {"fp32"}
    measured = [event.devices[0] for event in events if isinstance(event, Candidate)]
    [device] = done.result.devices
    figures = [baseline.devices[0].measurement, device.teacher, device.student]
    figures += [candidate.measurement for candidate in measured]
    assert measured
    assert {figure.fingerprint.runtime for figure in figures} == {race.won.runtime}
    assert done.result.races == chosen.races
    assert f"fastest: {race.won.runtime} fp32" in (tmp_path / "run" / "report.html").read_text()
    again = api.compress(upscaled, digits, out=tmp_path / "run", resume=True, **asked)
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
    alone = race.rows[place].model_copy(update={"speedup": None})
    won_by_rounding = race.model_copy(update={"rows": (alone,), "reference": 0, "winner": 0})
    other.append(chosen.model_copy(update={"races": (won_by_rounding,)}))
    assert winners(other) == ("mnn", "fp32 int8 weights")
    with pytest.raises(RunFolderError, match="won by mnn in fp32 int8 weights, which does not"):
        winners(other, rounded=False)


def test_a_runtime_that_is_named_takes_the_place_of_the_targets(
    wide, digits, named_options, tmp_path
):
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    done = api.compress(wide, digits, out=tmp_path / "run", **named_options)
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
