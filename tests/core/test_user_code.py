import pytest

from edgespiral.core.errors import DataError, ModelError, UsageError
from edgespiral.core.text import is_printable
from edgespiral.core.user_code import user_code


class Odd(BaseException):
    def __str__(self):
        raise ValueError


def deep():
    return deep()


@pytest.mark.parametrize(
    "raised",
    [
        ValueError("two\nlines \x1b[2J"), KeyError("label"), OSError(None, None), Exception(),
        StopIteration(), SystemExit("bye"), SystemExit(0), AssertionError(), Odd(), MemoryError(),
    ],
    ids=lambda raised: type(raised).__name__,
)  # fmt: skip
def test_anything_becomes_one_line(raised):
    with (
        pytest.raises(ModelError, match=f"net: fails on it: {type(raised).__name__}") as caught,
        user_code(ModelError, "fails on it", where="net"),
    ):
        raise raised
    assert is_printable(str(caught.value))


def test_recursion_without_end_is_told():
    with pytest.raises(DataError, match="RecursionError"), user_code(DataError, "fails"):
        deep()


@pytest.mark.parametrize("ours", [KeyboardInterrupt(), UsageError("ours")])
def test_ctrl_c_and_our_own_errors_pass(ours):
    with pytest.raises(type(ours)) as caught, user_code(DataError, "fails"):
        raise ours
    assert caught.value is ours
