import json
import sys
from pathlib import Path

import pytest

from edgespiral.measure.runtimes.given_module import reason_of

SOURCE = """
import torch
from torch import nn

class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 2, 1), nn.Linear(2, 3)

    def forward(self, x):
        stem = self.stem(x)
        area = torch.det(stem);  stem = None
        return self.head(area)

def load():
    return Odd().eval()
"""


@pytest.fixture(autouse=True)
def own_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program imports in a process of its own stays out of this one's."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "model", sys)


@pytest.fixture(scope="module")
def request_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A request with the module that it is of."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "model.py").write_text(SOURCE)
    request = folder / "request.json"
    request.write_text(json.dumps({"shapes": [[1, 1, 4, 4]], "keywords": []}))
    return request


def test_the_line_that_names_an_operator_is_the_reason(request_file: Path) -> None:
    said = "\nWhile executing %other\n  No lowering for aten._other.default.\nask: core aten\n"
    assert reason_of(RuntimeError(said), request_file) == (
        "RuntimeError: No lowering for aten._other.default."
    )
    assert reason_of(ValueError("\nfirst line\nsecond"), request_file) == "ValueError: first line"
    assert reason_of(KeyError(), request_file) == "KeyError: "
    assert len(reason_of(ValueError("x" * 1000), request_file)) == 300


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_the_layers_of_an_operator_are_named_or_the_line_that_it_is(request_file: Path) -> None:
    said = "Missing out variants: {'aten::convolution'}"
    assert reason_of(RuntimeError(said), request_file) == f"RuntimeError: {said}: stem"
    said = "Operator torch._ops.aten._linalg_det.default is not in Core ATen opset"
    assert reason_of(RuntimeError(said), request_file) == (
        f"RuntimeError: {said}: area = torch.det(stem)"
    )
    assert reason_of(RuntimeError(f"{said} {'x' * 1000}"), request_file).endswith(
        "x: area = torch.det(stem)"
    )


def test_a_module_that_cannot_be_exported_is_told_with_its_line(request_file: Path) -> None:
    said = """not known beforehand
The following call raised this error:
  File "/some/where/model.py", line 14, in forward
    area = torch.det(stem);  stem = None
"""
    assert reason_of(RuntimeError(said), request_file) == (
        "RuntimeError: not known beforehand: area = torch.det(stem)"
    )
