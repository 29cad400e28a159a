"""Kits of models that have several inputs and outputs, or run in parts, built and run."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from example_records import measurement
from onnx import TensorProto, helper

from edgespiral.core.errors import ExportError, ModelError, RunFolderError, UsageError
from edgespiral.core.records.parts import PARTS, PartFile, described
from edgespiral.core.system.files import sha256_file
from edgespiral.export.parity import opened
from edgespiral.measure.runtimes.litert.convert import NAMED
from edgespiral.measure.tiny import write_tiny_model, write_tiny_module
from edgespiral.spiral.shipping.kit import Shipment, copied_whole, require_kit, write_kit
from edgespiral.spiral.shipping.sample import FileSample

SHAPE = [1, 3, 4, 4]
RUNTIMES = ("onnxruntime", "onnxruntime-mobile", "openvino", "ncnn", "mnn")


def needs(runtime):
    own = {"ncnn": ("ncnn", "pnnx"), "onnxruntime-mobile": ("onnxruntime",), "mnn": ("MNN",)}
    packages = own.get(runtime, (runtime,))
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")


def written(path, nodes, inputs, outputs):
    values = [
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in row]
        for row in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "net", *values)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path
    )
    return path


def two_by_two(path):
    """Two inputs, of which the second comes first in the graph, and two outputs."""
    nodes = [
        helper.make_node("Sub", ["right", "left"], ["apart"], name="apart_"),
        helper.make_node("Relu", ["apart"], ["most"], name="most_"),
    ]
    row = [("left", TensorProto.FLOAT, SHAPE), ("right", TensorProto.FLOAT, SHAPE)]
    outputs = [("most", TensorProto.FLOAT, SHAPE), ("apart", TensorProto.FLOAT, SHAPE)]
    return written(path, nodes, row, outputs)


def two_ends(path):
    """The same inputs, and two outputs of which no layer reads one."""
    nodes = [
        helper.make_node("Sub", ["right", "left"], ["apart"], name="apart_"),
        helper.make_node("Relu", ["apart"], ["most"], name="most_"),
        helper.make_node("Neg", ["apart"], ["back"], name="back_"),
    ]
    row = [("left", TensorProto.FLOAT, SHAPE), ("right", TensorProto.FLOAT, SHAPE)]
    outputs = [("most", TensorProto.FLOAT, SHAPE), ("back", TensorProto.FLOAT, SHAPE)]
    return written(path, nodes, row, outputs)


def of_ids(path):
    """Ids in, the same ids and a float out: whole numbers are compared, too."""
    nodes = [
        helper.make_node("Add", ["ids", "ids"], ["twice"], name="twice_"),
        helper.make_node("Cast", ["ids"], ["value"], name="value_", to=TensorProto.FLOAT),
    ]
    outputs = [("twice", TensorProto.INT64, [1, 5]), ("value", TensorProto.FLOAT, [1, 5])]
    return written(path, nodes, [("ids", TensorProto.INT64, [1, 5])], outputs)


def of_parts(folder):
    """A model that names two files, which run in its place."""
    parts = [two_by_two(folder / "model.first.onnx"), of_ids(folder / "model.second.onnx")]
    whole = two_by_two(folder / "model.onnx")
    model = onnx.load(whole)
    records = [
        PartFile(path.name.split(".")[1], path.name, 1 + place, sha256_file(path))
        for place, path in enumerate(parts)
    ]
    model.metadata_props.add(key=PARTS, value=described(records))
    onnx.save(model, whole)
    return whole, parts


def sample_of(path):
    generator = np.random.default_rng(0)
    made = {
        "left": generator.normal(size=SHAPE).astype(np.float32),
        "right": generator.normal(size=SHAPE).astype(np.float32),
        "ids": np.arange(5)[None],
    }
    session = opened(path)._session
    inputs = {value.name: made[value.name] for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    return FileSample(
        sha256_file(path), inputs, dict(zip(names, session.run(names, inputs), strict=True))
    )


def shipment(path, runtime, samples):
    figures = [measurement(1.25)]
    about = {"model": "net", "task": "classification", "data": "made up"}
    return Shipment(path, runtime, samples, figures, False, "fp32", about)


def example(folder):
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=folder, capture_output=True, text=True
    )
    return done.returncode, done.stdout


def cmake_of(runtime):
    """What tells CMake where a runtime's library is, or a skip that says what is missing."""
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("cmake or a C++ compiler is not installed")
    if runtime == "openvino":
        from openvino.utils import get_cmake_path

        return [f"-DOpenVINO_DIR={get_cmake_path()}"]
    return []


