"""A race of real sessions; tests/spiral/shipping/test_racing.py has what judges outputs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.core.errors import ExportError, MeasurementError
from edgespiral.core.records.exported import OutputParity
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.racing.entrants import Entrant, entrants
from edgespiral.measure.racing.race import BEATEN_BY, LEAST_PASSES, ROUNDS_A_PASS, race
from edgespiral.measure.session import Session

Make = Callable[..., Path]


def near(session: Session, model: Path, precision: str) -> OutputParity:
    return OutputParity(samples=1, max_abs_difference=0.0, sqnr_db=None)


def with_provider(profile: TargetProfile, provider: str) -> Entrant:
    runtime = profile.runtime.model_copy(update={"provider": provider})
    return Entrant(profile.model_copy(update={"runtime": runtime}), "fp32")


def test_rows_are_in_the_order_of_their_latency_and_refusals_last(
    convolution: Make, profile: TargetProfile
) -> None:
    missing = with_provider(profile, "TPUExecutionProvider")
    lanes = [missing, *entrants(profile, ["onnxruntime"], (1, 2))]
    result = race(convolution(), lanes, near, samples="none", passes=2)
    *timed, refused = result.rows
    assert refused.measurement is None
    assert "TPUExecutionProvider does not run here; this ONNX Runtime has" in str(refused.refused)
    medians = [row.measurement.stats.p50_ms for row in timed if row.measurement]
    assert medians == sorted(medians)
    rounds = [len(row.measurement.rounds_ms) for row in timed if row.measurement]
    assert rounds == [2 * ROUNDS_A_PASS] * 2
    # The first that ran is what the others are compared with.
    assert result.rows[result.reference].threads == 1
    assert [row.speedup is None for row in timed].count(True) == 1
    if result.winner != result.reference:
        assert result.won.speedup is not None
        assert result.won.speedup.ci95.low > 1


@pytest.mark.parametrize("is_slow_first", [False, True])
def test_what_is_beaten_by_far_takes_fewer_turns_unless_others_are_compared_with_it(
    convolution: Make, profile: TargetProfile, is_slow_first: bool
) -> None:
    quick, slow = (
        Entrant(profile, "fp32", convolution(f"{size}.onnx", size, size)) for size in (16, 64)
    )
    lanes = [slow, quick] if is_slow_first else [quick, slow]
    result = race(convolution(), lanes, near, samples="none", passes=LEAST_PASSES + 1)
    counts = [len(row.measurement.rounds_ms) for row in result.rows if row.measurement]
    turns = [LEAST_PASSES + 1, LEAST_PASSES + is_slow_first]
    assert counts == [turn * ROUNDS_A_PASS for turn in turns]
    [ratio] = [row.speedup for row in result.rows if row.speedup]
    assert (ratio.ci95.low > BEATEN_BY) if is_slow_first else (ratio.ci95.high < 1 / BEATEN_BY)


def test_what_computes_something_else_is_never_timed(
    convolution: Make, profile: TargetProfile
) -> None:
    def judge(session: Session, model: Path, precision: str) -> OutputParity:
        if session.profile.runtime.model_dump()["threads"] == 2:
            raise ExportError("its output differs: 3.0 dB")
        return near(session, model, precision)

    lanes = entrants(profile, ["onnxruntime"], (2, 1))
    result = race(convolution(), lanes, judge, samples="none", passes=1)
    assert [(row.threads, row.refused) for row in result.rows] == [
        (1, None),
        (2, "its output differs: 3.0 dB"),
    ]
    assert result.won.threads == 1


def test_a_race_that_nobody_runs_is_an_error_with_the_reasons(
    convolution: Make, profile: TargetProfile
) -> None:
    lanes = [with_provider(profile, "TPUExecutionProvider")]
    with pytest.raises(MeasurementError, match="no runtime runs it: onnxruntime: TPUExec"):
        race(convolution(), lanes, near, samples="none")


def test_threads_that_would_take_turns_on_cores_have_no_figure(
    convolution: Make, profile: TargetProfile
) -> None:
    own = profile.runtime.model_copy(update={"affinity": (0,)})
    lanes = entrants(profile.model_copy(update={"runtime": own}), ["onnxruntime"], (1, 2))
    result = race(convolution(), lanes, near, samples="none", passes=1)
    reasons = {row.threads: row.refused for row in result.rows}
    assert reasons[1] is None
    assert str(reasons[2]).startswith("2 threads would take turns on 1 cores; ask for fewer")
