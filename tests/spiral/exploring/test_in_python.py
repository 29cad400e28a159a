from __future__ import annotations

import pytest

import edgespiral
from edgespiral.core.errors import UsageError
from edgespiral.core.records.exploration import read_exploration
from edgespiral.spiral.exploring.in_python import explore


def test_what_is_returned_lies_in_the_folder(explored):
    assert isinstance(explored, edgespiral.Explored)
    assert read_exploration(explored.folder) == explored.exploration
    assert "what speed would cost" in (explored.folder / "exploration.html").read_text()


def test_a_folder_is_needed(teacher, digits):
    with pytest.raises(UsageError, match="no run folder is named"):
        explore(teacher, digits)
