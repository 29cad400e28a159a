import subprocess
import sys
from typing import Any

import pytest

from edgespiral.measure.runtimes import RUNTIMES
from edgespiral.measure.runtimes.base import Answer, Capabilities


def answer(before: dict[str, Any], after: dict[str, Any]) -> Answer:
    device = {"device": "d", "architecture": "a", "operating_system": "o", "cores": 2}
    runtime = {"runtime": "r", "runtime_version": "1", "provider": "p", "threads": 1}
    return Answer.model_validate(
        {"device": device, "runtime": runtime, "before": before, "after": after}
    )


# What the settings of some runtimes cannot do without.
REQUIRED = {
    "android": {"binary": "tool"},
    "litert-native": {"binary": "tool"},
    "tensorrt-rtx": {"compute_capability": "8.9"},
}
SETTINGS = {kind: REQUIRED.get(kind, {}) for kind in RUNTIMES.built_in()}


def capabilities(kind: str, **settings: object) -> Capabilities:
    plugin = RUNTIMES.get(kind)
    return plugin.capabilities(plugin.settings.model_validate({"kind": kind, **settings}))


def test_every_folder_is_a_runtime_of_its_name() -> None:
    assert {*REQUIRED, "onnxruntime", "onnxruntime-mobile", "tensorrt"} <= set(SETTINGS)
    for kind, settings in SETTINGS.items():
        assert capabilities(kind, **settings).precisions[0] in ("fp32", "fp16")


@pytest.mark.parametrize(
    ("kind", "settings", "precisions", "form", "kernels"),
    [
        ("onnxruntime", {}, ("fp32", "int8"), "onnxruntime", "none"),
        (
            "onnxruntime",
            {"provider": "CUDAExecutionProvider"},
            ("fp32", "fp16", "int8"),
            "tensorrt",
            "none",
        ),
        ("android", {"binary": "tool"}, ("fp32", "int8"), "onnxruntime", "none"),
        ("tensorrt", {}, ("fp16", "int8"), "tensorrt", "off"),
        ("tensorrt", {"precision": "fp32"}, ("fp32", "int8"), "tensorrt", "off"),
        ("tensorrt", {"sparsity": True}, ("fp16", "int8"), "tensorrt", "on"),
        ("tensorrt", {"strongly_typed": True}, ("fp32", "fp16", "int8"), "tensorrt", "off"),
    ],
)
def test_what_a_runtime_can_do_is_its_own_to_say(
    kind: str, settings: dict[str, Any], precisions: tuple[str, ...], form: str, kernels: str
) -> None:
    found = capabilities(kind, **settings)
    assert (found.precisions, found.int8_form) == (precisions, form)
    assert (found.sparse_kernels, found.overlap) == (kernels, 4.0 if kind == "tensorrt" else 1.0)


def test_reading_a_profile_of_every_runtime_loads_none_of_their_packages() -> None:
    code = """
import sys
from edgespiral.measure.profile import TargetProfile
for kind, settings in @.items():
    TargetProfile.model_validate({"schema": 1, "name": "x", "runtime": {"kind": kind, **settings},
                                  "transport": {"kind": "local"}}).capabilities
print(sorted({"torch", "onnx", "onnxruntime", "adbutils"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code.replace("@", repr(SETTINGS))], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("before", "after", "limit", "reason"),
    [
        ({}, {}, None, None),
        ({"temperature_c": 40}, {"temperature_c": 75}, 75, None),
        ({"temperature_c": 40}, {"temperature_c": 76}, 75, "the device is at 76 C, above 75 C"),
        ({}, {}, 75, "max_temp_c is set but the device shows no temperature"),
        ({"load": 1.0}, {"load": 2.0}, None, None),
        (
            {"governor": "performance"},
            {"governor": "powersave"},
            None,
            "the governor changed from performance to powersave",
        ),
        (
            {"power_mode": "MAXN"},
            {"power_mode": "15W"},
            None,
            "the power mode changed from MAXN to 15W",
        ),
        ({}, {"throttling": "its status is 3"}, None, "the device throttles: its status is 3"),
        ({"throttling": "its status is 1"}, {}, None, "the device throttles: its status is 1"),
        (
            {"frequency_limit_mhz": 2850},
            {"frequency_limit_mhz": 1800},
            None,
            "the device throttles: its clock's limit fell from 2850 to 1800 MHz",
        ),
        ({"frequency_limit_mhz": 1800}, {"frequency_limit_mhz": 2850}, None, None),
        ({}, {"cooling": ["pwm-fan", "Fan"], "firmware_flags": "50000"}, None, None),
        (
            {},
            {"cooling": ["pwm-fan", "thermal-cpufreq-0", "gpu-throttle-alert"]},
            None,
            "the device is slowed down by thermal-cpufreq-0, gpu-throttle-alert",
        ),
        (
            {},
            {"firmware_flags": "50005"},
            None,
            "the device is slowed down by its firmware (get_throttled 50005)",
        ),
        ({"throttle_count": 3}, {"throttle_count": 3}, None, None),
        ({"throttle_count": 3}, {"throttle_count": 4}, None, "the processor throttled"),
    ],
)
def test_what_voids_a_run(
    before: dict[str, Any], after: dict[str, Any], limit: float | None, reason: str | None
) -> None:
    assert answer(before, after).void(limit) == reason


def test_the_fingerprint_has_both_ends_of_the_run() -> None:
    found = answer({"temperature_c": 40.0}, {"temperature_c": 50.0, "governor": "g"})
    print_ = found.fingerprint("fp32")
    assert (print_.temperature_before_c, print_.temperature_after_c) == (40.0, 50.0)
    assert (print_.governor, print_.precision, print_.cores) == ("g", "fp32", 2)
