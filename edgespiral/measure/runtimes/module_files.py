"""The PyTorch module that lies beside a model's file, for runtimes that are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError
from edgespiral.core.system.files import is_file, sha256_file

if TYPE_CHECKING:
    from pathlib import Path

# What a run has beside a model's file: the module that it was exported from.
SOURCE, WEIGHTS = "model.py", "model.safetensors"


@dataclass(frozen=True)
class ModuleFiles:
    """The PyTorch module that an ONNX file was exported from, as a run has it beside the file.

    Attributes:
        source: Python that rebuilds it, whose `load()` gives it with its weights.
        weights: that belong to it.
    """

    source: Path
    weights: Path

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of both, one after the other.

        Raises:
            OSError: one of them cannot be read.
        """
        return sha256_file(self.source) + sha256_file(self.weights)


def module_beside(model: Path) -> ModuleFiles:
    """The module that lies beside a model's file.

    Raises:
        ModelError: there is none.
    """
    files = ModuleFiles(model.with_name(SOURCE), model.with_name(WEIGHTS))
    if not (is_file(files.source) and is_file(files.weights)):
        raise ModelError(
            f"has no {SOURCE} with {WEIGHTS} beside it, which this runtime is made of",
            where=str(model),
            hint="name the folder of a run, or another runtime",
        )
    return files
