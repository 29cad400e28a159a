import re
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

LineOf = Callable[[CompletedProcess[str], str], str]


@pytest.fixture
def line_of() -> LineOf:
    """The mark and the text of the first line about something; columns are two blanks apart."""

    def find(done: CompletedProcess[str], name: str) -> str:
        pattern = re.compile(rf"^(ok|mind|mend) +{re.escape(name)} {{2}}.*$", re.MULTILINE)
        line = pattern.search(done.stdout)
        assert line is not None, f"nothing about {name}: {done.stdout}{done.stderr}"
        return " ".join(line[0].split())

    return find
