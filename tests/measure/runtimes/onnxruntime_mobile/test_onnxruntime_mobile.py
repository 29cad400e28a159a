"""ONNX Runtime on files in its mobile format, through a session and in a kit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edgespiral.core.errors import ModelError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes.onnxruntime_mobile.convert import converted
from edgespiral.measure.runtimes.onnxruntime_mobile.kit import kit, shipped
from edgespiral.measure.session import Session

Make = Callable[..., Path]


def on_mobile(profile: TargetProfile, **settings: object) -> TargetProfile:
    runtime = {"kind": "onnxruntime-mobile", "threads": 2, **settings}
    return TargetProfile.model_validate(profile.model_dump(by_alias=True) | {"runtime": runtime})


def test_the_converted_file_is_timed_with_its_layers_and_computes_the_same(
    convolution: Make, profile: TargetProfile, tmp_path: Path
) -> None:
    model = convolution()
    values = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "given.npy", values)
    with Session(on_mobile(profile, platform="arm")) as session:
        files = session.outputs([model], tmp_path / "given.npy", tmp_path)
        [measurement] = session.measure([model])
        [layers] = session.profile_layers([model], rounds=2)
    alone = onnxruntime.InferenceSession(model)
    expected = [alone.run(None, {"x": sample[None]})[0] for sample in values]
    assert files is not None
    assert np.load(files[0]) == pytest.approx(np.concatenate(expected), abs=1e-5)
    about = measurement.fingerprint
    assert (about.runtime, about.provider, about.threads) == (
        "onnxruntime-mobile",
        "CPUExecutionProvider",
        2,
    )
    assert [layer.operator for layer in layers] == ["conv", "gemm"]
    assert layers[0].weight_shape == (32, 3, 3, 3)


def test_a_file_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"nothing")
    folder = tmp_path / "work"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"wrong\.onnx: "):
        converted(wrong, folder, "arm")


def test_what_ships_is_the_format_with_the_list_of_its_operators(
    convolution: Make, profile: TargetProfile, tmp_path: Path
) -> None:
    model = convolution()
    with Session(on_mobile(profile)) as session:
        [measurement] = session.measure([model])
    ships = kit(measurement.fingerprint)
    made = shipped(model, tmp_path, {}, platform="arm")
    assert (made.file, [port.name for port in made.inputs]) == ("net.ort", ["x"])
    assert "ai.onnx;" in (tmp_path / "net.required_operators.config").read_text()
    assert "--include_ops_by_config" in ships.library
    assert ships.options == {"threads": "2"}
    # ONNX Runtime's marker of its own format, after the offset of the root.
    assert (tmp_path / "net.ort").read_bytes()[4:8] == b"ORTM"
