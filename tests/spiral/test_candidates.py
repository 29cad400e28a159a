from __future__ import annotations

import pytest

from edgespiral.core.artifact import trace
from edgespiral.measure.model_files import precision_of
from edgespiral.spiral.candidates import CandidateFiles
from edgespiral.spiral.cutting import Cuttable


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_cut_is_written_in_its_precision(wide, digits, tmp_path, precision):
    source = Cuttable.of(trace(wide), digits.input_shape)
    files = CandidateFiles(source, tmp_path / "work", precision)
    narrow = {group.name: group.channels // 2 for group in source.groups}
    full = files.write(dict.fromkeys(narrow, 16), 0).stat().st_size
    path = files.write(narrow, 1)
    assert precision_of(path) == precision
    assert precision_of(files.write_float(narrow, 2)) == "fp32"
    assert path.stat().st_size > full
