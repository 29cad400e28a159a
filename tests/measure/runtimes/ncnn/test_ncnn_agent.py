"""ncnn through a session on this machine: converted here, run there."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgespiral.core.errors import MissingExtraError, ModelError, TargetError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes.ncnn import convert
from edgespiral.measure.session import Session

pytest.importorskip("ncnn", reason="the ncnn extra is not installed")
pytest.importorskip("pnnx", reason="the ncnn extra is not installed")

Make = Callable[..., Path]


def with_ncnn(profile: TargetProfile, **settings: Any) -> TargetProfile:
    runtime = {"kind": "ncnn", **settings}
    return TargetProfile.model_validate(profile.model_dump(by_alias=True) | {"runtime": runtime})


def test_models_are_measured_in_turns(convolution: Make, profile: TargetProfile) -> None:
    models = [convolution("a.onnx", 16, 8), convolution("b.onnx", 64, 32)]
    with Session(with_ncnn(profile)) as session:
        small, large = session.measure(models)
    assert small.stats.p50_ms < large.stats.p50_ms
    about = small.fingerprint
    assert (about.runtime, about.provider, about.precision) == ("ncnn", "CPU", "fp32")


def test_what_a_model_computes_is_what_onnx_runtime_computes(
    convolution: Make, profile: TargetProfile, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).normal(size=(3, 3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "given.npy", values)
    model = convolution()
    with Session(with_ncnn(profile, threads=2)) as session:
        files = session.outputs([model], tmp_path / "given.npy", tmp_path)
    alone = onnxruntime.InferenceSession(model)
    expected = [alone.run(None, {"x": sample[None]})[0] for sample in values]
    assert files is not None
    # Of 16 bits, which are ncnn's own default, less would be left.
    assert np.load(files[0]) == pytest.approx(np.concatenate(expected), abs=1e-5)


def test_an_operator_that_it_lacks_is_named_with_its_layer(
    profile: TargetProfile, tmp_path: Path
) -> None:
    node = helper.make_node("Det", ["x"], ["y"], name="whirl")
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 3]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]),
    ]
    graph = helper.make_graph([node], "odd", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / "odd.onnx"
    path.write_bytes(model.SerializeToString())
    with (
        Session(with_ncnn(profile)) as session,
        pytest.raises(ModelError, match="no layer for Det: whirl") as told,
    ):
        session.measure([path])
    assert "\n" not in str(told.value)


def test_layers_are_not_timed(convolution: Make, profile: TargetProfile) -> None:
    with (
        Session(with_ncnn(profile)) as session,
        pytest.raises(TargetError, match="ncnn does not tell the times of layers"),
    ):
        session.profile_layers([convolution()])


def test_an_input_without_a_shape_needs_one(convolution: Make, profile: TargetProfile) -> None:
    model = convolution(batch="n")
    with (
        Session(with_ncnn(profile)) as session,
        pytest.raises(ModelError, match="input 'x' has no fixed shape; give one"),
    ):
        session.measure([model])
    with Session(with_ncnn(profile), shapes={"": (1, 3, 16, 16)}) as session:
        assert session.measure([model])[0].stats.count > 0


def test_a_missing_converter_is_one_line_that_names_the_extra(
    convolution: Make, profile: TargetProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "PACKAGE", "no_such_package")
    assert find_spec("no_such_package") is None
    with (
        Session(with_ncnn(profile)) as session,
        pytest.raises(MissingExtraError, match=r"pip install 'edgespiral\[ncnn\]'"),
    ):
        # No other test has had this one converted.
        session.measure([convolution("rare.onnx", 24, 8)])
