from typing import Any, get_args

import pytest

from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes import RUNTIMES, Answer


def answer(before: dict[str, Any], after: dict[str, Any]) -> Answer:
    device = {"device": "d", "architecture": "a", "operating_system": "o", "cores": 2}
    runtime = {"runtime": "r", "runtime_version": "1", "provider": "p", "threads": 1}
    return Answer.model_validate(
        {"device": device, "runtime": runtime, "before": before, "after": after}
    )


def test_every_kind_a_profile_may_name_is_there() -> None:
    choices = TargetProfile.model_fields["runtime"].annotation
    kinds = [get_args(kind)[1].tag for kind in get_args(choices)]
    assert sorted(kinds) == RUNTIMES.names()


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
