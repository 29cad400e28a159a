"""The agent as the device sees it: a process, a request, a document."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from edgespiral.measure import agent

AGENT = Path(agent.__file__)
Make = Callable[..., Path]
CPU = "CPUExecutionProvider"


def ask(folder: Path, models: list[Path], **changes: Any) -> tuple[int, Any]:
    request = {
        "mode": "measure",
        "models": [str(model) for model in models],
        "shapes": {},
        "threads": 1,
        "provider": CPU,
        "warmup_ms": 2,
        "rounds": 5,
        "round_ms": 1,
        "min_round_samples": 3,
        "max_round_samples": 20,
        "system_root": "/",
    }
    path = folder / "request.json"
    path.write_text(json.dumps(request | changes))
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


def test_layers_have_the_shapes_and_times_of_the_model(tmp_path: Path, convolution: Make) -> None:
    model = convolution("net.onnx", 32, 16)
    code, document = ask(tmp_path, [model, model], mode="profile")
    assert code == 0
    for conv, gemm in document["layers"]:
        assert conv["operator"] == "conv"
        assert conv["input_shape"] == [1, 3, 16, 16]
        assert conv["weight_shape"] == [32, 3, 3, 3]
        assert conv["output_shape"] == [1, 32, 16, 16]
        assert conv["latency_ms"] > 0
        assert gemm["operator"] == "gemm"
        assert (gemm["input_shape"], gemm["weight_shape"]) == ([1, 32], [10, 32])
    assert list(tmp_path.glob("*.json")) == [tmp_path / "request.json"]


@pytest.mark.parametrize(("kind", "rows"), [("LSTM", 32), ("GRU", 24)])
def test_recurrent_layers_have_their_shapes_and_times(
    tmp_path: Path, recurrent: Make, kind: str, rows: int
) -> None:
    code, document = ask(tmp_path, [recurrent(kind, features=5, hidden=8)], mode="profile")
    assert code == 0
    [[layer]] = document["layers"]
    assert layer.pop("latency_ms") > 0
    assert layer == {
        "operator": kind.lower(),
        "input_shape": [7, 1, 5],
        "weight_shape": [rows, 5],
        "output_shape": [7, 2, 1, 8],
    }


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
        "sys/firmware/devicetree/base/model": "Example Board\0",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    state = agent.device_state(tmp_path)
    assert (state["governor"], state["power_mode"]) == ("powersave", "balanced")
    assert (state["temperature_c"], state["frequency_mhz"]) == (41.5, 2400.0)
    assert agent.device_facts(tmp_path)["device"] == "Example Board"


def test_state_is_none_where_the_system_shows_nothing(tmp_path: Path) -> None:
    state = agent.device_state(tmp_path)
    assert {state[name] for name in ("governor", "temperature_c", "frequency_mhz")} == {None}
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


def event(duration_us: int, name: str = "fc", operator: str = "Gemm", **shapes: Any) -> Any:
    args = {
        "op_name": operator,
        "node_index": "3",
        "input_type_shape": [{"float": shape} for shape in shapes.get("inputs", [[1, 8], [4]])],
        "output_type_shape": [{"float": shape} for shape in shapes.get("outputs", [[1, 4]])],
    }
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": duration_us, "args": args}


def test_a_layer_takes_the_middle_mean_of_its_last_runs() -> None:
    durations = [900, 900, 3, 4, 4, 5, 4, 5, 4, 80]
    [layer] = agent.layers([event(us) for us in durations], runs=8)
    assert layer["latency_ms"] == pytest.approx(0.00425)
    assert layer["weight_shape"] == [4, 8]


def test_products_of_two_activations_are_no_layers() -> None:
    attention = event(9, operator="MatMul", inputs=[[1, 8, 5, 4], [1, 8, 4, 5]], outputs=[[5, 5]])
    projection = event(9, operator="MatMul", inputs=[[1, 5, 8]], outputs=[[1, 5, 4]])
    [layer] = agent.layers([attention, projection | {"name": "p_kernel_time"}], runs=1)
    assert (layer["input_shape"], layer["output_shape"]) == ([5, 8], [5, 4])


def test_other_events_are_no_layers() -> None:
    other = [event(5, operator="MaxPool"), {"cat": "Session", "name": "model_run", "dur": 9}]
    assert agent.layers(other, runs=1) == []


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
