import signal

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.core.listener import Silent
from edgespiral.distill.parallel import launch
from edgespiral.distill.parallel.launch import _code, launched, process_count


def test_a_number_of_processes_is_taken_on_the_cpu():
    assert process_count(3, "cpu") == 3
    with pytest.raises(UsageError, match="no GPU here that PyTorch can use; a number"):
        process_count("all", "cpu")


def test_what_the_first_process_ends_with_is_what_all_end_with(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert launched(2, ["version-of-nothing"], Silent()) == 2


@pytest.mark.parametrize(
    ("codes", "code"),
    [({0: 2, 1: 143}, 2), ({0: 143, 1: 2}, 2), ({0: 143, 1: 143}, 143), ({1: -9}, 9)],
)
def test_whom_the_launcher_ended_says_nothing(codes, code):
    assert _code(codes) == code


@pytest.mark.parametrize(
    ("killed", "first"),
    [
        ({0: signal.SIGABRT, 1: signal.SIGKILL}, (1, signal.SIGKILL)),
        ({0: signal.SIGABRT, 1: signal.SIGABRT}, (0, signal.SIGABRT)),
        ({0: signal.SIGSEGV, 1: signal.SIGKILL}, (1, signal.SIGKILL)),
        ({0: signal.SIGTERM, 1: signal.SIGSEGV}, (1, signal.SIGSEGV)),
        ({1: signal.SIGKILL, 0: signal.SIGKILL}, (1, signal.SIGKILL)),
    ],
)
def test_who_ends_because_another_was_killed_is_not_named(killed, first):
    assert launch._first_killed(killed) == first
