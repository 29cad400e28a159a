"""The agent as the device sees it: a process, a request, a document."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from edgespiral.measure.runtimes.agent_answer import AGENT
from edgespiral.measure.runtimes.onnxruntime.profile import OPERATORS
from edgespiral.measure.runtimes.onnxruntime.runtime import ONNXRUNTIME_AGENT

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
    for file in (AGENT, ONNXRUNTIME_AGENT):  # as they lie on a device
        shutil.copy(file, folder)
    command = [sys.executable, ONNXRUNTIME_AGENT.name, path.name]
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
