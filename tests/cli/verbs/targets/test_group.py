import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edgespiral.cli.verbs.targets.group import targets_app
from edgespiral.core.errors import ExitCode, UsageError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_the_list_has_good_and_broken_targets(elsewhere: Path) -> None:
    (elsewhere / "targets").mkdir()
    (elsewhere / "targets" / "broken.toml").write_text("schema = 1\nname = [")
    result = CliRunner().invoke(targets_app, ["list"])
    assert result.exit_code == 0
    assert "host-cpu" in result.output
    assert "is not TOML" in result.output


def test_a_target_is_shown_with_its_defaults() -> None:
    result = CliRunner().invoke(targets_app, ["show", "host-cpu"])
    assert result.exit_code == 0
    shown = {line.split()[0]: line.split()[1:] for line in result.output.splitlines()}
    assert shown["name"] == ["host-cpu"]
    assert shown["runtime.kind"] == ["onnxruntime"]
    assert shown["measure.max_temp_c"] == []


def test_a_target_is_checked() -> None:
    result = CliRunner().invoke(targets_app, ["check", "host-cpu"])
    assert result.exit_code == 0
    assert "a model against itself" in result.output


@pytest.mark.parametrize("verb", ["show", "check"])
def test_an_unknown_target_brings_the_nearest(verb: str) -> None:
    error = CliRunner().invoke(targets_app, [verb, "host_cpu"]).exception
    assert isinstance(error, UsageError)
    assert "did you mean host-cpu" in str(error)


BOARD = """
schema = 1
name = "desk"
[runtime]
kind = "onnxruntime"
[transport]
kind = "ssh"
host = "$DESK_HOST"
config = "{board.config}"
workdir = "{board.folder}"
python = "{python}"
[measure]
warmup_ms = 2
rounds = 6
round_ms = 1
min_samples = 12
"""


@pytest.fixture
def desk(elsewhere: Path, board: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A device behind ssh, and the target `desk` that names it."""
    (elsewhere / "targets").mkdir()
    text = BOARD.format(board=board, python=sys.executable)
    (elsewhere / "targets" / "desk.toml").write_text(text)
    monkeypatch.setenv("DESK_HOST", "board")
    return board


def checked() -> tuple[int, dict[str, str]]:
    result = CliRunner().invoke(targets_app, ["check", "desk"])
    return result.exit_code, {line.split()[0]: line for line in result.output.splitlines()[::-1]}


@pytest.mark.usefixtures("desk")
def test_a_device_that_is_fine_is_said_to_be() -> None:
    code, lines = checked()
    assert code == 0
    assert "desk: onnxruntime by way of ssh" in lines["ok"]
    assert "mend" not in lines


def test_a_device_that_is_off_is_said_to_be_missing(desk: Any) -> None:
    desk.stop()
    code, lines = checked()
    assert code == ExitCode.TARGET
    assert "desk: onnxruntime by way of ssh" in lines["ok"]
    assert re.search(r"mend +board +cannot be reached: .*refused", lines["mend"])


def test_a_device_that_was_not_named_is_asked_for(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DESK_HOST")
    error = CliRunner().invoke(targets_app, ["check", "desk"]).exception
    assert isinstance(error, UsageError)
    assert str(error).endswith(
        "desk.toml:transport.host: the environment has no variable DESK_HOST "
        "(export DESK_HOST=user@address)"
    )
    assert "$DESK_HOST" in CliRunner().invoke(targets_app, ["show", "desk"]).output
    assert "desk" in CliRunner().invoke(targets_app, ["list"]).output


def test_a_jetson_is_checked_up_to_its_figures(board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled profile over real ssh; a stand-in takes trtexec's place."""
    monkeypatch.setenv("JETSON_HOST", "board")
    text = (Path(__file__).parents[4] / "targets" / "jetson-orin.toml").read_text()
    here = f'workdir = "{board.folder}"\nconfig = "{board.config}"\npython = "{sys.executable}"'
    brief = text.replace("timeout_s = 3600", here).replace("round_ms = 300", "round_ms = 1")
    Path("targets").mkdir()
    Path("targets/jetson-orin.toml").write_text(brief.replace("max_temp_c", "# max_temp_c"))
    missing = CliRunner().invoke(targets_app, ["check", "jetson-orin"])
    assert missing.exit_code == ExitCode.TARGET
    assert "mend" in missing.output
    assert "there is no trtexec on the PATH" in missing.output
    board.install_trtexec("10.3.0")
    fine = CliRunner().invoke(targets_app, ["check", "jetson-orin"])
    assert fine.exit_code == 0
    shown = {" ".join(line.split()[1:3]) for line in fine.output.splitlines()}
    assert {"tensorrt 10.3.0", "provider gpu", "precision fp16"} <= shown


def test_a_phone_is_checked_step_by_step(
    phone: Any, perf_test: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundled profile: first the program is missing, then the device, then nothing is."""
    monkeypatch.setenv("ORT_PERF_TEST", str(perf_test))
    text = (Path(__file__).parents[4] / "targets" / "android-arm64.toml").read_text()
    brief = text.replace("/data/local/tmp", str(phone.folder)).replace("rounds = 10", "rounds = 5")
    Path("targets").mkdir()
    Path("targets/android-arm64.toml").write_text(brief.replace("_ms = ", "_ms = 0.0"))
    moved = perf_test.rename(perf_test.with_name("elsewhere"))
    first = CliRunner().invoke(targets_app, ["check", "android-arm64"])
    assert first.exit_code == ExitCode.TARGET
    assert "no such file" in first.output
    moved.rename(perf_test)
    second = CliRunner().invoke(targets_app, ["check", "android-arm64"])
    assert second.exit_code == ExitCode.TARGET
    assert re.search(r"mend +android-arm64 +no Android device is attached; attach", second.output)
    phone.adb("connect", phone.serial)
    fine = CliRunner().invoke(targets_app, ["check", "android-arm64"])
    assert fine.exit_code == 0, fine.output
    assert re.search(r"ok +program +.*onnxruntime_perf_test", fine.output)
    assert "mend" not in fine.output


def test_a_machine_without_a_gpu_is_told_what_local_tensorrt_needs() -> None:
    if shutil.which("trtexec"):
        pytest.skip("this machine has trtexec")
    result = CliRunner().invoke(targets_app, ["check", "tensorrt-local"])
    assert result.exit_code == ExitCode.TARGET
    assert "mend" in result.output
    assert "there is no trtexec on the PATH or in /usr/src/tensorrt/bin" in result.output


def test_a_builder_is_checked_and_said_to_measure_nothing() -> None:
    pytest.importorskip("tensorrt_rtx", reason="the tensorrt-rtx extra is not installed")
    result = CliRunner().invoke(targets_app, ["check", "tensorrt-rtx"])
    assert result.exit_code == 0
    lines = {line.split()[1]: line for line in result.output.splitlines()}
    assert lines["builder"].split()[::2] == ["ok", "tensorrt-rtx"]
    assert "GPUs of compute capability 8.9" in lines["engine"]
    assert re.search(r"mind +latency +not measured", lines["latency"])
