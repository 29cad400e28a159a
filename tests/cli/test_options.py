import pytest

from edgespiral.cli.options import budget
from edgespiral.core.errors import UsageError


def test_a_budget_is_for_all_targets_or_for_each_by_name() -> None:
    assert budget("--speedup", None) is None
    assert budget("--speedup", []) is None
    assert budget("--speedup", ["2"]) == 2.0
    assert budget("--latency-ms", ["a=8", "boards/b.toml=0.5"]) == {"a": 8.0, "boards/b.toml": 0.5}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["fast"], "--speedup: not a number: 'fast'"),
        (["a=2x"], "--speedup: not a number: '2x'"),
        (["2", "3"], "--speedup: given twice"),
        (["a=2", "a=3"], "--speedup: given twice for a"),
        (["2", "a=3"], "--speedup: a value for all targets beside those for some; write TARGET="),
    ],
)
def test_what_cannot_be_understood_is_told(given: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        budget("--speedup", given)
    assert str(caught.value).startswith(words)
