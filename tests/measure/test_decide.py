from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.core.errors import MeasurementError, UsageError
from edgespiral.core.records.measurement import Verdict
from edgespiral.measure.decide import decide
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.session import Session

Make = Callable[..., Path]


def test_clear_budgets_get_their_verdict(convolution: Make, profile: TargetProfile) -> None:
    models = [convolution("a.onnx", 16, 8), convolution("b.onnx", 16, 8)]
    with Session(profile) as session:
        met, missed = decide(session, models, 1000), decide(session, models, 1e-6)
    assert [verdict for _, verdict in met] == [Verdict.MET] * 2
    assert [verdict for _, verdict in missed] == [Verdict.MISSED] * 2


def test_a_budget_on_the_median_itself_takes_more_samples(
    convolution: Make, profile: TargetProfile
) -> None:
    model = convolution()
    with Session(profile) as session:
        [first] = session.measure([model])
        budget = first.stats.p50_ms
        try:
            [(measurement, verdict)] = decide(session, [model], budget)
        except MeasurementError as error:
            assert "undecided after" in str(error)  # noqa: PT017
        else:
            interval = measurement.stats.p50_ci95_ms
            assert (interval.high <= budget) == (verdict is Verdict.MET)


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_budgets_are_refused(profile: TargetProfile, budget: float) -> None:
    with Session(profile) as session, pytest.raises(UsageError, match="must be a positive number"):
        decide(session, [], budget)
