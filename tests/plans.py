"""A plan that is accepted, and what is wrong with others."""

from pathlib import Path

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.spiral.plan import load_plan

GOOD: dict[str, object] = {"model": "resnet20", "data": "digits", "speedup": 2.0}


def problems_of(config: Path | None, overrides: dict[str, object]) -> list[str]:
    """What `load_plan` finds wrong, one text a problem."""
    with pytest.raises(UsageError) as caught:
        load_plan(config, overrides)
    return str(caught.value).split("; ")
