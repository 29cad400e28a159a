import tomllib
from contextlib import suppress
from typing import Any

import pytest

from edgespiral.core.errors import TargetError
from edgespiral.measure.targets.new import profile_text
from edgespiral.measure.targets.survey import DeviceSurvey, read_survey

SSH = {"kind": "ssh", "host": "board"}
ORIN = """
architecture=aarch64
model=NVIDIA Jetson AGX Orin Developer Kit
cores=12
governor=schedutil
temperature=45000
trip=99000
trip=95000
trip=-1
l4t=# R36 (release), REVISION: 4.3
jetpack=6.2+b77
power_mode=MAXN
trtexec=/usr/src/tensorrt/bin/trtexec
tensorrt=100300
python=3.10.12
"""
PI = """
architecture=aarch64
model=Raspberry Pi 5 Model B Rev 1.0
cores=4
speed=2400000
speed=2400000
speed=2400000
speed=2400000
governor=ondemand
temperature=51000
python=3.11.2
onnxruntime=1.20.0
providers=CPUExecutionProvider XnnpackExecutionProvider
"""
PHONE = """
architecture=aarch64
android=14
phone=Google Pixel 6
cores=8
speed=1800000
speed=2253000
speed=2850000
speed=2850000
"""


def written(told: str, transport: dict[str, object] | None = None) -> tuple[dict[str, Any], str]:
    found = DeviceSurvey({"connection": "ssh board (me@board, port 22)"}, read_survey(told))
    text = profile_text("desk", transport or SSH, found, "$ORT_PERF_TEST")
    return tomllib.loads(text), text


def test_a_jetson_gets_its_own_tool() -> None:
    profile, text = written(ORIN)
    assert profile["runtime"] == {"kind": "tensorrt", "precision": "fp16"}
    assert profile["transport"] == {"kind": "ssh", "host": "board", "timeout_s": 3600}
    assert profile["measure"]["max_temp_c"] == 94
    assert profile["device"]["channel_multiple"] == 16
    assert (
        "# trtexec of TensorRT 10.3.0 at /usr/src/tensorrt/bin/trtexec; JetPack 6.2+b77; " in text
    )
    assert "# figures belong to the power mode (now MAXN)" in text
    assert "# ssh board (me@board, port 22)\n" in text
    assert "8.6.1" in written(ORIN.replace("100300", "8601"))[1]
    typed, _ = written(ORIN.replace("100300", "110100"))
    assert typed["runtime"]["strongly_typed"] is True
    assert "of an unknown version" in written(ORIN.replace("tensorrt=100300", ""))[1]


def test_a_board_gets_its_python() -> None:
    profile, text = written(PI)
    assert profile["runtime"]["kind"] == "onnxruntime"
    assert profile["runtime"]["threads"] == 4
    assert "max_temp_c" not in profile["measure"]
    assert profile["device"] == {
        "channel_multiple": 4,
        "description": "Raspberry Pi 5 Model B Rev 1.0, onnxruntime",
    }
    assert "# cores: 4, 4 of them at 2.4 GHz; governor ondemand\nthreads = 4" in text
    assert "# also there: XnnpackExecutionProvider" in text


def test_a_phone_gets_a_program_of_the_users() -> None:
    profile, text = written(PHONE, {"kind": "adb", "serial": "R58M"})
    assert profile["runtime"]["kind"] == "android"
    assert (profile["runtime"]["binary"], profile["runtime"]["threads"]) == ("$ORT_PERF_TEST", 2)
    assert profile["transport"]["serial"] == "R58M"
    assert text.startswith("# Google Pixel 6, as ")


@pytest.mark.parametrize(
    ("flags", "multiple"), [("sse avx avx512f", 16), ("sse avx2", 8)], ids=["avx512", "avx2"]
)
def test_a_pc_gets_one_thread(flags: str, multiple: int) -> None:
    told = f"architecture=x86_64\nprocessor=A B\nflags={flags}\npython=3.12.1\nonnxruntime=1.22.0"
    profile, text = written(f"{told}\nproviders=CPUExecutionProvider\n", {"kind": "local"})
    assert (profile["runtime"]["threads"], profile["transport"]["timeout_s"]) == (1, 600)
    assert profile["device"]["channel_multiple"] == multiple
    assert "# the only one there" in text


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ("", "there is neither trtexec nor the Python that was asked; install Python"),
        ("python=3.8.10\nonnxruntime=1.16.0", r"its Python 3\.8\.10 is too old; name Python 3\.10"),
        ("python=3.11.2\nno_onnxruntime=No module named 'onnxruntime'", "has no onnxruntime: No m"),
    ],
)
def test_a_device_that_cannot_run_a_model_is_told(told: str, problem: str) -> None:
    with pytest.raises(TargetError, match=problem):
        written(f"architecture=aarch64\n{told}")


def test_what_a_device_says_cannot_break_the_file() -> None:
    profile, _ = written(PI.replace("Raspberry Pi 5", 'a "b" \\ é'))
    assert profile["device"]["description"].startswith('a "b" \\ é Model B')


@pytest.mark.parametrize("told", [ORIN, PI, PHONE])
@pytest.mark.parametrize(
    "bad", ["x", "-1", "0", "8\u00b2", "1e9", "\x7f\x1b", "\"'[/]\\", "9" * 30]
)
def test_whatever_a_device_says_its_profile_can_be_read(told: str, bad: str) -> None:
    for line in told.strip().splitlines():
        key = line.partition("=")[0]
        changed = told.replace(line, f"{key}={bad}")
        with suppress(TargetError):
            profile, _ = written(changed)
            assert profile["name"] == "desk"
