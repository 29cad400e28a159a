import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgespiral.core.errors import ModelError
from edgespiral.core.records.schema import Precision
from edgespiral.core.system.files import sha256_file
from edgespiral.export.precision import convert_untrained
from edgespiral.measure.model_files import (
    find_model,
    model_files,
    model_sha256,
    precision_label,
    precision_of,
)
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.session import Session
from edgespiral.measure.tiny import write_tiny_model

Make = Callable[..., Path]


def with_weights_outside(model: Path, folder: Path) -> Path:
    folder.mkdir()
    path = folder / "net.onnx"
    onnx.save(
        onnx.load(model),
        path,
        save_as_external_data=True,
        location="net.weights",
        size_threshold=0,
    )
    return path


def test_a_model_alone_is_one_file(convolution: Make) -> None:
    model = convolution()
    assert model_files(model) == {"net.onnx": model}


def test_weights_outside_go_along(
    tmp_path: Path, convolution: Make, profile: TargetProfile
) -> None:
    path = with_weights_outside(convolution(), tmp_path / "parts")
    assert set(model_files(path)) == {"net.onnx", "net.weights"}
    with Session(profile) as session:
        assert session.measure([path])[0].stats.count > 0


def test_the_hash_is_of_all_files_of_a_model(
    tmp_path: Path, convolution: Make, profile: TargetProfile
) -> None:
    model = convolution()
    assert model_sha256(model) == sha256_file(model)
    path = with_weights_outside(model, tmp_path / "parts")
    weights = path.with_name("net.weights")
    with Session(profile) as session:
        before = session.measure([path])[0].model_sha256
        assert before == model_sha256(path) != sha256_file(path)
        weights.write_bytes(bytes(weights.stat().st_size))
        assert session.measure([path])[0].model_sha256 == model_sha256(path) != before
    weights.unlink()
    with pytest.raises(ModelError, match=r"the file of its weights is missing: net\.weights"):
        model_sha256(path)


def test_missing_weights_are_named(tmp_path: Path, convolution: Make) -> None:
    path = with_weights_outside(convolution(), tmp_path / "parts")
    (tmp_path / "parts" / "net.weights").unlink()
    with pytest.raises(ModelError, match=r"the file of its weights is missing: net\.weights"):
        model_files(path)


def test_weights_elsewhere_are_not_taken(tmp_path: Path, convolution: Make) -> None:
    path = with_weights_outside(convolution(), tmp_path / "parts")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        next(e for e in tensor.external_data if e.key == "location").value = "../secret"
    onnx.save(model, path)
    (tmp_path / "secret").write_text("x")
    with pytest.raises(ModelError, match="is missing"):
        model_files(path)


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"location of nothing")
    with pytest.raises(ModelError, match=r"a\.onnx: is not an ONNX model"):
        model_files(tmp_path / "a.onnx")


def test_a_run_folder_stands_for_its_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model\.onnx in this folder"):
        find_model(tmp_path)
    write_tiny_model(tmp_path / "model.onnx")
    assert find_model(tmp_path) == tmp_path / "model.onnx"
    with pytest.raises(ModelError, match="no such file"):
        find_model(tmp_path / "other.onnx")


def test_what_is_named_as_a_model_is_one(tmp_path: Path) -> None:
    for content in (b"", b"a text\n", b"\x08\x07"):
        (tmp_path / "a.onnx").write_bytes(content)
        with pytest.raises(ModelError, match=r"a\.onnx: is not an ONNX model"):
            find_model(tmp_path / "a.onnx")
    (tmp_path / "a.engine").write_bytes(b"what only its device can read")
    assert find_model(tmp_path / "a.engine") == tmp_path / "a.engine"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_file_tells_its_precision(
    tmp_path: Path, convolution: Make, precision: Precision
) -> None:
    path = convert_untrained(convolution(), precision, "onnxruntime")
    assert precision_of(path) == precision
    (tmp_path / "bad.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=r"bad\.onnx: is not an ONNX model"):
        precision_of(tmp_path / "bad.onnx")


def with_external(folder: Path, *places: tuple[str, str], inside: str = "initializer") -> Path:
    """A model with one weight of four bytes, said to be kept as `places` tell."""
    weight = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    for key, value in places:
        weight.external_data.add(key=key, value=value)
    value = partial(helper.make_tensor_value_info, elem_type=1, shape=[1])
    nodes, held = [helper.make_node("Add", ["x", "w"], ["y"])], [weight]
    if inside == "constant":
        nodes, held = [helper.make_node("Constant", [], ["w"], value=weight), *nodes], []
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], held)
    path = folder / "m.onnx"
    opset = helper.make_opsetid("", 17)
    path.write_bytes(helper.make_model(graph, opset_imports=[opset]).SerializeToString())
    (folder / "w.bin").write_bytes(bytes(4))
    return path


