"""ONNX files in ONNX Runtime's mobile format, by the tool that is in its Python package."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from edgespiral.measure.runtimes.conversions import Converted
from edgespiral.measure.runtimes.converting import copied, run_converter

if TYPE_CHECKING:
    from pathlib import Path

    Platform = Literal["arm", "amd64"]

TOOL = "onnxruntime.tools.convert_onnx_models_to_ort"
# The package that it is in imports PyTorch where that is installed, and makes nothing of it here.
PROGRAM = (
    "import runpy, sys; sys.modules['torch'] = None; "
    f"runpy.run_module({TOOL!r}, run_name='__main__')"
)
MODEL, OPERATORS = "model.ort", "model.required_operators.config"
X86 = ("x86_64", "AMD64", "amd64")


def platform_of(architecture: str) -> Platform:
    """What the tool calls a processor's architecture, as Python names it."""
    return "amd64" if architecture in X86 else "arm"


def converted(model: Path, folder: Path, platform: Platform) -> Converted:
    """Convert an ONNX file into `folder`.

    All of ONNX Runtime's optimisations are in what comes of it. The second file names the
    operators, by which a build of ONNX Runtime is made that has no others.

    Args:
        model: the file.
        folder: where both files are put.
        platform: that it is optimised for; layouts of x86 run nowhere else.

    Raises:
        ModelError: ONNX Runtime cannot read or convert it.
    """
    command = [sys.executable, "-I", "-c", PROGRAM, copied(model, folder).name]
    command += ["--optimization_style", "Fixed", "--target_platform", platform]
    run_converter("ONNX Runtime", command, folder, (MODEL, OPERATORS), model)
    return Converted({name: folder / name for name in (MODEL, OPERATORS)}, {})
