"""ExecuTorch through a session: made here of a module that lies beside the file."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgespiral.core.errors import MissingExtraError, ModelError, TargetError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes.agent_answer import AGENT
from edgespiral.measure.runtimes.executorch import convert
from edgespiral.measure.runtimes.executorch.runtime import EXECUTORCH_AGENT
from edgespiral.measure.session import Session
from edgespiral.measure.tiny import write_tiny_model, write_tiny_module

Make = Callable[..., Path]
has_executorch = pytest.mark.skipif(
    find_spec("executorch") is None, reason="the executorch extra is not installed"
)
# A layer that XNNPACK has no kernel for, beside one that it has.
DEEP = """
from torch import nn

class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.flat = nn.Conv3d(1, 2, 3), nn.Linear(2, 3)

    def forward(self, x):
        return self.flat(self.stem(x).flatten(2).mean(2))

def load():
    return Deep().eval()
"""

# A layer of our own with an operator that no exporter decomposes further.
TURNED = """
import torch
from torch import nn

class Area(nn.Module):
    def forward(self, x):
        return torch.det(x)

class Turned(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.area = nn.Conv2d(1, 2, 1), Area()

    def forward(self, x):
        return self.area(self.stem(x))

def load():
    return Turned().eval()
"""


def with_executorch(profile: TargetProfile) -> TargetProfile:
    runtime = {"kind": "executorch", "threads": 2}
    return TargetProfile.model_validate(profile.model_dump(by_alias=True) | {"runtime": runtime})


def module_in(folder: Path, source: str, taken: list[int], given: list[int]) -> Path:
    """Writes a module without weights, with a file that has its ends alone."""
    (folder / "model.py").write_text(source)
    (folder / "model.safetensors").write_bytes(b"")
    ends = [("x", taken), ("y", given)]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in ends]
    graph = helper.make_graph([], "ends", values[:1], values[1:])
    model = folder / "model.onnx"
    model.write_bytes(helper.make_model(graph).SerializeToString())
    return model


def test_a_file_without_its_module_is_refused(convolution: Make, profile: TargetProfile) -> None:
    told = r"has no model.py with model.safetensors beside it.*; name the folder of a run"
    with Session(with_executorch(profile)) as session, pytest.raises(ModelError, match=told):
        session.measure([convolution()])


def test_what_xnnpack_leaves_is_named_with_its_layers() -> None:
    left = [{"operator": "aten.split_with_sizes_copy.default", "layer": "gru"}]
    convert._require_whole(left, Path("model.onnx"))
    left += [
        {"operator": "aten.convolution.default", "layer": "stem"},
        {"operator": "aten.mm.default", "layer": ""},
    ]
    told = (
        r"XNNPACK leaves 2 of its layers to other kernels: stem \(aten.convolution.default\), "
        r"no layer \(aten.mm.default\)"
    )
    with pytest.raises(TargetError, match=told):
        convert._require_whole(left, Path("model.onnx"))


def test_a_missing_package_is_one_line_that_names_the_extra(
    profile: TargetProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "PACKAGE", "no_such_package")
    write_tiny_module(tmp_path)
    model = write_tiny_model(tmp_path / "tiny.onnx")
    # Another shape than in any other test: what was made once is not made again.
    with (
        Session(with_executorch(profile), shapes={"": (1, 16, 24, 24)}) as session,
        pytest.raises(MissingExtraError, match=r"pip install 'edgespiral\[executorch\]'"),
    ):
        session.measure([model])


@has_executorch
def test_a_module_is_lowered_run_and_computes_what_its_file_computes(
    profile: TargetProfile, tmp_path: Path
) -> None:
    write_tiny_module(tmp_path)
    model = write_tiny_model(tmp_path / "tiny.onnx")
    values = np.random.default_rng(0).normal(size=(2, 16, 32, 32)).astype(np.float32)
    np.save(tmp_path / "given.npy", values)
    with Session(with_executorch(profile)) as session:
        files = session.outputs([model], tmp_path / "given.npy", tmp_path)
        [measurement] = session.measure([model])
    alone = onnxruntime.InferenceSession(model)
    expected = [alone.run(None, {"x0": sample[None]})[0] for sample in values]
    assert files is not None
    assert np.load(files[0]) == pytest.approx(np.concatenate(expected), abs=1e-4)
    about = measurement.fingerprint
    assert (about.runtime, about.provider, about.threads) == ("executorch", "XNNPACK", 2)


@has_executorch
def test_a_layer_that_xnnpack_lacks_is_named(profile: TargetProfile, tmp_path: Path) -> None:
    model = module_in(tmp_path, DEEP, [1, 1, 4, 4, 4], [1, 3])
    with (
        Session(with_executorch(profile)) as session,
        pytest.raises(TargetError, match=r"XNNPACK leaves 1 of its layers .*: stem \(.*conv"),
    ):
        session.measure([model])


@has_executorch
def test_a_layer_whose_operator_it_lacks_is_named(profile: TargetProfile, tmp_path: Path) -> None:
    model = module_in(tmp_path, TURNED, [1, 1, 4, 4], [1, 2])
    told = r"ExecuTorch cannot convert it: .*_linalg_det.*: area$"
    with (
        Session(with_executorch(profile)) as session,
        pytest.raises(ModelError, match=told),
    ):
        session.measure([model])


@pytest.mark.parametrize(
    ("wants", "imported"),
    [
        ("import executorch.exir._warnings", "without the exporter"),
        ("from executorch.exir import known", "with the exporter"),
    ],
)
def test_the_exporter_is_imported_only_where_the_bindings_need_it(
    tmp_path: Path, wants: str, imported: str
) -> None:
    files = {
        "exir/__init__.py": "known = 'with the exporter'",
        "exir/_warnings.py": "",
        "runtime.py": "",
        "extension/pybindings/portable_lib.py": wants,
    }
    for name, text in files.items():
        file = tmp_path / "executorch" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    program = (
        "import sys; from executorch_agent import _bindings; _bindings(); "
        "exporter = sys.modules['executorch.exir']; "
        "print(getattr(exporter, 'known', 'without the exporter'))"
    )
    for agent in (AGENT, EXECUTORCH_AGENT):
        shutil.copy(agent, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == imported, done.stderr
