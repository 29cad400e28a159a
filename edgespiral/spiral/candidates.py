"""Untrained candidates as files, in the precision that students will have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.distill.masks import apply_masks
from edgespiral.export.onnx import export_onnx
from edgespiral.export.precision import convert_untrained
from edgespiral.prune.sparsity import two_four_masks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgespiral.core.records import Precision
    from edgespiral.export.int8 import Form
    from edgespiral.spiral.cutting import Cuttable


@dataclass(frozen=True)
class CandidateFiles:
    """Files of cuts of `original` in `folder`.

    Attributes:
        precision: that the files are written in.
        form: of int8 files.
        two_four: weights have the zeros of 2:4 sparsity, where they can.
    """

    original: Cuttable
    folder: Path
    precision: Precision = "fp32"
    form: Form = "onnxruntime"
    two_four: bool = False

    def write(self, widths: Mapping[str, int], index: int) -> Path:
        """The cut to `widths`, to be measured.

        Raises:
            ExportError: it has no ONNX form, or none in this precision.
        """
        return convert_untrained(self.write_float(widths, index), self.precision, self.form)

    def write_float(self, widths: Mapping[str, int], index: int) -> Path:
        """The cut to `widths` in fp32.

        Raises:
            ExportError: it has no ONNX form.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"candidate-{index}.onnx"
        example = self.original.example
        shape = tuple(example.shape[1:])
        model = self.original.candidate(dict(widths))
        if self.two_four:
            apply_masks(model, two_four_masks(model))
        export_onnx(model, path, input_shape=shape, dtype=example.dtype)
        return path