def built(folder, runtime):
    """The C++ program of a kit; a skip where the runtime's library is not there to build with."""
    options = [*cmake_of(runtime), "-DCMAKE_BUILD_TYPE=Debug"]
    told = subprocess.run(
        ["cmake", "-S", folder, "-B", folder / "build", *options], capture_output=True, text=True
    )
    if told.returncode and runtime != "openvino":
        pytest.skip(f"{runtime}'s C++ library and headers are not installed")
    assert told.returncode == 0, told.stderr
    made = subprocess.run(["cmake", "--build", folder / "build"], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder / "build" / "example"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_several_inputs_and_outputs_keep_their_places(runtime, tmp_path):
    needs(runtime)
    path = (two_ends if runtime == "mnn" else two_by_two)(tmp_path / "model.onnx")
    out = tmp_path / "kit"
    write_kit(shipment(path, runtime, [sample_of(path)]), out)
    code, said = example(out)
    assert code == 0, said
    assert said.count(": as recorded") == 2
    page = (out / "README.md").read_text()
    assert "**1.25 ms** median" in page
    assert "host-cpu" in page


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_every_part_of_a_model_is_run(runtime, tmp_path):
    needs(runtime)
    whole, parts = of_parts(tmp_path)
    out = tmp_path / "kit"
    write_kit(shipment(whole, runtime, [sample_of(part) for part in parts]), out)
    code, said = example(out)
    assert code == 0, said
    assert said.count(": as recorded") == 4
    assert "model.second" in said


def test_a_program_of_cpp_says_the_same_and_ends_with_1_where_outputs_are_others(tmp_path):
    needs("openvino")
    whole, parts = of_parts(tmp_path)
    out = tmp_path / "kit"
    write_kit(shipment(whole, "openvino", [sample_of(part) for part in parts]), out)
    program = built(out, "openvino")
    done = subprocess.run([program, out], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(": as recorded") == 4
    changed = out / "sample" / "1-output-0.bin"
    changed.write_bytes(bytes(changed.stat().st_size))
    for answer in (
        subprocess.run([program, out], capture_output=True, text=True).returncode,
        example(out)[0],
    ):
        assert answer == 1
    (out / "model.first.xml").unlink()
    gone = subprocess.run([program, out], capture_output=True, text=True)
    assert gone.returncode == 2
    assert gone.stdout.startswith("error: ")
    assert example(out)[0] == 2


@pytest.mark.parametrize("runtime", ["onnxruntime", "ncnn", "mnn"])
def test_a_program_of_cpp_is_built_where_the_library_is(runtime, tmp_path):
    needs(runtime)
    path = (two_ends if runtime == "mnn" else two_by_two)(tmp_path / "model.onnx")
    out = tmp_path / "kit"
    write_kit(shipment(path, runtime, [sample_of(path)]), out)
    done = subprocess.run([built(out, runtime), out], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_litert_ships_the_module_that_lies_beside_a_file(tmp_path):
    needs("ai_edge_litert")
    if find_spec("litert_torch") is None and NAMED not in os.environ:
        pytest.skip(f"${NAMED} names no Python with litert-torch")
    write_tiny_module(tmp_path)
    path = write_tiny_model(tmp_path / "tiny.onnx")
    values = np.random.default_rng(0).normal(size=(1, 16, 32, 32)).astype(np.float32)
    session = opened(path)._session
    [output] = session.run(None, {"x0": values})
    sample = FileSample(sha256_file(path), {"x0": values}, {session.get_outputs()[0].name: output})
    out = tmp_path / "kit"
    write_kit(shipment(path, "litert", [sample]), out)
    assert (out / "tiny.tflite").is_file()
    code, said = example(out)
    assert code == 0, said
    assert said.count(": as recorded") == 1


def test_outputs_that_are_not_the_recorded_ones_leave_no_folder(tmp_path):
    path = two_by_two(tmp_path / "model.onnx")
    own = sample_of(path)
    wrong = replace(own, outputs={name: 1 - value for name, value in own.outputs.items()})
    with pytest.raises(ExportError, match=r"does not compute what was recorded: .*NOT as recorded"):
        write_kit(shipment(path, "onnxruntime", [wrong]), tmp_path / "kit")
    assert not (tmp_path / "kit").exists()


def test_an_output_that_mnn_does_not_give_is_named(tmp_path):
    path = two_by_two(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"MNN gives no output that a layer .* reads: apart"):
        write_kit(shipment(path, "mnn", [sample_of(path)]), tmp_path / "kit")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    path = two_by_two(tmp_path / "model.onnx")
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "mine").touch()
    with pytest.raises(UsageError, match="is not an empty folder"):
        write_kit(shipment(path, "onnxruntime", [sample_of(path)]), tmp_path / "kit")
    assert [file.name for file in Path(tmp_path / "kit").iterdir()] == ["mine"]


def test_a_runtime_that_ships_nothing_is_told_with_those_that_do():
    with pytest.raises(UsageError, match=r"tensorrt has nothing to ship .*ncnn, onnxruntime"):
        require_kit("tensorrt")
    with pytest.raises(UsageError, match="unknown runtime"):
        require_kit("openvin")


def test_a_file_that_changed_since_it_was_judged_is_not_shipped(tmp_path):
    path = two_by_two(tmp_path / "model.onnx")
    samples = [replace(sample_of(path), sha256="0" * 64)]
    with pytest.raises(RunFolderError, match="changed while it was shipped"):
        write_kit(shipment(path, "onnxruntime", samples), tmp_path / "kit")
    assert not (tmp_path / "kit").exists()


@pytest.mark.parametrize("is_new", [True, False])
def test_a_kit_that_cannot_be_copied_whole_leaves_nothing(tmp_path, is_new):
    made, out = tmp_path / "made", tmp_path / "kit"
    (made / "sample").mkdir(parents=True)
    (made / "sample" / "0.bin").write_bytes(b"0")
    (made / "README.md").write_text("a kit")
    (made / "zzz").symlink_to("nowhere")
    if not is_new:
        out.mkdir()
    with pytest.raises(FileNotFoundError):
        copied_whole(made, out)
    assert out.exists() is not is_new
    assert is_new or not any(out.iterdir())
    (made / "zzz").unlink()
    copied_whole(made, out)
    assert (out / "sample" / "0.bin").read_bytes() == b"0"
