"""What the trials of bench/gate.py say: alarms of each method, worth of each statistic."""

from __future__ import annotations

import shlex
import statistics
import sys
from collections import defaultdict
from typing import Any

import numpy as np
from scipy.stats import binomtest, ttest_1samp

from edgespiral.core.records.measurement import Interval
from edgespiral.core.statistics.intervals import sign_median, signed_rank
from edgespiral.core.statistics.stats import paired_ratio
from edgespiral.gate.checks import CONFIDENCE, verdict_of

Json = dict[str, Any]

TOLERANCE_PERCENT = 2.5
THRESHOLDS_PERCENT = (2.5, 5.0, 10.0)


def alarms(trials: list[Json]) -> dict[str, list[bool]]:
    """Whether each method alarmed, trial by trial, in those trials that asked it."""
    found = {"gate": [one["gate"]["verdict"] == "regressed" for one in trials]}
    asked = [one for one in trials if "two runs" in one]
    for limit in THRESHOLDS_PERCENT if asked else ():
        changes = [one["two runs"]["change_percent"] for one in asked]
        found[f"two medians > {limit:g} %"] = [change > limit for change in changes]
        for name in ("median", "min"):
            changes = [one["pytest-benchmark"]["change_percent"][name] for one in asked]
            found[f"pytest-benchmark {name} > {limit:g} %"] = [change > limit for change in changes]
    return found


def statistics_of(one: Json) -> dict[str, Interval]:
    """Other intervals from the gate's own samples, all of the same confidence but the bootstrap."""
    medians = np.array(one["gate"]["round_medians_ms"])
    logs = np.log(medians[1] / medians[0])
    mean = ttest_1samp(logs, 0).confidence_interval(CONFIDENCE)
    boot = paired_ratio(*[[[ms] for ms in side] for side in medians[::-1]]).ci95
    intervals = {
        "signed rank": signed_rank(logs, CONFIDENCE)[1],
        "sign test": sign_median(logs, CONFIDENCE),
        "t of the mean": Interval(low=mean.low, high=mean.high, confidence=CONFIDENCE),
    }
    found = {
        name: bounds.model_copy(
            update={
                "low": 100 * float(np.expm1(bounds.low)),
                "high": 100 * float(np.expm1(bounds.high)),
            }
        )
        for name, bounds in intervals.items()
    }
    ends = {"low": 100 * (boot.low - 1), "high": 100 * (boot.high - 1)}
    return {**found, "bootstrap of the median, 95 %": Interval(**ends, confidence=0.95)}


def share(hits: list[bool]) -> Json:
    """How many of how many, with the exact 95 % interval of the share in percent."""
    ends = binomtest(sum(hits), len(hits)).proportion_ci(0.95)
    return {
        "count": sum(hits),
        "of": len(hits),
        "percent": 100 * sum(hits) / len(hits),
        "ci95_percent": [100 * ends.low, 100 * ends.high],
    }


def by_statistic(trials: list[Json], true_percent: float) -> Json:
    """What each statistic would have said of the gate's samples, and if it held the truth."""
    found: dict[str, list[Interval]] = defaultdict(list)
    for one in trials:
        for name, bounds in statistics_of(one).items():
            found[name].append(bounds)
    return {
        name: {
            "regressed": share([verdict_of(b, TOLERANCE_PERCENT) == "regressed" for b in bounds]),
            "undecided": share([verdict_of(b, TOLERANCE_PERCENT) == "undecided" for b in bounds]),
            "holds_the_truth": share([b.low <= true_percent <= b.high for b in bounds]),
            "width_percent": statistics.median(b.high - b.low for b in bounds),
        }
        for name, bounds in found.items()
    }


def summary(trials: list[Json], true_percent: float) -> Json:
    """Figures of one kind of change under one condition."""
    seconds = [one["gate"]["seconds"] for one in trials]
    errors = [abs(one["gate"]["change_percent"] - true_percent) for one in trials]
    return {
        "alarms": {name: share(hits) for name, hits in alarms(trials).items()},
        "gate_undecided": share([one["gate"]["verdict"] == "undecided" for one in trials]),
        "gate_seconds": dict(zip(("p50", "p90", "max"), _quantiles(seconds), strict=True)),
        "gate_error_percent": dict(zip(("p50", "p90", "max"), _quantiles(errors), strict=True)),
        "gate_rounds": statistics.median(sum(one["gate"]["processes"]) for one in trials),
        "load": statistics.median(one["load"] for one in trials),
        "statistics_on_the_gate_s_samples": by_statistic(trials, true_percent),
    }


def _quantiles(values: list[float]) -> list[float]:
    return [float(value) for value in np.percentile(values, [50, 90, 100])]


def results(head: Json, trials: list[Json]) -> Json:
    """The whole document."""
    groups: dict[tuple[str, bool], list[Json]] = defaultdict(list)
    for one in trials:
        groups[one["kind"], one["neighbour"]].append(one)
    true = {"same": 0.0, **{name: found["slower_percent"] for name, found in head["truth"].items()}}
    return {
        "schema_version": 1,
        "command": shlex.join(["python", *sys.argv]),
        **head,
        "trials": {
            f"{kind}, {'neighbour' if busy else 'alone'}": summary(found, true[kind])
            for (kind, busy), found in sorted(groups.items())
        },
    }