@pytest.mark.parametrize("inside", ["initializer", "constant"])
@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([("location", "w.bin"), ("offset", "-4")], "the offset of its weights is '-4'"),
        ([("location", "w.bin"), ("length", "-1")], "the length of its weights is '-1'"),
        ([("location", "w.bin"), ("offset", "abc")], "the offset of its weights is 'abc'"),
        ([("location", "w.bin"), ("offset", "9" * 5000)], "the offset of its weights is '999"),
        ([("location", "w.bin"), ("length", "\u0664")], "the length of its weights is"),
        ([("location", "w.bin"), ("offset", "2"), ("length", "4")], "end at byte 6 of w.bin"),
        ([("location", "a\0b")], r"weights is missing: a\x00b"),
        ([("location", "a\x1b[2J")], r"weights is missing: a\x1b"),
        ([("location", "")], "weights is missing: no name"),
        ([("location", ".")], "weights is missing"),
        ([("location", "/etc/hostname")], "weights is missing: /etc/hostname"),
        ([("location", "../parts/w.bin")], "weights is missing: ../parts/w.bin"),
        ([("location", "n" * 5000)], "weights is missing: nnn"),
    ],
)
def test_what_is_said_of_weights_is_not_believed(
    tmp_path: Path, places: list[tuple[str, str]], words: str, inside: str
) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    path = with_external(folder, *places, inside=inside)
    with pytest.raises(ModelError) as caught:
        model_files(path)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("inside", ["initializer", "constant"])
def test_weights_of_constants_go_along(tmp_path: Path, inside: str) -> None:
    places = ("location", "w.bin"), ("offset", "0"), ("length", "4")
    path = with_external(tmp_path, *places, inside=inside)
    assert set(model_files(path)) == {"m.onnx", "w.bin"}


def test_a_link_to_elsewhere_is_no_file_of_weights(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    path = with_external(folder, ("location", "w.bin"))
    (folder / "w.bin").rename(tmp_path / "secret")
    (folder / "w.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match=r"is missing: w\.bin"):
        model_files(path)


@pytest.mark.parametrize("use", [find_model, model_files, precision_of])
def test_a_file_longer_than_any_model_is_not_read(
    tmp_path: Path, use: Callable[[Path], object]
) -> None:
    path = tmp_path / "sparse.onnx"
    with path.open("wb") as stream:
        stream.truncate(2**31 + 1)
    tracemalloc.start()
    with pytest.raises(ModelError, match=r"sparse\.onnx: .*longer than 2 GiB"):
        use(path)
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()


def test_weights_tell_their_precision_wherever_they_are_kept(
    tmp_path: Path, convolution: Make
) -> None:
    """As nodes of their own, and within a branch, as some exporters write them."""
    model = onnx.load(convert_untrained(convolution(), "fp16", "onnxruntime"))
    graph, path = model.graph, tmp_path / "constants.onnx"
    constants = [
        onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in graph.initializer
    ]
    del graph.initializer[:]
    nodes = [*constants, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, path)
    assert precision_of(path) == "fp16"
    inner = onnx.helper.make_graph(constants, "inner", [], [])
    del graph.node[:]
    graph.node.append(
        onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    )
    onnx.save(model, path)
    assert precision_of(path) == "fp16"


def test_a_stray_half_does_not_make_a_file_half(tmp_path: Path, convolution: Make) -> None:
    model = onnx.load(convolution())
    stray = onnx.helper.make_tensor("stray", onnx.TensorProto.FLOAT16, [1], [1.0])
    model.graph.initializer.append(stray)
    onnx.save(model, tmp_path / "stray.onnx")
    assert precision_of(tmp_path / "stray.onnx") == "fp32"


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (TensorProto.FLOAT, "fp32"),
        (TensorProto.FLOAT16, "fp16"),
        (TensorProto.DOUBLE, "fp64"),
        (TensorProto.BFLOAT16, "bf16"),
    ],
)
def test_a_figure_is_named_by_the_weights_that_the_file_has(
    tmp_path: Path, kind: int, label: str
) -> None:
    path = tmp_path / "model.onnx"
    weights = helper.make_tensor("w", kind, [4], [1.0, 2.0, 3.0, 4.0])
    ends = [helper.make_tensor_value_info(name, kind, [4]) for name in ("x", "y")]
    nodes = [helper.make_node("Mul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights])
    onnx.save(helper.make_model(graph), path)
    assert precision_label(path, precision_of(path)) == label
    # What a device was told to run it in is what it ran in.
    assert precision_label(path, "int8") == "int8"
    assert precision_label(tmp_path / "model.engine", "fp32") == "fp32"
