"""Parts written beside the file of the whole model."""

import onnx
import pytest
import torch
from torch import nn

from edgespiral.core.errors import ExportError, UsageError
from edgespiral.core.records.parts import Part, part_files, part_path
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import predicting_file
from edgespiral.export.parts import check_parts, require_float, write_parts
from edgespiral.measure.model_files import timed_files
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session


@pytest.fixture
def halves():
    """A net whose second layer runs three times, as two parts."""
    torch.manual_seed(0)
    first, second = nn.Linear(4, 6).eval(), nn.Linear(6, 2).eval()
    given = torch.randn(5, 4)
    parts = [Part("first", first, given, 1), Part("second", second, first(given).detach(), 3)]
    return nn.Sequential(first, second).eval(), parts


def test_parts_are_written_checked_and_asked(halves, tmp_path):
    net, parts = halves
    path = tmp_path / "net.onnx"
    export_onnx(net, path, input_shape=(4,))
    files = write_parts(path, parts)
    assert [file.name for file in files] == ["net.first.onnx", "net.second.onnx"]
    check_parts(files, parts)
    onnx.checker.check_model(str(path))
    assert [(part.name, part.count) for part in part_files(path)] == [("first", 1), ("second", 3)]
    with predicting_file(path) as predict, torch.no_grad():
        given = parts[0].inputs
        between = predict.parts["first"](given)
        torch.testing.assert_close(between, parts[1].inputs)
        torch.testing.assert_close(predict.parts["second"](between), predict(given))
    assert write_parts(path, []) == []


def test_a_part_that_computes_something_else_is_refused(halves, tmp_path):
    net, parts = halves
    path = tmp_path / "net.onnx"
    export_onnx(net, path, input_shape=(4,))
    files = write_parts(path, parts)
    with torch.no_grad():
        parts[1].module.bias.add_(1.0)
    with pytest.raises(ExportError, match="second"):
        check_parts(files, parts)


@pytest.mark.slow
def test_what_is_timed_is_the_sum_of_the_parts(halves, tmp_path):
    net, parts = halves
    path = tmp_path / "net.onnx"
    export_onnx(net, path, input_shape=(4,))
    write_parts(path, parts)
    assert [(file.part, file.count) for file in timed_files(path)] == [("first", 1), ("second", 3)]
    alone = part_path(path, part_files(path)[0])
    with Session(load_profile("host-cpu")) as session:
        together, first = session.measure([path, alone], rounds=5)
        [layers] = session.profile_layers([path], rounds=5)
    assert [(part.name, part.count) for part in together.parts] == [("first", 1), ("second", 3)]
    assert first.parts == ()
    assert together.model_sha256 != first.model_sha256
    # One run of the first and three of the second, each of which takes some time.
    assert together.stats.p50_ms > together.parts[0].p50_ms + 2 * together.parts[1].p50_ms
    assert [layer.operator for layer in layers] == ["gemm", "gemm"]


def test_a_lower_precision_is_refused():
    require_float((), "int8")
    require_float(("first",), "fp32")
    with pytest.raises(UsageError, match=r"runs in parts \(first\) is exported in fp32 alone"):
        require_float(("first",), "auto")
