from __future__ import annotations

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.spiral.exploring.in_python import explore


def test_a_folder_is_needed(teacher, digits):
    with pytest.raises(UsageError, match="no run folder is named"):
        explore(teacher, digits)
