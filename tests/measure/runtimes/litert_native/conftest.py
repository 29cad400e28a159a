from pathlib import Path
from typing import Any

import pytest

from edgespiral.measure.tiny import write_tiny_model, write_tiny_module

# Where the converter's Python is asked whether it has the package, and where it converts.
CONVERTER = """#!/bin/sh
[ "$2" = -c ] && exit 0
cp {model} model.tflite
echo '{{"input_ports": ["args_0"], "output_ports": ["output_0"]}}' > ports.json
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A model with its module beside it."""
    write_tiny_module(tmp_path)
    return write_tiny_model(tmp_path / "tiny.onnx")


@pytest.fixture
def named(benchmark_model: Path, tiny: Path, tmp_path: Path) -> dict[str, Any]:
    """A `[runtime]` with the stand-ins of tool and converter, which takes an ONNX file as it is."""
    converter = tmp_path / "converter"
    converter.write_text(CONVERTER.format(model=tiny))
    converter.chmod(0o755)
    kind = {"kind": "litert-native", "binary": str(benchmark_model)}
    return {**kind, "converter_python": str(converter)}
