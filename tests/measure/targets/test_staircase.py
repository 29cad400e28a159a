from collections.abc import Callable

import numpy as np
import pytest

from edgespiral.core.errors import MeasurementError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.session import Session
from edgespiral.measure.targets import staircase
from edgespiral.measure.targets.staircase import CHANNELS, find_step, measure_staircase


def up(channels: int, step: int) -> int:
    return step * -(-channels // step)


def rounds(latency_ms: Callable[[int], float], noise: float = 0.01) -> dict[int, list[list[float]]]:
    random = np.random.default_rng(0)
    shape = (25, 3)
    return {
        width: (latency_ms(width) * np.exp(random.normal(0, noise, shape))).tolist()
        for width in CHANNELS
    }


@pytest.mark.parametrize("step", [1, 4, 8, 16, 32])
def test_the_step_of_a_staircase_is_found(step: int) -> None:
    found, agreement = find_step(rounds(lambda width: 0.1 + 0.01 * up(width, step)))
    assert found == step
    assert agreement > 0.9


def test_a_slope_within_the_steps_does_not_hide_them() -> None:
    assert find_step(rounds(lambda width: 0.3 + 0.01 * up(width, 8) + 0.002 * width))[0] == 8


def test_widths_that_cost_more_than_the_next_step_do_not_either() -> None:
    """ONNX Runtime leaves its blocked kernels where a width is no multiple of 4."""

    def latency_ms(width: int) -> float:
        return 1e-4 * up(width, 16) ** 2 if width % 4 == 0 else 1.5e-4 * width**2

    assert find_step(rounds(latency_ms))[0] == 16


def test_a_latency_that_grows_faster_than_the_channels_has_no_steps() -> None:
    assert find_step(rounds(lambda width: 1e-4 * width**2))[0] == 1


def test_a_device_is_measured(profile: TargetProfile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staircase, "CHANNELS", (36, 40, 48, 52, 64, 96))
    monkeypatch.setattr(staircase, "LEAST_AGREEMENT", 0.0)
    said: list[str] = []
    with Session(profile) as session:
        found = measure_staircase(session, said.append)
    assert list(found.measured) == [36, 40, 48, 52, 64, 96]
    assert found.measured[96].stats.p50_ms > found.measured[48].stats.p50_ms
    assert said[-1].startswith("measuring 6 widths on")


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [("LEAST_RISE", 1e9, "latency hardly rises"), ("LEAST_AGREEMENT", 2.0, "is not clear")],
)
def test_what_cannot_be_told_is_an_error(
    profile: TargetProfile,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: float,
    words: str,
) -> None:
    monkeypatch.setattr(staircase, limit, value)
    monkeypatch.setattr(staircase, "CHANNELS", (40, 48, 96))
    monkeypatch.setattr(staircase, "SIZES", (14,))
    with Session(profile) as session, pytest.raises(MeasurementError, match=f"brief: .*{words}"):
        measure_staircase(session, lambda _: None)
