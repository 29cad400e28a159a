import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.core.errors import MeasurementError, UsageError
from edgespiral.gate.baseline import (
    check_comparable,
    load_baseline,
    read_result,
    save_baseline,
    write_result,
)
from edgespiral.gate.records import BenchResult
from edgespiral.gate.run import Gate
from edgespiral.gate.suite import load_suite
from edgespiral.measure.profile import TargetProfile

Make = Callable[..., Path]


@pytest.fixture
def result(chain: Make, suite_file: Make, profile: TargetProfile) -> BenchResult:
    """A measured suite of two models."""
    chain("a.onnx"), chain("b.onnx", 2)
    path = suite_file('path = "a.onnx"', 'path = "b.onnx"')
    return Gate(load_suite(path), path, profile).run()


def test_a_baseline_comes_back_as_it_was(tmp_path: Path, result: BenchResult) -> None:
    path = save_baseline(tmp_path / "deep" / "store", "main-1.2", result)
    assert path == tmp_path / "deep" / "store" / "main-1.2.json"
    assert load_baseline(tmp_path / "deep" / "store", "main-1.2") == result
    # One line a model: a diff shows which changed.
    lines = path.read_text().splitlines()
    assert ['"model": "a.onnx"' in line for line in lines].count(True) == 1
    assert ['"model": "b.onnx"' in line for line in lines].count(True) == 1
    assert not any('"a.onnx"' in line and '"b.onnx"' in line for line in lines)


def test_a_baseline_of_schema_1_is_read(tmp_path: Path, result: BenchResult) -> None:
    path = save_baseline(tmp_path, "main", result)
    document = json.loads(path.read_text())
    words = {"met": "pass", "missed": "regressed"}
    cases = [
        {**case, "verdict": words.get(case["verdict"], case["verdict"])}
        for case in document["cases"]
    ]
    verdict = words.get(document["verdict"], document["verdict"])
    path.write_text(
        json.dumps({**document, "schema_version": 1, "verdict": verdict, "cases": cases})
    )
    assert load_baseline(tmp_path, "main") == result


def test_a_name_that_is_not_there_has_its_nearest(tmp_path: Path, result: BenchResult) -> None:
    with pytest.raises(UsageError, match="no baselines here; edgespiral bench save"):
        load_baseline(tmp_path, "main")
    save_baseline(tmp_path, "main", result)
    with pytest.raises(UsageError, match="unknown baseline 'mian'; did you mean main"):
        load_baseline(tmp_path, "mian")


@pytest.mark.parametrize("name", ["", "../main", "a/b", ".hidden"])
def test_a_name_stays_in_the_store(tmp_path: Path, result: BenchResult, name: str) -> None:
    with pytest.raises(UsageError, match="not a name"):
        save_baseline(tmp_path, name, result)


def test_a_model_that_failed_makes_no_baseline(tmp_path: Path, result: BenchResult) -> None:
    failed = result.cases[0].model_copy(update={"measurement": None, "error": "too hot"})
    with pytest.raises(MeasurementError, match="a: no baseline saved: too hot"):
        save_baseline(tmp_path, "main", result.model_copy(update={"cases": (failed,)}))
    assert list(tmp_path.glob("*.json")) == []


def damaged(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_damaged_file_is_told_with_its_place(tmp_path: Path, result: BenchResult) -> None:
    path = tmp_path / "main.json"

    def message() -> str:
        with pytest.raises(UsageError) as caught:
            read_result(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert message() == f"{path}: cannot be read: No such file or directory"
    path.touch()
    assert message() == f"{path}: is empty; save it again"
    write_result(path, result)
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert message().startswith(f"{path}: is not whole JSON")
    path.write_bytes(b"\xff\xfe")
    assert message().startswith(f"{path}: is not whole JSON")
    path.write_text("[]")
    assert "has schema version None, this EdgeSpiral reads 2" in message()
    path.write_text(whole)
    damaged(path, schema_version=3)
    assert "has schema version 3, this EdgeSpiral reads 2" in message()
    damaged(path, schema_version=1, suit="x")
    assert f"{path}:suit: unknown key 'suit', did you mean suite?" in message()
    path.write_text(whole)
    damaged(path, cases=[])
    assert f"{path}:cases" in message()


@pytest.mark.parametrize("emptied", [slice(None), slice(0, 1)])
def test_no_samples_are_not_read(tmp_path: Path, result: BenchResult, emptied: slice) -> None:
    path = tmp_path / "main.json"
    write_result(path, result)
    document = json.loads(path.read_text())
    rounds_ms = document["cases"][0]["measurement"]["rounds_ms"]
    rounds_ms[emptied] = [] if emptied.stop is None else [[]]
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"cases\.0.*no samples"):
        read_result(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"device": "Orin"}, "device was Orin, is "),
        ({"power_mode": "MAXN"}, "power mode was MAXN, is None"),
        ({"governor": "powersave"}, "governor was powersave, is "),
        ({"runtime_version": "0.1"}, "runtime version was 0.1, is "),
        ({"threads": 4, "cores": 99}, r"cores was 99, is \d+, threads was 4, is 1"),
    ],
)
def test_a_baseline_of_another_setting_is_refused_with_the_difference(
    result: BenchResult, change: dict[str, object], words: str
) -> None:
    stored = result.cases[0]
    assert stored.measurement is not None
    now = stored.measurement
    check_comparable("main", stored, {}, now)
    other = now.fingerprint.model_copy(update=change)
    elsewhere = stored.model_copy(
        update={"measurement": now.model_copy(update={"fingerprint": other})}
    )
    with pytest.raises(UsageError, match=f"^baseline main: a: cannot be compared with: {words}"):
        check_comparable("main", elsewhere, {}, now)


def test_other_input_shapes_are_refused(result: BenchResult) -> None:
    stored = result.cases[0]
    assert stored.measurement is not None
    with pytest.raises(UsageError, match=r"input shapes were \{\}, are \{'x': \(2, 3\)\}"):
        check_comparable("main", stored, {"x": (2, 3)}, stored.measurement)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": ' + "9" * 5000, "\0", '{"schema_version": 1e999}']
)
def test_a_file_made_to_cost_is_one_line(tmp_path, text):
    path = tmp_path / "main.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_result(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_waited_for(tmp_path, make):
    make(tmp_path / "main.json")
    with pytest.raises(UsageError, match="cannot be read"):
        read_result(tmp_path / "main.json")


@pytest.mark.parametrize("number", [10**400, -(10**400), 10**4000])
def test_enormous_numbers_are_one_line(tmp_path, number):
    path = tmp_path / "main.json"
    document = {"schema_version": 1, "finished_at": number, "cases": [{"seconds": number}]}
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError) as caught:
        read_result(path)
    assert len(str(caught.value)) < 1000
