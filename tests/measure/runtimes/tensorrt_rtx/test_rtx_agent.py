"""The real builder of TensorRT for RTX, which needs no GPU: what we export is parsed and built."""

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import helper
from torchvision.models.vision_transformer import VisionTransformer

from edgespiral.core.errors import MeasurementError, ModelError, TargetError
from edgespiral.core.records.exported import EngineFacts
from edgespiral.core.records.schema import Precision
from edgespiral.export.int8.convert import write_int8
from edgespiral.export.int8.ranges import placeholder_ranges
from edgespiral.export.onnx import export_onnx
from edgespiral.export.precision import convert_untrained
from edgespiral.measure.build import build_engine
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes.agent_answer import AGENT
from edgespiral.measure.runtimes.tensorrt_rtx.runtime import RTX_AGENT
from edgespiral.measure.session import Session
from edgespiral.models import build

pytest.importorskip("tensorrt_rtx", reason="the tensorrt-rtx extra is not installed")

Make = Callable[..., Path]
IMAGE, TEXT = (1, 16, 16), (8,)


def profile(capability: str = "8.9", timeout_s: float = 120) -> TargetProfile:
    return TargetProfile.model_validate(
        {
            "schema": 1,
            "name": "rtx",
            "runtime": {"kind": "tensorrt-rtx", "compute_capability": capability},
            "transport": {"kind": "local", "timeout_s": timeout_s},
        }
    )


def built(
    model: Path, goal: Path, target: TargetProfile | None = None, **shapes: Any
) -> EngineFacts:
    with Session(target or profile(), shapes=shapes) as session:
        return build_engine(session, model, goal)


def attention() -> VisionTransformer:
    return VisionTransformer(
        image_size=16,
        patch_size=4,
        num_layers=1,
        num_heads=2,
        hidden_dim=32,
        mlp_dim=64,
        num_classes=10,
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The ONNX file of a zoo model in float32, written once."""
    folder = tmp_path_factory.mktemp("exported")

    def make(name: str) -> Path:
        path = folder / f"{name}.onnx"
        if not path.exists():
            torch.manual_seed(0)
            text = name == "lstm-text"
            shape, tokens = (TEXT, 20) if text else (IMAGE, None)
            if name == "attention":
                model, shape = attention(), (3, 16, 16)
            else:
                model = build(name, classes=10, input_shape=shape, token_count=tokens)
            dtype = torch.int64 if text else torch.float32
            export_onnx(model.eval(), path, input_shape=shape, dtype=dtype)
        return path

    return make


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        *itertools.product(("resnet8", "mobilenetv2-small"), ("fp32", "fp16", "int8")),
        *itertools.product(("gru-sound", "attention"), ("fp32", "int8")),
        *itertools.product(("lstm-text",), ("fp32", "fp16")),
    ],
)
def test_what_is_exported_is_built_with_its_quantisation_fused(
    exported: Callable[[str], Path], tmp_path: Path, name: str, precision: Precision
) -> None:
    model = convert_untrained(exported(name), precision, "tensorrt")
    facts = built(model, tmp_path / "net.engine")
    assert (tmp_path / "net.engine").stat().st_size > 10_000
    assert (facts.runtime, facts.precision) == ("tensorrt-rtx", precision)
    assert (facts.compute_capability, facts.gpu) == ("8.9", None)
    assert facts.unfused == ()


def test_the_form_for_onnxruntime_is_refused_for_its_biases(
    exported: Callable[[str], Path], tmp_path: Path
) -> None:
    source, path = exported("resnet8"), tmp_path / "ort.onnx"
    write_int8(source, path, placeholder_ranges(source), form="onnxruntime")
    with pytest.raises(ModelError, match=r"ort\.onnx: cannot be parsed: .*bias.*Int32"):
        built(path, tmp_path / "net.engine")
    assert sorted(tmp_path.iterdir()) == [path]


def test_other_gpus_are_named_by_their_capability(convolution: Make, tmp_path: Path) -> None:
    assert built(convolution(), tmp_path / "a.engine", profile("12.0")).compute_capability == "12.0"
    wrong = pytest.raises(TargetError, match=r"not build for compute capability 8\.7; .* 8\.9, 12")
    with wrong:
        built(convolution(), tmp_path / "b.engine", profile("8.7"))


def test_a_size_that_is_not_fixed_has_to_be_given(convolution: Make, tmp_path: Path) -> None:
    model = convolution(batch="n")
    with pytest.raises(ModelError, match=r"input x has no fixed size; give it: --shape x:"):
        built(model, tmp_path / "a.engine")
    assert built(model, tmp_path / "a.engine", x=(1, 3, 16, 16)).precision == "fp32"


def test_an_operator_that_it_does_not_know_is_named(convolution: Make, tmp_path: Path) -> None:
    model = onnx.load(convolution())
    model.graph.node[1].CopyFrom(
        helper.make_node("Nonsense", ["c"], ["r"], name="odd", domain="us")
    )
    model.opset_import.append(helper.make_opsetid("us", 1))
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match=r"odd\.onnx: cannot be parsed: .*Nonsense"):
        built(tmp_path / "odd.onnx", tmp_path / "a.engine")


def test_a_builder_that_hangs_is_ended(convolution: Make, tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match=r"no answer within 0\.01 s"):
        built(convolution(), tmp_path / "a.engine", profile(timeout_s=0.01))
    assert not (tmp_path / "a.engine").exists()


def test_a_package_that_cannot_be_imported_is_said(tmp_path: Path) -> None:
    """As on a device behind ssh, where only the agent can look."""
    for agent in (AGENT, RTX_AGENT):
        shutil.copy(agent, tmp_path)
    (tmp_path / "tensorrt_rtx.py").write_text("raise ImportError('no such library')")
    (tmp_path / "request.json").write_text("{}")
    command = [sys.executable, "rtx_agent.py", "request.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    told = json.loads(done.stdout)["error"]
    assert (done.returncode, told["kind"]) == (1, "target")
    assert "cannot be imported: no such library" in told["what"]
