"""The agent as the device sees it: a process, a request, a document."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from edgespiral.measure.runtimes import agent
from edgespiral.measure.runtimes.onnxruntime.profile import OPERATORS

AGENT = Path(agent.__file__)
Make = Callable[..., Path]
CPU = "CPUExecutionProvider"


def request_for(models: list[Path]) -> dict[str, Any]:
    return {
        "mode": "measure",
        "models": [str(model) for model in models],
        "shapes": {},
        "threads": 1,
        "session_threads": 1,
        "affinity": None,
        "provider": CPU,
        "provider_options": {},
        "warmup_ms": 2,
        "rounds": 5,
        "round_ms": 1,
        "min_round_samples": 3,
        "max_round_samples": 20,
        "system_root": "/",
    }


def ask(folder: Path, models: list[Path], **changes: Any) -> tuple[int, Any]:
    path = folder / "request.json"
    path.write_text(json.dumps(request_for(models) | changes))
    # -P: nothing but what is installed can be imported, as on a device.
    command = [sys.executable, "-P", str(AGENT), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_every_model_has_its_rounds_of_samples(tmp_path: Path, convolution: Make) -> None:
    small, large = convolution("a.onnx", 16, 8), convolution("b.onnx", 64, 32)
    code, document = ask(tmp_path, [small, large])
    assert code == 0
    counts = [[len(samples) for samples in one["rounds_ms"]] for one in document["samples"]]
    assert all(len(rounds) == 5 and len(set(rounds)) == 1 for rounds in counts)
    assert all(3 <= rounds[0] <= 20 for rounds in counts)
    first, second = (min(map(min, one["rounds_ms"])) for one in document["samples"])
    assert 0 < first < second
    assert document["runtime"]["provider"] == CPU
    assert document["device"]["cores"] >= 1


def test_every_round_loads_in_the_order_in_which_it_runs(convolution: Make) -> None:
    loads: list[int] = []

    class Watched(agent.Loaded):
        def __init__(self, index: int, request: dict[str, Any]) -> None:
            super().__init__(index, request)
            loads.append(index)

    agent.measure(request_for([convolution("a.onnx", 16, 8)] * 2), Watched)
    warm_up, rounds = loads[:2], loads[2:]
    assert warm_up == [0, 1]
    assert rounds == [index for order in agent.orders(2, 5) for index in order]
    assert rounds != [0, 1] * 5


def test_nodes_have_the_shapes_and_times_of_the_model(tmp_path: Path, convolution: Make) -> None:
    model = convolution("net.onnx", 32, 16)
    code, document = ask(tmp_path, [model, model], mode="profile")
    assert code == 0
    for nodes in document["nodes"]:
        conv, gemm = (node for node in nodes if node["op_name"] in OPERATORS)
        assert [next(iter(one.values())) for one in conv["input_type_shape"]][:2] == [
            [1, 3, 16, 16],
            [32, 3, 3, 3],
        ]
        assert conv["output_type_shape"] == [{"float": [1, 32, 16, 16]}]
        assert len(gemm["durations_us"]) == 5 * 10
        assert {node["provider"] for node in nodes} == {CPU}
    assert document["placed"] == []
    assert list(tmp_path.glob("*.json")) == [tmp_path / "request.json"]


def test_a_shape_can_be_given_where_the_model_has_none(tmp_path: Path, convolution: Make) -> None:
    model = convolution(batch="batch")
    code, document = ask(tmp_path, [model])
    assert (code, document["error"]["kind"]) == (1, "model")
    assert document["error"]["what"] == "input 'x' has no fixed shape: batchx3x16x16"
    for name in ("x", ""):
        assert ask(tmp_path, [model], shapes={name: [2, 3, 16, 16]})[0] == 0


@pytest.mark.parametrize(
    ("changes", "kind", "what"),
    [
        ({"provider": "TPUExecutionProvider"}, "target", "TPUExecutionProvider does not run here"),
        ({"shapes": {"z": [1]}}, "usage", "no input called z"),
        ({"shapes": {"x": [1, 4, 16, 16]}}, "model", "cannot be run: "),
    ],
)
def test_what_cannot_be_done_is_told(
    tmp_path: Path, convolution: Make, changes: dict[str, Any], kind: str, what: str
) -> None:
    code, document = ask(tmp_path, [convolution()], **changes)
    assert code == 1
    assert document["error"]["kind"] == kind
    assert document["error"]["what"].startswith(what)
    assert "\n" not in document["error"]["what"]


def test_a_corrupt_model_is_told_with_its_position(tmp_path: Path, convolution: Make) -> None:
    good, bad = convolution("good.onnx"), tmp_path / "bad.onnx"
    bad.write_bytes(good.read_bytes()[:500])
    code, document = ask(tmp_path, [good, bad])
    assert (code, document["error"]["model"]) == (1, 1)


def test_every_kind_of_input_can_be_made_up(tmp_path: Path) -> None:
    import onnx

    kinds = {"i": TensorProto.INT64, "b": TensorProto.BOOL, "h": TensorProto.FLOAT16}
    inputs = [helper.make_tensor_value_info(n, kind, [2, 3]) for n, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(f"{n}o", k, [2, 3]) for n, k in kinds.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name}o"]) for name in kinds]
    graph = helper.make_graph(nodes, "kinds", inputs, outputs)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), tmp_path / "k.onnx")
    assert ask(tmp_path, [tmp_path / "k.onnx"])[0] == 0
    code, document = ask(tmp_path, [tmp_path / "k.onnx"], shapes={"": [2, 3]})
    assert (code, document["error"]["what"]) == (1, "has several inputs")


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


def test_a_process_is_kept_to_its_cores(tmp_path: Path, convolution: Make) -> None:
    last = max(os.sched_getaffinity(0))
    code, document = ask(tmp_path, [convolution()], affinity=[last])
    assert code == 0
    assert document["runtime"]["affinity"] == [last]
    assert document["device"]["cores"] == 1


@pytest.mark.parametrize(
    ("affinity", "what", "hint"),
    [
        ([100_000], "a process cannot be kept to cores [100000] here", "it may choose from: [0"),
        ("big", "this system does not show which of its cores are big", "affinity = [4, 5]"),
    ],
)
def test_cores_that_are_not_there_are_an_error(
    tmp_path: Path, convolution: Make, affinity: object, what: str, hint: str
) -> None:
    code, document = ask(
        tmp_path, [convolution()], affinity=affinity, system_root=str(tmp_path / "nothing")
    )
    assert (code, document["error"]["kind"], document["error"]["what"]) == (1, "target", what)
    assert hint in document["error"]["hint"]


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


def test_an_input_of_text_cannot_be_made_up(tmp_path: Path) -> None:
    node = helper.make_node("StringNormalizer", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.STRING, [3]) for name in "xy"]
    graph = helper.make_graph([node], "text", values[:1], values[1:])
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    (tmp_path / "text.onnx").write_bytes(model.SerializeToString())
    code, document = ask(tmp_path, [tmp_path / "text.onnx"])
    assert code == 1
    assert document["error"]["what"] == "input 'x' is a tensor(string), which cannot be made up"
