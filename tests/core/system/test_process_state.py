import os
import signal
import sys
import warnings
from pathlib import Path

import pytest
import torch

from edgespiral.core.errors import DataError
from edgespiral.core.system.process_state import kept_state, usable_cores
from edgespiral.core.user_code import user_code


def torchs_defaults():
    return torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()


def test_what_somebody_s_code_sets_for_the_process_is_set_back():
    before = (sys.stdout, sys.stderr, list(sys.argv), torchs_defaults(), list(warnings.filters))
    handler = signal.getsignal(signal.SIGTERM)
    with kept_state():
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.set_grad_enabled(False)
        sys.stdout = sys.stderr = None
        sys.argv[:] = ["theirs", "bench"]
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        warnings.simplefilter("error")
    assert before == (
        *(sys.stdout, sys.stderr, list(sys.argv)),
        *(torchs_defaults(), list(warnings.filters)),
    )
    assert signal.getsignal(signal.SIGTERM) is handler
    assert torch.zeros(1).device.type == "cpu"


def test_a_list_of_words_that_was_put_in_the_command_line_s_place_goes():
    words = sys.argv
    with kept_state():
        sys.argv = ["theirs"]
    assert sys.argv is words


def test_a_failure_sets_back_too():
    def theirs():
        torch.set_grad_enabled(False)
        raise ValueError

    with pytest.raises(DataError), user_code(DataError, "fails"):
        theirs()
    assert torch.is_grad_enabled()


def test_a_folder_that_their_code_went_to_is_theirs_alone(tmp_path, monkeypatch):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    monkeypatch.chdir(ours)
    with kept_state():
        os.chdir(theirs)
        with kept_state():  # their data, called by their model
            assert Path.cwd() == theirs
    assert Path.cwd() == ours
    with kept_state():
        assert Path.cwd() == theirs
        os.chdir(ours)
    with kept_state():
        assert Path.cwd() == ours


def test_a_folder_of_theirs_that_is_gone_is_no_failure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    with kept_state():
        os.chdir(gone)
        gone.rmdir()
    assert Path.cwd() == tmp_path
    with kept_state():
        assert Path.cwd() == tmp_path


def test_code_that_changes_nothing_sees_gradients_as_they_are():
    with torch.no_grad(), kept_state():
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_cores_are_those_that_the_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usable_cores() == len(before)
