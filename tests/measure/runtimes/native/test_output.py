"""What any program's script prints, read without a device."""

from pathlib import Path

import pytest
from device_states import PIXEL

from edgespiral.core.errors import MeasurementError, TargetError
from edgespiral.measure.completed import Completed
from edgespiral.measure.runtimes.base import Job
from edgespiral.measure.runtimes.native.output import (
    about_device,
    device_state,
    sections,
    warmup_count,
    whole_sections,
)


def test_what_comes_before_the_first_mark_belongs_to_no_part() -> None:
    parts = sections("welcome\n@ facts\nmodel=Phone\n@ warm 0 60\n")
    assert [(part.words, part.lines) for part in parts] == [
        (("facts",), ("model=Phone",)),
        (("warm", "0", "60"), ()),
    ]
    assert warmup_count(parts, 0) == 60
    with pytest.raises(MeasurementError, match="did not tell how it warmed up"):
        warmup_count(parts, 1)


def test_a_program_s_own_words_say_that_it_is_not_right() -> None:
    job = Job("measure", (Path("net.onnx"),), 5, 1.0, 2.0, 3, 4)
    told = Completed(1, "@ facts\n@ failed 0 1\nno such kernel\n", "")
    with pytest.raises(TargetError, match=r"^tool does not run there: no such kernel; build it"):
        whole_sections(told, job, "tool", {"no such kernel": "build it with that"})
    with pytest.raises(MeasurementError, match="the measuring process"):
        whole_sections(Completed(0, "@ facts\n", ""), job, "tool", {})


def test_a_device_without_a_name_has_cores_all_the_same() -> None:
    parts = sections("@ facts\ncores=8\narchitecture=aarch64\n@ before\n@ after\n@ end\n")
    device = about_device(parts)["device"]
    assert (device["device"], device["cores"]) == ("unknown device", 8)


def test_the_hottest_processor_sensor_is_read() -> None:
    state = device_state(PIXEL.splitlines())
    assert (state["temperature_c"], state["frequency_mhz"]) == (61.0, 2401.0)
    assert (state["governor"], state["power_mode"]) == ("sched_pixel", "normal")
    assert (state["frequency_limit_mhz"], state["throttling"]) == (2850.0, None)
    hal = "Temperature{mValue=47.5, mType=0, mName=CPU0, mStatus=0}"
    assert device_state(["zone=battery 31000", hal])["temperature_c"] == 47.5
    assert device_state(["zone=battery 31000"])["temperature_c"] == 31.0
    assert device_state([])["temperature_c"] is None


def test_a_thermal_status_is_throttling() -> None:
    assert device_state(["Thermal Status: 2"])["throttling"] == "its thermal status is moderate"
    assert device_state(["Thermal Status: 9"])["throttling"] == "its thermal status is 9"
