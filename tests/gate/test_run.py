import json
from collections.abc import Callable
from pathlib import Path

import pytest
from devices import Board

from edgespiral.core.errors import TargetError
from edgespiral.gate.records import CaseResult
from edgespiral.gate.reference import from_path
from edgespiral.gate.run import Gate
from edgespiral.gate.suite import load_suite
from edgespiral.measure.profile import TargetProfile

Make = Callable[..., Path]


def test_a_suite_is_judged_model_by_model(
    chain: Make, suite_file: Make, profile: TargetProfile
) -> None:
    chain("same.onnx", 2), chain("slow.onnx", 6)
    chain("old/same.onnx", 2), chain("old/slow.onnx", 2)
    path = suite_file(
        'path = "same.onnx"\ntolerance_percent = 60\nbudget_ms = 1000', 'path = "slow.onnx"'
    )
    suite, heard = load_suite(path), list[CaseResult]()
    result = Gate(suite, path, profile, from_path(path, suite, path.parent / "old")).run(
        heard.append
    )
    same, slow = result.cases
    assert heard == [same, slow]
    assert (same.verdict, slow.verdict, result.verdict) == ("met", "missed", "missed")
    assert [check.kind for check in same.checks[:2]] == ["budget", "median"]
    assert slow.reference is not None
    assert slow.reference.paired
    assert slow.measurement is not None
    assert len(slow.measurement.rounds_ms) == len(slow.reference.measurement.rounds_ms)
    assert slow.interface == ("input x: float 1x16x16x16", "output y: float 1x16x16x16")
    assert (result.suite, result.target) == ("suite", "brief")
    assert json.loads(result.model_dump_json())["schema_version"] == 2


def test_without_a_limit_a_model_is_only_measured(
    chain: Make, suite_file: Make, profile: TargetProfile
) -> None:
    chain()
    path = suite_file('path = "net.onnx"')
    result = Gate(load_suite(path), path, profile).run()
    assert (result.verdict, result.cases[0].checks) == ("measured", ())
    assert result.cases[0].reference is None


def test_an_error_of_one_model_leaves_the_others(
    chain: Make, suite_file: Make, profile: TargetProfile
) -> None:
    chain("a.onnx", batch="n"), chain("b.onnx"), chain("old/a.onnx", size=8)
    path = suite_file('path = "a.onnx"', 'path = "b.onnx"\nbudget_ms = 1000')
    suite = load_suite(path)
    result = Gate(suite, path, profile).run()
    assert [case.verdict for case in result.cases] == ["error", "met"]
    assert result.verdict == "error"
    assert "has no fixed shape: nx16x16x16; give one" in (result.cases[0].error or "")
    against = Gate(suite, path, profile, from_path(path, suite, path.parent / "old")).run()
    assert "was input x: float 1x16x8x8" in (against.cases[0].error or "")
    assert "no such file" in (against.cases[1].error or "")


def test_a_changed_interface_can_be_allowed(
    chain: Make, suite_file: Make, profile: TargetProfile
) -> None:
    chain("net.onnx", 2, 16), chain("old.onnx", 4, 32)
    path = suite_file('path = "net.onnx"\nallow_interface_change = true')
    suite = load_suite(path)
    result = Gate(suite, path, profile, from_path(path, suite, path.parent / "old.onnx")).run()
    assert result.verdict == "met"


def test_a_target_that_cannot_be_used_ends_all(
    chain: Make, suite_file: Make, profile: TargetProfile
) -> None:
    chain()
    path = suite_file('path = "net.onnx"')
    elsewhere = profile.model_copy(
        update={"runtime": profile.runtime.model_copy(update={"provider": "NoneProvider"})}
    )
    with pytest.raises(TargetError, match="NoneProvider does not run here"):
        Gate(load_suite(path), path, elsewhere).run()


def test_engines_behind_ssh_are_judged_too(board: Board, chain: Make, suite_file: Make) -> None:
    board.install_trtexec("10.3.0")
    for name, layers in (("new", 6), ("old/new", 2)):
        content = chain(f"{name}.onnx", layers).read_bytes()
        engine = suite_file().parent / f"{name}.engine"
        engine.write_bytes(b"STAND-IN ENGINE 10.3.0\n" + content)
    path = suite_file('path = "new.engine"', own="time_limit_s = 1")
    suite = load_suite(path)
    profile = board.profile({"kind": "tensorrt"})
    result = Gate(suite, path, profile, from_path(path, suite, path.parent / "old")).run()
    [case] = result.cases
    assert (case.verdict, case.error) == ("missed", None)
    assert case.measurement is not None
    assert case.measurement.fingerprint.runtime == "tensorrt"
    assert list(board.folder.iterdir()) == []
