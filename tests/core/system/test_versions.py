from __future__ import annotations

import platform
import subprocess
import sys

import torch

import edgespiral
from edgespiral.core.system.versions import versions


def test_what_a_result_depends_on_is_named_with_its_version():
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["edgespiral"] == edgespiral.__version__
    assert found["torch"] == torch.__version__.partition("+")[0]
    assert {"torchvision", "onnx", "onnxruntime", "nni", "numpy", "platform"} <= set(found)
    assert "unknown" not in found.values()


def test_no_package_is_imported_for_its_version():
    script = (
        "import sys\nfrom edgespiral.core.system.versions import versions\nversions()\n"
        "print([name for name in ('torch', 'onnx', 'numpy', 'nni') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
