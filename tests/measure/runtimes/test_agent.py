"""What agents share, as the host may ask it too; onnxruntime/test_onnxruntime_agent.py runs it."""

import time
from pathlib import Path
from typing import Any

import pytest

from edgespiral.measure.runtimes import agent

CPU = "CPUExecutionProvider"


def test_state_is_read_where_the_system_shows_it(tmp_path: Path) -> None:
    files = {
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "powersave\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1800000\n",
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "2400000\n",
        "sys/class/thermal/thermal_zone0/temp": "41500\n",
        "sys/class/thermal/thermal_zone1/temp": "-274000\n",
        "sys/firmware/acpi/platform_profile": "balanced\n",
        "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
        "sys/class/thermal/cooling_device0/cur_state": "2\n",
        "sys/class/thermal/cooling_device1/type": "thermal-cpufreq-0\n",
        "sys/class/thermal/cooling_device1/cur_state": "0\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3\n",
        "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "0\n",
        "sys/firmware/devicetree/base/model": "Example Board\0",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    state = agent.device_state(tmp_path)
    assert (state["governor"], state["power_mode"]) == ("powersave", "balanced")
    assert (state["temperature_c"], state["frequency_mhz"]) == (41.5, 2400.0)
    assert (state["cooling"], state["firmware_flags"]) == (["pwm-fan"], "50005")
    assert state["throttle_count"] == 3
    assert agent.device_facts(tmp_path)["device"] == "Example Board"


def test_state_is_none_where_the_system_shows_nothing(tmp_path: Path) -> None:
    state = agent.device_state(tmp_path)
    hidden = ("governor", "temperature_c", "frequency_mhz", "firmware_flags", "throttle_count")
    assert {state[name] for name in hidden} == {None}
    assert agent.device_facts(tmp_path)["device"]


def test_orders_are_the_same_every_time_and_mixed() -> None:
    taken = list(agent.orders(3, 30))
    assert taken == list(agent.orders(3, 30))
    assert {tuple(sorted(order)) for order in taken} == {(0, 1, 2)}
    assert len({tuple(order) for order in taken}) == 6


def test_every_round_loads_in_the_order_in_which_it_runs(tmp_path: Path) -> None:
    loads: list[int] = []

    class Model:
        load_ms = 1.0

        def __init__(self, index: int, request: dict[str, Any]) -> None:
            self.index = index
            loads.append(request["models"][index])

        def run(self) -> None:
            sum(range(100))

    sizes = {"warmup_ms": 1, "round_ms": 1, "min_round_samples": 3, "max_round_samples": 5}
    counters = tmp_path / "proc" / "thread-self" / "schedstat"
    counters.parent.mkdir(parents=True)
    counters.write_text("7000 2500000 3\n")
    request = {"models": [0, 1], "rounds": 5, "system_root": str(tmp_path), **sizes}
    answers = agent.measure(request, Model)
    assert agent.waited_ms(tmp_path) == 2.5
    assert [answer["waits_ms"] for answer in answers] == [[0.0] * 5] * 2
    assert [len(answer["rounds_ms"]) for answer in answers] == [5, 5]
    warm_up, rounds = loads[:2], loads[2:]
    assert warm_up == [0, 1]
    assert rounds == [index for order in agent.orders(2, 5) for index in order]
    assert rounds != [0, 1] * 5

    for nothing in ("not counted here", "0 0 0"):  # the latter of a Linux that does not count
        counters.write_text(nothing)
        assert [answer["waits_ms"] for answer in agent.measure(request, Model)] == [[], []]


def test_a_run_as_long_as_ten_warm_ups_warms_a_model_by_itself() -> None:
    runs, latency_ms = agent.warm_up(lambda: time.sleep(0.02), 2)
    assert (runs, latency_ms >= 20) == (1, True)
    assert agent.warm_up(lambda: None, 2)[0] > agent.LEAST_BLOCK_SAMPLES


@pytest.mark.parametrize(("latency_ms", "samples"), [(0.5, 20), (1e-6, 100), (900.0, 4)])
def test_a_round_has_as_many_samples_as_fit_within_bounds(latency_ms: float, samples: int) -> None:
    request = {"round_ms": 10, "min_round_samples": 4, "max_round_samples": 100}
    assert agent.samples_per_round(latency_ms, request) == samples


def event(duration_us: int, name: str = "fc", category: str = "Node") -> Any:
    args = {"op_name": "Gemm", "node_index": "3", "provider": CPU, "input_type_shape": []}
    return {"cat": category, "name": f"{name}_kernel_time", "dur": duration_us, "args": args}


def test_nodes_keep_their_last_times_and_what_is_read_of_them() -> None:
    events = [event(900), event(5, "x"), event(3), event(4), event(7, category="Session")]
    first, second = agent.nodes_of(events, runs=2)
    assert (first["name"], first["durations_us"]) == ("fc_kernel_time", [3, 4])
    assert (first["op_name"], first["provider"]) == ("Gemm", CPU)
    assert second["durations_us"] == [5]


@pytest.mark.parametrize(
    ("sizes", "name", "big"),
    [
        ([446, 446, 1024, 1024], "cpu_capacity", [2, 3]),
        ([1_800_000, 2_400_000, 1_800_000, 2_400_000], "cpufreq/cpuinfo_max_freq", [1, 3]),
        ([1024, 1024], "cpu_capacity", [0, 1]),
    ],
)
def test_big_cores_are_those_of_the_largest_capacity(
    tmp_path: Path, sizes: list[int], name: str, big: list[int]
) -> None:
    for core, size in enumerate(sizes):
        path = tmp_path / f"sys/devices/system/cpu/cpu{core}" / name
        path.parent.mkdir(parents=True)
        path.write_text(f"{size}\n")
    assert agent.big_cores(tmp_path) == big


def test_a_jetson_tells_its_power_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = tmp_path / "nvpmodel"
    stand_in.write_text("#!/bin/sh\n[ $1 = -q ] && printf 'NV Power Mode: 15W\\n2\\n'\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert agent.device_state(tmp_path)["power_mode"] == "15W"
