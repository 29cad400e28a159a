from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgespiral.core.records.inspection import KeptFacts


def test_facts_are_frozen_and_complete():
    facts = KeptFacts(layer="head", channels=10, reason="reach the output")
    with pytest.raises(ValidationError, match="frozen"):
        facts.channels = 3
    with pytest.raises(ValidationError, match="reason"):
        KeptFacts(layer="head", channels=10)
