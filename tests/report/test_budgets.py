import pytest
from example_records import ratio

from edgespiral.core.records.events import (
    Baseline,
    Event,
    OnDevice,
    PrecisionChosen,
    RunStarted,
    TurnFinished,
)
from edgespiral.core.records.footprint import FootprintBudget, PeakMemory
from edgespiral.core.records.measurement import Verdict
from edgespiral.report.budgets import better_by_rounding, budget_margins, margin_text
from edgespiral.report.html import render_html
from edgespiral.report.result import build_result
from edgespiral.report.run import Run


def sized(events: list[Event]) -> list[Event]:
    """The same run, asked for a size as well, which the chosen turn is over."""
    half = FootprintBudget(kind="parameters", limit=135_500)
    size = FootprintBudget(kind="size", limit=400_000)
    return [
        event.model_copy(update={"footprints": (size, half)})
        if isinstance(event, Baseline)
        else event
        for event in events
    ]


def without_latency(events: list[Event]) -> list[Event]:
    """The same run with no latency asked for."""

    def bare(device: OnDevice) -> OnDevice:
        return device.model_copy(update={"budget_ms": None})

    changed: list[Event] = []
    for event in events:
        if isinstance(event, RunStarted):
            plan = {**event.plan, "speedup": None, "latency_ms": None}
            changed.append(event.model_copy(update={"plan": plan}))
        elif hasattr(event, "devices"):
            devices = tuple(map(bare, event.devices))
            changed.append(event.model_copy(update={"devices": devices}))
        else:
            changed.append(event)
    return changed


def test_every_budget_has_its_margin(met: list[Event]) -> None:
    latency, size, parameters, score = budget_margins(Run.of(sized(met)))
    assert (latency.name, latency.unit, latency.verdict) == ("latency", "ms", Verdict.MET)
    assert latency.margin == pytest.approx(100 * (1 - 2.2 / 2.25), abs=0.5)
    assert margin_text(size) == "size: 0.4595 MiB of at most 0.3815 MiB, 20.4 % too much"
    assert size.verdict is Verdict.MISSED
    assert margin_text(parameters) == "parameters: 120444 of at most 135500, 11.1 % to spare"
    assert margin_text(score) == "accuracy: 92.60 % of at least 91.40 %, 1.2 points to spare"
    worse = score.model_copy(update={"value": 90.4, "margin": -1.0})
    assert margin_text(worse) == "accuracy: 90.40 % of at least 91.40 %, 1 points too little"
    at_it = score.model_copy(update={"value": 91.4, "margin": 0.0})
    assert margin_text(at_it) == "accuracy: 91.40 %, which is its limit"
    assert build_result(sized(met)).budgets == (latency, size, parameters, score)


def test_a_run_without_a_latency_shows_none_as_its_budget(met: list[Event]) -> None:
    events = without_latency(sized(met))
    names = [budget.name for budget in budget_margins(Run.of(events))]
    assert names == ["size", "parameters", "accuracy"]
    page = render_html(events)
    assert "parameters: 120444 of at most 135500, 11.1 % to spare: met" in page
    assert "budget 0.4" not in page
    assert "goal reached" in page
    [turn] = [e for e in events if isinstance(e, TurnFinished) and e.turn == 2]
    assert turn.devices[0].budget_ms is None


def test_memory_has_its_margin_on_every_device(several: list[Event]) -> None:
    memory = PeakMemory(peak_mib=66.0, limit_mib=60.0)
    events = [
        event.model_copy(
            update={
                "devices": tuple(
                    device.model_copy(update={"memory": memory}) for device in event.devices
                )
            }
        )
        if isinstance(event, Baseline | TurnFinished)
        else event
        for event in several
    ]
    latency, memory_margin, *others = budget_margins(Run.of(events))
    assert latency.name == "latency on host-cpu"
    assert margin_text(memory_margin) == (
        "memory on host-cpu: 66.00 MiB of at most 60.00 MiB, 10 % too much"
    )
    assert [budget.name for budget in others] == ["latency on board", "memory on board", "accuracy"]
    assert "memory on board: 66.00 MiB of at most 60.00 MiB" in render_html(events)
    result = build_result(events)
    assert [device.memory for device in result.devices] == [memory, memory]


def test_several_devices_have_their_names_in_the_budgets(several: list[Event]) -> None:
    names = [budget.name for budget in budget_margins(Run.of(several))]
    assert names == ["latency on host-cpu", "latency on board", "accuracy"]


def test_before_the_teacher_is_measured_there_are_none(met: list[Event]) -> None:
    assert budget_margins(Run.of(met[:1])) == ()


def told_of_rounding(events: list[Event], speedup: float, score: float) -> str:
    """What is said where the teacher in int8 alone is so fast and scores so."""

    def trial(event: Event) -> Event:
        if not isinstance(event, PrecisionChosen):
            return event
        only = event.trials[0].model_copy(
            update={"speedup": ratio(speedup), "validation_score": score}
        )
        return event.model_copy(update={"trials": (only,)})

    return better_by_rounding(Run.of([trial(event) for event in events]))


def test_int8_alone_is_told_where_it_is_as_fast_as_what_ships_and_better(
    mixed: list[Event],
) -> None:
    best = Run.of(mixed).best
    assert best is not None
    speedup, score = best.devices[0].speedup.value, best.student.validation_score
    told = told_of_rounding(mixed, speedup, score + 0.5)
    assert told.startswith(f"int8 alone, with nothing cut: {speedup:.2f}x, accuracy")
    assert told_of_rounding(mixed, speedup, score) == ""
    assert told_of_rounding(mixed, 0.9 * speedup, score + 0.5) == ""


def test_without_measured_precisions_nothing_is_said_of_rounding(met: list[Event]) -> None:
    assert better_by_rounding(Run.of(met)) == ""


def test_no_share_is_asked_for_that_cannot_be_undercut(met: list[Event]) -> None:
    begun, *rest = met
    lenient = begun.model_copy(update={"plan": {**begun.plan, "max_drop": 95.0}})
    *_, score = budget_margins(Run.of([lenient, *rest]))
    assert margin_text(score) == "accuracy: 92.60 % of at least 0.00 %, 92.6 points to spare"
