from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from edgespiral.core.errors import ModelError
from edgespiral.core.schema import Precision
from edgespiral.export.precision import convert_untrained
from edgespiral.measure.model_files import find_model, model_files, precision_of
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.session import Session

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
    (tmp_path / "model.onnx").touch()
    assert find_model(tmp_path) == tmp_path / "model.onnx"
    with pytest.raises(ModelError, match="no such file"):
        find_model(tmp_path / "other.onnx")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_file_tells_its_precision(
    tmp_path: Path, convolution: Make, precision: Precision
) -> None:
    path = convert_untrained(convolution(), precision, "onnxruntime")
    assert precision_of(path) == precision
    (tmp_path / "bad.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=r"bad\.onnx: is not an ONNX model"):
        precision_of(tmp_path / "bad.onnx")
