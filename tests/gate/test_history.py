import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from edgespiral.core.errors import UsageError
from edgespiral.core.statistics.stats import summarise
from edgespiral.gate.baseline import write_result
from edgespiral.gate.history import history, read_results, shifts
from edgespiral.gate.records import BenchResult
from edgespiral.gate.run import Gate
from edgespiral.gate.suite import load_suite
from edgespiral.measure.profile import TargetProfile

Make = Callable[..., Path]


@pytest.fixture
def result(chain: Make, suite_file: Make, profile: TargetProfile) -> BenchResult:
    """A measured suite of one model."""
    chain("a.onnx")
    path = suite_file('path = "a.onnx"')
    return Gate(load_suite(path), path, profile).run()


def later(result: BenchResult, hours: int, p50_ms: float, **fingerprint: object) -> BenchResult:
    """The same result as if taken later, with another median."""
    [case] = result.cases
    assert case.measurement
    scale = p50_ms / case.measurement.stats.p50_ms
    rounds_ms = tuple(
        tuple(scale * sample_ms for sample_ms in samples) for samples in case.measurement.rounds_ms
    )
    measurement = case.measurement.model_copy(
        update={
            "stats": summarise(rounds_ms),
            "rounds_ms": rounds_ms,
            "fingerprint": case.measurement.fingerprint.model_copy(update=fingerprint),
        }
    )
    return result.model_copy(
        update={
            "cases": (case.model_copy(update={"measurement": measurement}),),
            "finished_at": result.finished_at - timedelta(days=99) + timedelta(hours=hours),
            "git_commit": f"{hours:040d}",
        }
    )


def test_noise_has_no_change_of_level() -> None:
    source = np.random.default_rng(0)
    alarms = [bool(shifts((0.02 * source.normal(size=30)).tolist())) for _ in range(20)]
    assert sum(alarms) <= 1


def test_a_step_is_found_where_it_is() -> None:
    series = 0.01 * np.random.default_rng(0).normal(size=24)
    series[15:] += 0.05
    assert shifts(series.tolist()) == [15]
    series[20:] -= 0.05
    assert shifts(series.tolist()) == [15, 20]


def test_one_odd_result_is_no_change() -> None:
    series = 0.01 * np.random.default_rng(0).normal(size=24)
    series[10] += 0.5
    assert shifts(series.tolist()) == []


def test_a_few_results_are_too_few() -> None:
    assert shifts([0.0, 0.0, 1.0, 1.0, 1.0]) == []
    assert shifts([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]) == [3]


def test_a_trend_tells_where_a_model_became_slower(result: BenchResult) -> None:
    levels = [1.0, 1.01, 0.99, 1.0, 1.1, 1.11, 1.09, 1.1]
    [trend] = history([later(result, i, ms) for i, ms in enumerate(levels)]).trends
    assert [point.p50_ms for point in trend.points] == pytest.approx(levels)
    [shift] = trend.shifts
    assert (shift.index, shift.before_ms) == (4, 1.0)
    assert shift.percent == pytest.approx(10)
    assert trend.points[4].commit == f"{4:040d}"


def test_results_of_another_runtime_are_not_compared(result: BenchResult) -> None:
    before = [later(result, i, 1.0) for i in range(4)]
    after = [later(result, 4 + i, 2.0, runtime_version="9.9") for i in range(4)]
    [trend] = history([*before, *after]).trends
    assert trend.shifts == ()
    [one] = trend.breaks
    assert one.index == 4
    assert one.differences[0].endswith("is 9.9")


def test_files_and_folders_are_read_oldest_first_and_once(
    tmp_path: Path, result: BenchResult
) -> None:
    # A clock that was set back, or a cache restored in another order, does not matter.
    store = tmp_path / "store"
    for name, hours in (("a", 3), ("b", 1), ("copy-of-b", 1)):
        write_result(store / f"{name}.json", later(result, hours, 1.0))
    write_result(tmp_path / "c.json", later(result, 2, 1.0))
    read = read_results([store, tmp_path / "c.json"])
    assert [one.git_commit for one in read] == [f"{hours:040d}" for hours in (1, 2, 3)]


def test_mixed_schema_versions_are_told(tmp_path: Path, result: BenchResult) -> None:
    write_result(tmp_path / "a.json", result)
    document = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "b.json").write_text(json.dumps({**document, "schema_version": 3}))
    with pytest.raises(UsageError, match=r"b\.json: has schema version 3"):
        read_results([tmp_path])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ('{"schema_version": 1, "su', "is not whole JSON"),
        ("[]", "schema version"),
    ],
)
def test_a_damaged_result_is_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UsageError, match=rf"a\.json: .*{message}"):
        read_results([tmp_path])


def test_nothing_to_read_is_told(tmp_path: Path, result: BenchResult) -> None:
    with pytest.raises(UsageError, match="no results here"):
        read_results([tmp_path])
    with pytest.raises(UsageError, match="cannot be read"):
        read_results([tmp_path / "missing.json"])
    failed = result.cases[0].model_copy(update={"measurement": None, "processes": ()})
    with pytest.raises(UsageError, match="no model was measured"):
        history([result.model_copy(update={"cases": (failed,)})])
