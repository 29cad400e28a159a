"""What runs of schema 1 wrote, as the records of today.

Schema 1 had the first device's figures in fields of their own, those of others in `elsewhere`, and
called every score an accuracy. A run of before that is gone on with has records of both kinds, so
each says its own schema; those of schema 1 say none, or 1.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

# What scores are of where nothing says so: there were no other tasks.
METRIC = {"name": "accuracy", "unit": "%", "higher_is_better": True}
RENAMED = {
    "validation_accuracy": "validation_score",
    "test_accuracy": "test_score",
    "float_accuracy": "float_score",
    "pytorch_accuracy": "pytorch_score",
    "teacher_test_accuracy": "teacher_test_score",
    "student_test_accuracy": "student_test_score",
    "accuracy_after_cut": "score_after_cut",
    "accuracy_gain": "score_gain",
    "accuracy_before": "score_before",
    "accuracy_after": "score_after",
    "accuracy": "score",
    "accuracy_here": "score_here",
    "top1_agreement": "agreement",
}
# What a gate said of a limit.
VERDICTS = {"pass": "met", "regressed": "missed"}
# Whose keys are names of the user's or of layers, and no fields.
TABLES = (
    *("metric", "plan", "widths", "files", "data_files", "versions", "seconds", "saved_ms"),
    "left_dense",
)


class Upgrade:
    """Brings a journal's records of schema 1, given in order, to the schema of today."""

    def __init__(self) -> None:
        self._budget_ms: object = None
        # By the words that a record may have, so that no other word names a method.
        self._of_kind = {
            "run-started": self._run_started,
            "baseline": self._baseline,
            "candidate": self._candidate,
            "turn-planned": self._turn_planned,
            "turn-finished": self._turn_finished,
            "run-finished": self._run_finished,
        }

    def record(self, entry: Json) -> Json:
        """One record; one of today is given back as it is.

        Raises:
            RecursionError: it is nested too deeply.
        """
        if entry.get("schema_version", 1) != 1:
            return entry
        record = renamed(entry)
        record["schema_version"] = 2
        upgrade = self._of_kind.get(str(record.get("kind")))
        if upgrade is not None:
            upgrade(record)
        return record

    def _run_started(self, record: Json) -> None:
        record.setdefault("metric", METRIC)

    def _baseline(self, record: Json) -> None:
        self._budget_ms = record.pop("budget_ms", None)
        unit = {"value": 1.0, "ci95": {"low": 1.0, "high": 1.0}}
        self._gather(record, measurement=_latency(record, "teacher"), speedup=unit)

    def _candidate(self, record: Json) -> None:
        first = {key: record.pop(key, None) for key in ("predicted_ms", "speedup", "measurement")}
        self._gather(record, **first)

    def _turn_planned(self, record: Json) -> None:
        # Trials of finalists, which nothing reads any more.
        record.pop("finalists", None)

    def _turn_finished(self, record: Json) -> None:
        measurement, verdict = _latency(record, "student"), record.get("verdict")
        # All are met where the turn's is; else the first device's own was not recorded.
        is_own = verdict == "met" or not record.get("elsewhere")
        first = {"speedup": record.pop("speedup", None), "verdict": verdict if is_own else None}
        self._gather(record, measurement=measurement, **first)

    def _run_finished(self, record: Json) -> None:
        if record.get("outcome") == "accuracy-floor":
            record["outcome"] = "score-floor"
        measurement, speedup = record.pop("final", None), record.pop("speedup", None)
        self._gather(record, measurement=measurement, speedup=speedup)

    def _gather(self, record: Json, **first: object) -> None:
        """Put the first device's figures before those of the others."""
        others = record.pop("elsewhere", [])
        # Without one a device has no budget today, which is not what a lost figure means.
        budget = {} if self._budget_ms is None else {"budget_ms": self._budget_ms}
        alone = [{**budget, **first}]
        # What is no list is damaged: for validation to tell.
        record["devices"] = alone + others if isinstance(others, list) else others


def renamed(record: Json) -> Json:
    """A record of schema 1, and those within it, with today's names of scores.

    Example:
        >>> renamed({"accuracy": 91.2, "files": {"accuracy": "0f"}})
        {'score': 91.2, 'files': {'accuracy': '0f'}}
    """
    return {
        RENAMED.get(key, key): value if key in TABLES else _renamed_within(value)
        for key, value in record.items()
    }


def upgraded_result(result: Json) -> Json:
    """A gate's result of schema 1, which had other words for its verdicts, as one of today.

    Raises:
        RecursionError: it is nested too deeply.

    Example:
        >>> upgraded_result({"schema_version": 1, "verdict": "pass", "cases": []})
        {'schema_version': 2, 'verdict': 'met', 'cases': []}
    """
    return {**_judged(result), "schema_version": 2}


def upgraded_training(record: object) -> object:
    """The record of a training of schema 1, `train.json`, as one of today; any other as it is.

    Raises:
        RecursionError: it is nested too deeply.
    """
    if not isinstance(record, dict) or record.get("schema_version") != 1:
        return record
    return {"metric": METRIC, **renamed(record), "schema_version": 2}


def _judged(record: Json) -> Json:
    """A result, a model of it or a check, with today's verdict, and those within it."""
    upgraded, verdict = dict(record), record.get("verdict")
    if isinstance(verdict, str):
        upgraded["verdict"] = VERDICTS.get(verdict, verdict)
    for key in ("cases", "checks"):
        if isinstance(record.get(key), list):
            parts = record[key]
            upgraded[key] = [_judged(part) if isinstance(part, dict) else part for part in parts]
    return upgraded


def _renamed_within(value: object) -> object:
    if isinstance(value, dict):
        return renamed(value)
    if isinstance(value, list):
        return [_renamed_within(part) for part in value]
    return value


def _latency(record: Json, model: str) -> object:
    facts = record.get(model)
    return facts.pop("latency", None) if isinstance(facts, dict) else None
