"""OpenVINO through a session: on this machine, and on a board behind ssh."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from devices import Board
from onnxruntime.quantization import QuantFormat, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader

from edgespiral.core.errors import MissingExtraError, TargetError
from edgespiral.core.records.measurement import differences
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes.openvino import runtime as openvino_runtime
from edgespiral.measure.session import Session

pytest.importorskip("openvino", reason="the openvino extra is not installed")

Make = Callable[..., Path]


def with_openvino(profile: TargetProfile, **settings: Any) -> TargetProfile:
    runtime = {"kind": "openvino", **settings}
    return TargetProfile.model_validate(profile.model_dump(by_alias=True) | {"runtime": runtime})


def test_models_are_measured_profiled_and_told_apart_by_precision(
    convolution: Make, profile: TargetProfile
) -> None:
    models = [convolution("a.onnx", 16, 8), convolution("b.onnx", 64, 32)]
    with Session(with_openvino(profile)) as session:
        small, large = session.measure(models)
        [layers] = session.profile_layers(models[1:])
        [alone] = session.measure(models[:1])
    assert small.stats.p50_ms < large.stats.p50_ms
    about = small.fingerprint
    assert (about.runtime, about.provider, about.precision) == ("openvino", "CPU f32", "fp32")
    assert [(layer.operator, layer.weight_shape) for layer in layers] == [
        ("conv", (64, 3, 3, 3)),
        ("gemm", (10, 64)),
    ]
    assert layers[0].input_shape == (1, 3, 32, 32)
    # The process has one model, so its memory is that model's; of two it is neither's.
    assert small.peak_memory_mib is None
    assert (alone.peak_memory_mib or 0) > 10
    assert (alone.load_ms or 0) > 0


def test_a_lower_precision_is_another_figure_or_refused(
    convolution: Make, profile: TargetProfile
) -> None:
    from openvino import Core

    able = "BF16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    measured = []
    for precision in ("fp32", "bf16"):
        lowered = with_openvino(profile, inference_precision=precision)
        with Session(lowered) as session:
            if precision == "bf16" and not able:
                with pytest.raises(TargetError, match="CPU does not compute in bf16"):
                    session.measure([convolution()])
                return
            measured += session.measure([convolution()])
    exact, rounded = (measurement.fingerprint for measurement in measured)
    assert differences(exact, rounded) == [
        "provider was CPU f32, is CPU bf16",
        "precision was fp32, is bf16",
    ]


def test_what_a_model_computes_is_what_onnx_runtime_computes(
    convolution: Make, profile: TargetProfile, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).normal(size=(3, 3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "given.npy", values)
    model = convolution(batch="n")
    with Session(with_openvino(profile)) as session:
        files = session.outputs([model], tmp_path / "given.npy", tmp_path)
    expected = onnxruntime.InferenceSession(model).run(None, {"x": values})[0]
    assert files is not None
    assert np.load(files[0]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_both_directions_of_a_recurrent_layer_are_one_layer(
    recurrent: Make, profile: TargetProfile, kind: str
) -> None:
    with Session(with_openvino(profile)) as session:
        [layers] = session.profile_layers([recurrent(kind, features=6, hidden=5)])
    assert [(layer.operator, layer.output_shape) for layer in layers] == [
        (kind.lower(), (7, 2, 1, 5))
    ]


def test_a_board_is_reached_by_ssh(board: Board, convolution: Make, tmp_path: Path) -> None:
    np.save(tmp_path / "given.npy", np.ones((2, 3, 16, 16), np.float32))
    with Session(with_openvino(board.profile())) as session:
        [measurement] = session.measure([convolution()])
        files = session.outputs([convolution()], tmp_path / "given.npy", tmp_path)
    assert (measurement.target, measurement.fingerprint.runtime) == ("board", "openvino")
    assert files is not None
    assert np.load(files[0]).shape == (2, 10)
    assert list(board.folder.iterdir()) == []


class Ones(CalibrationDataReader):
    def __init__(self, size: int) -> None:
        self._samples = iter([{"x": np.ones((1, 3, size, size), np.float32)}])

    def get_next(self) -> Any:
        return next(self._samples, None)


def test_an_int8_file_is_computed_in_eight_bits(
    convolution: Make, profile: TargetProfile, tmp_path: Path
) -> None:
    exact, rounded = convolution("a.onnx", 32, 16), tmp_path / "int8.onnx"
    quantize_static(exact, rounded, Ones(16), quant_format=QuantFormat.QDQ)
    with Session(with_openvino(profile)) as session:
        [measurement] = session.measure([rounded])
    assert measurement.fingerprint.precision == "int8"


def test_a_device_that_is_not_here_is_told(convolution: Make, profile: TargetProfile) -> None:
    told = "the device NPU is not here; this OpenVINO has: CPU"
    with (
        Session(with_openvino(profile, device="NPU")) as session,
        pytest.raises(TargetError, match=told),
    ):
        session.measure([convolution()])


@pytest.mark.parametrize("device", ["AUTO", "HETERO:GPU,CPU", "cpu"])
def test_a_device_that_would_be_several_is_refused(profile: TargetProfile, device: str) -> None:
    with pytest.raises(ValueError, match=r"openvino\.device"):
        with_openvino(profile, device=device)


def test_a_missing_package_is_one_line_that_names_the_extra(
    convolution: Make, profile: TargetProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_runtime, "PACKAGE", "no_such_package")
    assert find_spec("no_such_package") is None
    with (
        Session(with_openvino(profile)) as session,
        pytest.raises(MissingExtraError, match=r"pip install 'edgespiral\[openvino\]'"),
    ):
        session.measure([convolution()])
