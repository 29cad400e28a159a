import itertools
from typing import Any

import pytest

from edgespiral.core.errors import TargetError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes.base import Answer
from edgespiral.measure.targets.check import CheckLine, check_lines, check_target


def lines(
    profile: TargetProfile, factor: float = 1.0, threads: int = 1, **state: Any
) -> dict[str, CheckLine]:
    rounds = [[1.0, 1.01, 0.99]] * 8
    slower = [[factor * ms for ms in samples] for samples in rounds]
    answer = Answer.model_validate(
        {
            "device": {"device": "d", "architecture": "a", "operating_system": "o", "cores": 2},
            "runtime": {
                "runtime": "onnxruntime",
                "runtime_version": "1",
                "provider": "p",
                "threads": threads,
            },
            "before": {},
            "after": state,
            "samples": [{"warmup_count": 1, "rounds_ms": taken} for taken in (rounds, slower)],
        }
    )
    return {line.name: line for line in check_lines(answer, profile)}


def test_a_steady_device_has_no_advice(profile: TargetProfile) -> None:
    found = lines(profile, governor="performance", temperature_c=40.0, load=0.1)
    assert [line.name for line in found.values() if not line.ok] == []
    assert found["temperature"].value == "40 C"


@pytest.mark.parametrize(
    ("name", "factor", "threads", "state"),
    [
        ("governor", 1.0, 1, {"governor": "powersave"}),
        ("load", 1.0, 1, {"load": 2.5}),
        ("noise", 1.05, 1, {}),
        ("noise", 0.95, 1, {}),
    ],
)
def test_what_harms_a_measurement_is_said(
    profile: TargetProfile, name: str, factor: float, threads: int, state: dict[str, Any]
) -> None:
    found = lines(profile, factor, threads, **state)
    assert [line.name for line in found.values() if not line.ok] == [name]
    assert found[name].advice


def test_the_cores_of_a_measurement_are_said(profile: TargetProfile) -> None:
    runtime = profile.runtime.model_copy(update={"affinity": (0,)})
    pinned = profile.model_copy(update={"runtime": runtime})
    found = {line.name: line.value for line in check_target(pinned)}
    assert found["threads"] == "1, kept to cores 0"
    assert found["device"].endswith(", 1 cores")


def test_what_the_system_hides_is_said(profile: TargetProfile) -> None:
    assert lines(profile)["governor"].value == "not shown by this system"


def test_a_target_is_tried_out(profile: TargetProfile) -> None:
    found = {line.name: line.value for line in check_target(profile)}
    assert found["target"] == "brief: onnxruntime by way of local"
    assert found["provider"] == "CPUExecutionProvider"
    assert {"work folder", "device", "python", "onnxruntime", "governor", "noise"} <= set(found)
    assert "a model against itself" in found["noise"]


def test_what_was_found_before_a_failure_is_told(board: Any) -> None:
    lines = check_target(board.profile(host="behind", python="python9"))
    found = {line.name: line.value for line in itertools.islice(lines, 3)}
    assert f"@127.0.0.1, port {board.port}, by way of board)" in found["connection"]
    assert found["work folder"].startswith(str(board.folder))
    assert found["work folder"].endswith(" GB free")
    with pytest.raises(TargetError, match="there is no command python9"):
        next(lines)
    assert list(board.folder.iterdir()) == []
