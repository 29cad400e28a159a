import pytest

from edgespiral.measure.completed import Completed, last_words


@pytest.mark.parametrize(
    ("code", "stderr", "words"),
    [
        (-9, "", "was killed by SIGKILL"),
        (137, "", "was killed by SIGKILL"),
        (1, "Traceback:\n  MemoryError\n", "failed with exit code 1: Traceback: MemoryError"),
        (
            1,
            'Traceback (most recent call last):\n  File "a"\nOSError: [Errno 28] No space\n',
            "failed with exit code 1: OSError: [Errno 28] No space",
        ),
        (255, "", "failed with exit code 255"),
        (0, "", "broke off in its answer"),
    ],
)
def test_an_ending_is_told_in_words(code: int, stderr: str, words: str) -> None:
    assert Completed(code, "", stderr).failure() == words


def test_last_words_are_one_bounded_line() -> None:
    tail = last_words("start\n" + "x" * 1000 + "\nthe end\n")
    assert tail.startswith("... x")
    assert tail.endswith("x the end")
    assert len(tail) < 320
    assert last_words(" \n ") == ""
