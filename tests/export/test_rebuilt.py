from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest
from torch import nn

from edgespiral.core.errors import ExitCode, ExportError
from edgespiral.export.onnx import export_onnx
from edgespiral.export.precision import validation_samples
from edgespiral.export.rebuilt import FreshProcess, check_rebuilt
from edgespiral.models.saved import save_model, trace

# Each begins a process that imports PyTorch.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fresh():
    with FreshProcess() as process:
        yield process


@pytest.fixture
def saved(trained, digits, tmp_path):
    """A folder with the model's source, weights and ONNX file, and samples."""
    folder = tmp_path / "saved"
    folder.mkdir()
    save_model(trace(trained), folder)
    export_onnx(trained, folder / "model.onnx", input_shape=digits.input_shape)
    return folder, folder / "model.onnx", validation_samples(digits, 16)


def edit(source, old, new):
    text = source.read_text(encoding="utf-8")
    assert old in text
    source.write_text(text.replace(old, new), encoding="utf-8")


def test_what_was_saved_computes_what_the_file_does(fresh, saved):
    check_rebuilt(fresh, *saved)
    folder, _, samples = saved
    (output,) = fresh.outputs(folder, samples[0])
    assert output.shape == (1, 10)


def test_a_source_that_computes_something_else_is_found(fresh, saved):
    edit(saved[0] / "model.py", "return head", "return 1.01 * head")
    with pytest.raises(ExportError, match=r"model\.py: computes something else than model\.onnx"):
        check_rebuilt(fresh, *saved)


def test_weights_that_are_others_are_found(fresh, saved, trained):
    other = trace(trained)
    other.head.weight = nn.Parameter(-other.head.weight.detach())
    save_model(other, saved[0])
    with pytest.raises(ExportError, match="computes something else") as caught:
        check_rebuilt(fresh, *saved)
    assert caught.value.exit_code == ExitCode.EXPORT


def test_a_source_that_needs_more_than_torch_cannot_be_run(fresh, saved):
    (saved[0] / "model.py").write_text("from edgespiral import load_model as load\n")
    with pytest.raises(ExportError, match=r"without EdgeSpiral: .*edgespiral") as caught:
        check_rebuilt(fresh, *saved)
    assert "\n" not in str(caught.value)


def test_a_source_that_ends_its_process_is_told_and_the_next_one_is_run(fresh, saved):
    source = (saved[0] / "model.py").read_text(encoding="utf-8")
    (saved[0] / "model.py").write_text("import os\nprint('done')\nos._exit(3)\n")
    with pytest.raises(ExportError, match="it broke off"):
        check_rebuilt(fresh, *saved)
    (saved[0] / "model.py").write_text(source, encoding="utf-8")
    check_rebuilt(fresh, *saved)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends a child with its parent")
def test_it_ends_with_a_parent_that_was_killed():
    """Stopped while it imports, so that it cannot end by itself."""
    script = (
        "import os, signal; from edgespiral.export.rebuilt import FreshProcess;"
        " fresh = FreshProcess().__enter__(); print(fresh._process.pid, flush=True);"
        " signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        while not any("libtorch" in part.path for part in child.memory_maps()):
            time.sleep(0.01)
        child.suspend()
        parent.kill()
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
