import pytest

from edgespiral.core.records.metric import Metric

ACCURACY = Metric(name="accuracy")

ERROR = Metric(name="RMSE", unit="m", higher_is_better=False)


def test_a_floor_is_on_the_worse_side():
    assert ACCURACY.floor(90.0, 2.0) == 88.0
    assert ERROR.floor(0.5, 0.25) == 0.75


@pytest.mark.parametrize(("metric", "better", "worse"), [(ACCURACY, 91.0, 87.0), (ERROR, 0.4, 0.9)])
def test_what_holds_a_floor_is_not_worse(metric, better, worse):
    floor = (better + worse) / 2
    assert metric.holds(better, floor)
    assert metric.holds(floor, floor)
    assert not metric.holds(worse, floor)
    assert metric.rank(better) > metric.rank(worse)
    assert metric.lost(better, worse) == pytest.approx(abs(better - worse))


def test_scores_are_told_with_their_unit():
    assert ACCURACY.label == "accuracy %"
    assert ACCURACY.text(91.234) == "91.23 %"
    assert ACCURACY.named(91.234) == "accuracy 91.23 %"
    assert ACCURACY.difference(90.0, 88.5) == "-1.50 points"
    assert ERROR.difference(0.5, 0.75) == "+0.25 m"
    assert Metric(name="BLEU", unit="").text(31.5) == "31.50"


def test_only_percentages_that_are_to_rise_are_shares():
    assert ACCURACY.is_share
    assert not ERROR.is_share
    assert not Metric(name="error rate", unit="%", higher_is_better=False).is_share
