"""What is said of a run's records, word for word."""

from example_records import explored_point, measurement, ratio
from example_run import devices, facts, run_records

from edgespiral.core.records.events import (
    Baseline,
    FamilyMeasured,
    OnDevice,
    PointExplored,
    PointOutOfReach,
    PrecisionChosen,
    RateChosen,
    Sibling,
    TurnFinished,
)
from edgespiral.core.records.footprint import Footprint, footprint_budgets
from edgespiral.core.records.measurement import Verdict
from edgespiral.core.records.metric import Metric
from edgespiral.core.records.precisions import PrecisionMix, PrecisionTrial
from edgespiral.report import console

METRIC = Metric(name="accuracy")
RECORDS = run_records()
[BASELINE] = [record for record in RECORDS if isinstance(record, Baseline)]
FIRST, SECOND = (record for record in RECORDS if isinstance(record, TurnFinished))


def trial(refused: str | None = None) -> PrecisionTrial:
    return PrecisionTrial(
        precision="int8",
        validation_score=89.5,
        speedup=ratio(2.0),
        rounding_nats=0.01,
        measurement=measurement(4.0),
        refused=refused,
    )


def crowded(devices: tuple[OnDevice, ...]) -> tuple[OnDevice, ...]:
    """As measured while others took half of the core's time."""
    return tuple(
        device.model_copy(
            update={"measurement": device.measurement.model_copy(update={"waited_share": 0.5})}
        )
        for device in devices
    )


def test_the_teacher_is_told_with_what_is_asked_for_and_what_speaks_against_it() -> None:
    doubted = BASELINE.model_copy(
        update={"doubts": ("it is too good",), "devices": crowded(BASELINE.devices)}
    )
    assert console.teacher(doubted, METRIC, "budget 4 ms") == [
        "teacher: accuracy 90.00 % on validation, 8 ms; budget 4 ms",
        "  warning: it is too good",
        "  warning: on host-cpu other programs took the core for 50% of the time: latencies are "
        "too long, and speed-ups too high; stop them, and measure again",
    ]


def test_a_turn_is_told_with_all_that_it_is_held_to() -> None:
    assert console.turn(FIRST, BASELINE, METRIC, has_budget=True) == [
        "  accuracy 89.00 % on validation, 6 ms, 1.33x: budget missed"
    ]
    sized = BASELINE.model_copy(
        update={"footprints": footprint_budgets(2.0, None, BASELINE.teacher)}
    )
    [line] = console.turn(SECOND, sized, METRIC, has_budget=False)
    assert line == "  accuracy 88.50 % on validation, 4 ms, 2.00x, 0.5 MiB: goal met"
    twice = BASELINE.model_copy(update={"devices": (*BASELINE.devices, *devices(12.0, 1.0))})
    [_, warning] = console.turn(
        FIRST.model_copy(update={"devices": crowded(FIRST.devices)}),
        *(BASELINE, METRIC),
        has_budget=True,
    )
    assert warning.startswith("  warning: on host-cpu other programs took the core for 50%")
    several = SECOND.model_copy(update={"devices": (*SECOND.devices, *devices(6.0, 2.0))})
    [line] = console.turn(several, twice, METRIC, has_budget=True)
    assert "4 ms, 2.00x on host-cpu, 6 ms, 2.00x on host-cpu" in line


def test_precisions_and_rates_are_told_with_the_reason() -> None:
    assert console.trial(trial("not faster for certain"), BASELINE, METRIC) == [
        "  teacher in int8: 2.00x, 89.50 % (-0.50 points): not faster for certain"
    ]
    mix = PrecisionMix(
        precision="int8", latency_ms=4.0, widths={"a": 8}, cut_nats=0.5, rounding_nats=0.01
    )
    assert console.mix(mix) == [
        "  cut in int8: 4.00 ms, loses 0.5 nats by cutting, 0.01 by rounding"
    ]
    chosen = PrecisionChosen(precision="int8", reason="it is asked for", trials=(trial(),))
    assert console.precision(chosen) == ["precision: int8 (it is asked for)"]
    assert console.precision(chosen.model_copy(update={"trials": ()})) == []
    rate = RateChosen(turn=1, learning_rate=0.05, reason="by rule")
    assert console.rate(rate) == ["  learning rate 0.05: by rule"]


def test_siblings_are_told_before_and_after_training() -> None:
    small = Sibling(
        name="resnet8",
        devices=devices(4.0, 2.0),
        footprint=Footprint(size_bytes=40, parameter_count=10),
        verdict=Verdict.MET,
    )
    measured = FamilyMeasured(siblings=(small,), trained=None)
    assert console.family(measured) == ["family: resnet8 2.00x met; none is trained beside the cut"]
    done = SECOND.model_copy(update={"sibling": "resnet8", "student": facts(88.0, 10)})
    assert console.sibling(done, METRIC) == [
        "  resnet8: accuracy 88.00 % on validation: budget met"
    ]


def test_points_of_an_exploration_are_told_where_there_are_cuts() -> None:
    names = set(PointExplored.model_fields) & set(type(POINT).model_fields)
    explored = PointExplored(precision="fp32", **{name: getattr(POINT, name) for name in names})
    assert console.point(explored, "point 1 of 2", 4.0) == [
        "  point 1 of 2: 4 ms, 0.1 nats, 50% of the weights"
    ]
    beyond = PointOutOfReach(target_ms=1.0, fastest_ms=2.0)
    assert console.out_of_reach(beyond, "point 2 of 2") == [
        "  point 2 of 2: no cut of one turn takes 1 ms or less"
    ]


POINT = explored_point(1, 4.0, 0.2)
