"""LiteRT through a session: made of a module beside the file, by a Python that is named."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from devices import Board

from edgespiral.core.errors import ModelError, TargetError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.racing.entrants import entrants, profiles_with
from edgespiral.measure.runtimes.litert import convert
from edgespiral.measure.runtimes.litert.convert import NAMED
from edgespiral.measure.runtimes.litert.placement import left_over, provider_of
from edgespiral.measure.session import Session
from edgespiral.measure.tiny import write_tiny_model, write_tiny_module

Make = Callable[..., Path]
has_litert = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None
    or (find_spec("litert_torch") is None and NAMED not in os.environ),
    reason=f"the litert extra is not installed, or ${NAMED} names no Python with litert-torch",
)

# A layer behind others with an operator that LiteRT lacks.
LACKING = """
    class Area(nn.Module):
        def forward(self, x):
            return x.det()
    model.add_module("area", Area())
    return model.eval()
"""


def with_litert(profile: TargetProfile, **settings: object) -> TargetProfile:
    runtime = {"kind": "litert", "threads": 2, **settings}
    return TargetProfile.model_validate(profile.model_dump(by_alias=True) | {"runtime": runtime})


def operator(name: str, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
    return {"op_name": name, "name": f"of {name}", "inputs": inputs, "outputs": outputs}


def test_a_file_without_its_module_is_refused(convolution: Make, profile: TargetProfile) -> None:
    told = r"has no model.py with model.safetensors beside it.*; name the folder of a run"
    with Session(with_litert(profile)) as session, pytest.raises(ModelError, match=told):
        session.measure([convolution()])


def test_what_the_delegate_leaves_is_told_from_what_it_takes() -> None:
    first, second = operator("CONV_2D", [0, 1], [2]), operator("CONV_3D", [2, 3], [4])
    last = operator("FULLY_CONNECTED", [4, 5], [6])
    delegates = [
        operator("TfLiteXNNPackDelegate", [0, 1], [2]),
        operator("TfLiteXNNPackDelegate", [4, 5], [6]),
    ]
    assert left_over([first, second, last, *delegates]) == [second]
    assert left_over([first, last]) == [first, last]
    whole = operator("TfLiteXNNPackDelegate", [0, 1, 3, 5], [6])
    assert left_over([first, second, last, whole]) == []
    reshape = operator("RESHAPE", [6], [7])
    assert provider_of([(Path("a"), [first, second, last, reshape, whole])]) == "XNNPACK + built-in"
    told = r"^b: XNNPACK leaves 1 of its layers to other kernels: of CONV_3D \(CONV_3D\)"
    with pytest.raises(TargetError, match=told):
        provider_of([(Path("b"), [first, second, last, *delegates])])
    folded = "model.Model/torch.nn.modules.activation.ReLU_relu;model.Model/torch.nn.modules.conv."
    with pytest.raises(TargetError, match=r"other kernels: Conv3d_stem \(CONV_3D\)"):
        provider_of(
            [(Path("b"), [second | {"name": f"{folded}Conv3d_stem;3"}, whole | {"inputs": [2]}])]
        )


def test_it_is_compressed_on_where_cuts_are_not_shared_out_by_layers(
    profile: TargetProfile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    told = r"litert does not tell the times of layers.*--allocation uniform or global"
    with pytest.raises(TargetError, match=told):
        profiles_with(["host-cpu"], "litert", by_layers=True)
    [planned] = profiles_with(["host-cpu"], "litert", by_layers=False)
    assert planned.runtime.kind == "litert"
    racing = {lane.profile.runtime.kind for lane in entrants(profile, to_plan_on=True)}
    assert "litert" not in racing


@has_litert
def test_a_module_is_converted_run_and_computes_what_its_file_computes(
    profile: TargetProfile, tmp_path: Path
) -> None:
    write_tiny_module(tmp_path)
    model = write_tiny_model(tmp_path / "tiny.onnx")
    values = np.random.default_rng(0).normal(size=(2, 16, 32, 32)).astype(np.float32)
    np.save(tmp_path / "given.npy", values)
    with Session(with_litert(profile)) as session:
        files = session.outputs([model], tmp_path / "given.npy", tmp_path)
        [measurement] = session.measure([model])
    alone = onnxruntime.InferenceSession(model)
    expected = [alone.run(None, {"x0": sample[None]})[0] for sample in values]
    assert files is not None
    assert np.load(files[0]) == pytest.approx(np.concatenate(expected), abs=1e-4)
    about = measurement.fingerprint
    assert (about.runtime, about.provider, about.threads) == ("litert", "XNNPACK", 2)
    assert about.precision == "fp32"
    with Session(with_litert(profile, weights="int8")) as session:
        [rounded] = session.outputs([model], tmp_path / "given.npy", tmp_path) or ()
        [measurement] = session.measure([model])
    near = np.load(rounded)
    assert 0 < np.abs(near - np.concatenate(expected)).max() < 0.2 * np.abs(near).max()
    assert measurement.fingerprint.provider == "XNNPACK"
    assert measurement.fingerprint.precision == "int8 dynamic"


@has_litert
def test_models_are_converted_by_one_process_and_one_that_fails_is_told_with_its_layer(
    profile: TargetProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[Any] = []
    run = convert.run_converter

    def counted(title: str, command: Any, *more: Any) -> str:
        commands.append(command)
        return run(title, command, *more)

    monkeypatch.setattr(convert, "run_converter", counted)
    models = []
    for name in ("fine", "broken"):
        folder = tmp_path / name
        folder.mkdir()
        write_tiny_module(folder)
        models.append(write_tiny_model(folder / "tiny.onnx"))
    source = models[1].with_name("model.py")
    source.write_text(source.read_text().replace("return model.eval()", LACKING))
    told = r"broken.*: LiteRT cannot convert it: .*_linalg_det.*: area$"
    with Session(with_litert(profile)) as session:
        with pytest.raises(ModelError, match=told):
            session.measure(models)
        # The other one is kept.
        session.measure(models[:1])
    assert len(commands) == 1


@has_litert
def test_it_is_measured_over_ssh(board: Board, tmp_path: Path) -> None:
    write_tiny_module(tmp_path)
    model = write_tiny_model(tmp_path / "tiny.onnx")
    np.save(tmp_path / "given.npy", np.zeros((1, 16, 32, 32), np.float32))
    with Session(board.profile({"kind": "litert"})) as session:
        [measurement] = session.measure([model])
        files = session.outputs([model], tmp_path / "given.npy", tmp_path)
    assert measurement.fingerprint.provider == "XNNPACK"
    assert files is not None
    assert np.load(files[0]).shape == (1, 16, 32, 32)
