from pathlib import Path

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.measure.profile import TargetProfile, load_profile
from edgespiral.measure.racing.entrants import entrants, with_runtime
from edgespiral.measure.runtimes.browser.runtime import PACKAGE, PACKAGE_FILES


def ways(profile: TargetProfile, *names: str, **asked: object) -> list[tuple[str, str, int]]:
    lanes = entrants(profile, names or ("all",), **asked)  # type: ignore[arg-type]
    return [(lane.profile.runtime.kind, lane.precision, lane.threads) for lane in lanes]


def test_the_own_runtime_comes_first_and_each_has_all_its_precisions(
    profile: TargetProfile,
) -> None:
    everyone = ways(profile)
    assert everyone[0] == ("onnxruntime", "fp32", 1)
    assert {precision for kind, precision, _ in everyone if kind == "openvino"} == {
        "fp32",
        "bf16",
        "fp16",
    }
    assert ways(with_runtime(profile, "openvino"))[0][0] == "openvino"
    assert {precision for _, precision, _ in ways(profile, to_plan_on=True)} == {"fp32"}
    assert "ncnn" not in {kind for kind, _, _ in ways(profile, to_plan_on=True)}


def test_where_a_student_may_be_rounded_so_may_a_runtime(profile: TargetProfile) -> None:
    own = with_runtime(profile, "openvino")
    exact = own.runtime.model_copy(update={"inference_precision": "bf16"})
    lanes = ways(own.model_copy(update={"runtime": exact}), to_plan_on=True, rounded=True)
    assert lanes[0] == ("openvino", "bf16", 1)
    assert len(set(lanes)) == len(lanes)
    assert {("openvino", "fp32", 1), ("openvino", "fp16", 1), ("mnn", "fp16", 1)} <= set(lanes)
    assert "ncnn" not in {kind for kind, _, _ in lanes}


def test_a_browser_takes_part_where_its_package_is_and_is_not_planned_on(
    profile: TargetProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "browser" not in {kind for kind, _, _ in ways(profile)}
    # Named, it is one whose row says what is missing.
    assert ways(profile, "browser") == [("browser", "fp32", 1)]
    for name in PACKAGE_FILES["wasm"]:
        file = tmp_path / "node_modules" / PACKAGE / "dist" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert ("browser", "fp32", 1) in ways(profile)
    assert "browser" not in {kind for kind, _, _ in ways(profile, to_plan_on=True)}


def test_each_takes_part_with_each_number_of_threads(profile: TargetProfile) -> None:
    assert ways(profile, "onnxruntime", threads=(1, 2)) == [
        ("onnxruntime", "fp32", 1),
        ("onnxruntime", "fp32", 2),
    ]


def test_a_target_whose_runtime_does_not_race_takes_part_as_it_is() -> None:
    kinds = [kind for kind, _, _ in ways(load_profile("tensorrt-local"))]
    assert kinds[0] == "tensorrt"
    assert "onnxruntime" in kinds


def test_another_runtime_keeps_threads_and_cores(profile: TargetProfile) -> None:
    own = profile.runtime.model_copy(update={"threads": 2, "affinity": (0,)})
    other = with_runtime(profile.model_copy(update={"runtime": own}), "openvino").runtime
    assert (other.kind, getattr(other, "threads", 0)) == ("openvino", 2)
    assert getattr(other, "affinity", None) == (0,)


def test_what_cannot_take_part_is_refused(profile: TargetProfile) -> None:
    with pytest.raises(UsageError, match="did you mean openvino"):
        entrants(profile, ["openvin"])
    with pytest.raises(UsageError, match=r"the runtime android needs settings .*: binary"):
        entrants(profile, ["android"])
    with pytest.raises(UsageError, match="the runtime tensorrt has no threads to set"):
        entrants(load_profile("tensorrt-local"), ["tensorrt"], (2,))
