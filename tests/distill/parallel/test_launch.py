import pytest

from edgespiral.core.errors import UsageError
from edgespiral.core.listener import Silent
from edgespiral.distill.parallel.launch import launched, process_count


def test_a_number_of_processes_is_taken_on_the_cpu():
    assert process_count(3, "cpu") == 3
    with pytest.raises(UsageError, match="no GPU here that PyTorch can use; a number"):
        process_count("all", "cpu")


def test_what_the_first_process_ends_with_is_what_all_end_with(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert launched(2, ["version-of-nothing"], Silent()) == 2
