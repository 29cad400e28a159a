"""MNN through a session: converted here, run on this machine and on a board behind ssh."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from devices import Board
from onnx import TensorProto, helper

from edgespiral.core.errors import MissingExtraError, ModelError, TargetError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes.mnn import convert
from edgespiral.measure.session import Session

pytest.importorskip("MNN", reason="the mnn extra is not installed")

Make = Callable[..., Path]


def with_mnn(profile: TargetProfile, **settings: Any) -> TargetProfile:
    runtime = {"kind": "mnn", **settings}
    return TargetProfile.model_validate(profile.model_dump(by_alias=True) | {"runtime": runtime})


def odd(path: Path, node: Any, inputs: list[Any], opsets: dict[str, int]) -> Path:
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])]
    graph = helper.make_graph([node], "odd", inputs, outputs)
    versions = [helper.make_opsetid(*pair) for pair in opsets.items()]
    model = helper.make_model(graph, opset_imports=versions, ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def test_models_are_measured_in_turns_and_layers_told(
    convolution: Make, profile: TargetProfile
) -> None:
    models = [convolution("a.onnx", 16, 8), convolution("b.onnx", 64, 32)]
    with Session(with_mnn(profile)) as session:
        small, large = session.measure(models)
        [layers] = session.profile_layers(models[1:])
    assert small.stats.p50_ms < large.stats.p50_ms
    about = small.fingerprint
    assert (about.runtime, about.provider, about.precision) == ("mnn", "CPU fp32", "fp32")
    assert [(layer.operator, layer.weight_shape) for layer in layers] == [
        ("conv", (64, 3, 3, 3)),
        ("gemm", (10, 64)),
    ]
    assert layers[0].input_shape == (1, 3, 32, 32)
    assert all(layer.latency_ms > 0 for layer in layers)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_both_directions_of_a_recurrent_layer_are_one_layer(
    recurrent: Make, profile: TargetProfile, kind: str, tmp_path: Path
) -> None:
    model = recurrent(kind, features=6, hidden=5)
    rows = {"LSTM": 20, "GRU": 15}[kind]
    with Session(with_mnn(profile)) as session:
        [[layer]] = session.profile_layers([model])
    assert (layer.operator, layer.weight_shape) == (kind.lower(), (rows, 6))
    assert layer.output_shape == (7, 2, 1, 5)


def test_what_a_model_computes_is_what_onnx_runtime_computes(
    convolution: Make, profile: TargetProfile, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).normal(size=(3, 3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "given.npy", values)
    model = convolution(batch="n")
    alone = onnxruntime.InferenceSession(model)
    expected = np.concatenate([alone.run(None, {"x": sample[None]})[0] for sample in values])
    rounded = with_mnn(profile, weights="int8")
    for target, near in ((with_mnn(profile, threads=2), 1e-5), (rounded, 0.02)):
        with Session(target, shapes={"": (1, 3, 16, 16)}) as session:
            files = session.outputs([model], tmp_path / "given.npy", tmp_path)
        assert files is not None
        assert np.load(files[0]) == pytest.approx(
            expected, abs=near * float(np.abs(expected).max())
        )
    # Weights in 8 bits are not those of the file.
    assert np.abs(np.load(files[0]) - expected).max() > 1e-6


def test_weights_in_eight_bits_are_another_figure(
    convolution: Make, profile: TargetProfile
) -> None:
    with Session(with_mnn(profile, weights="int8")) as session:
        [measurement] = session.measure([convolution()])
    assert measurement.fingerprint.precision == "fp32 int8 weights"


def test_a_lower_precision_is_computed_or_refused(
    convolution: Make, profile: TargetProfile
) -> None:
    """Which of both depends on the processor and on MNN's build for it."""
    told = ""
    with Session(with_mnn(profile, inference_precision="fp16")) as session:
        try:
            told = session.measure([convolution()])[0].fingerprint.precision
        except TargetError as error:
            told = error.what
    assert told in ("fp16", "MNN computes it in fp32 here, not in fp16")


def test_an_operator_that_it_lacks_is_named_with_its_layer(
    profile: TargetProfile, tmp_path: Path
) -> None:
    node = helper.make_node("Whirl", ["x"], ["y"], domain="example.org", name="stir")
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])]
    model = odd(tmp_path / "odd.onnx", node, inputs, {"": 17, "example.org": 1})
    with (
        Session(with_mnn(profile)) as session,
        pytest.raises(ModelError, match="MNN has no operator Whirl: stir"),
    ):
        session.measure([model])


def test_what_is_not_of_float32_is_refused(profile: TargetProfile, tmp_path: Path) -> None:
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    inputs = [helper.make_tensor_value_info("x", TensorProto.INT64, [1, 3])]
    model = odd(tmp_path / "ids.onnx", node, inputs, {"": 17})
    with (
        Session(with_mnn(profile)) as session,
        pytest.raises(ModelError, match="MNN takes no input as 'x': not float32"),
    ):
        session.measure([model])


def test_an_input_without_a_shape_needs_one(convolution: Make, profile: TargetProfile) -> None:
    with (
        Session(with_mnn(profile)) as session,
        pytest.raises(ModelError, match="input 'x' has no fixed shape; give one"),
    ):
        session.measure([convolution(batch="n")])


def test_a_board_is_reached_by_ssh(board: Board, convolution: Make) -> None:
    with Session(with_mnn(board.profile())) as session:
        [measurement] = session.measure([convolution()])
    assert (measurement.target, measurement.fingerprint.runtime) == ("board", "mnn")
    assert list(board.folder.iterdir()) == []


def test_a_missing_package_is_one_line_that_names_the_extra(
    convolution: Make, profile: TargetProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "EXTENSION", "no_such_package")
    assert find_spec("no_such_package") is None
    with (
        Session(with_mnn(profile)) as session,
        pytest.raises(MissingExtraError, match=r"pip install 'edgespiral\[mnn\]'"),
    ):
        # Of another size than in any other test: what was converted once is not again.
        session.measure([convolution("alone.onnx", 7, 9)])
