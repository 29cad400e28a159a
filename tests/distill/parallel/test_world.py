import json
import os

import pytest
import torch
from torch.distributed import HashStore

from edgespiral.core.errors import ProcessLostError, UsageError
from edgespiral.distill.parallel.world import ALONE, World, among, joined, present

LAUNCHED = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}


@pytest.fixture
def launched(monkeypatch):
    for name, value in (LAUNCHED | {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}).items():
        monkeypatch.setenv(name, value)


def test_a_process_by_itself_is_alone():
    with joined("auto") as world:
        assert world is present() is ALONE
    assert ALONE.is_first
    value = torch.tensor(3.0)
    assert ALONE.mean(value) is value
    assert ALONE.any(True, False) == [True, False]


def test_the_present_world_is_that_which_was_entered_last():
    with among(World(1, 2)):
        assert present().rank == 1
        assert not present().is_first
    assert present() is ALONE


def test_what_is_posted_is_read_by_all():
    store = HashStore()
    World(1, 2, "cpu", store).post("key", "text")
    assert World(0, 2, "cpu", store).wait("key") == "text"


def test_the_end_of_a_run_is_an_order(tmp_path):
    store = HashStore()
    World(0, 2, "cpu", store).end()
    assert World(1, 2, "cpu", store).next_order(tmp_path) is False


def test_an_order_names_its_files_in_folders_too(tmp_path):
    (tmp_path / "of" / "one").mkdir(parents=True)
    (tmp_path / "of" / "one" / "empty").touch()
    (tmp_path / "nothing").touch()
    store = HashStore()
    World(0, 2, "cpu", store).order(tmp_path)  # of empty files nothing is sent
    assert json.loads(store.get("order 1")) == [["nothing", "of/one/empty"], [0, 0]]
    there = tmp_path / "there"
    assert World(1, 2, "cpu", store).next_order(there)
    assert (there / "of" / "one" / "empty").read_bytes() == b""


def test_a_failure_is_heard_by_the_first_process_and_the_other_learns_so():
    store = HashStore()
    world = World(0, 2, "cpu", store)
    assert world.failure() is None
    assert not World(1, 2, "cpu", store).fail("no memory", heard_within_s=0)
    assert world.failure() == "no memory"
    assert World(1, 2, "cpu", store).fail("no memory")


def test_errors_name_a_process_by_number_device_and_host():
    assert World(1, 2, "cuda:1").name == f"process 1 (cuda:1 of {os.uname().nodename})"
    assert World(device="cpu").name == "cpu"


@pytest.mark.usefixtures("launched")
def test_one_device_for_all_processes_is_refused():
    with (
        pytest.raises(UsageError, match="'cuda:1' cannot be the device of several"),
        joined("cuda:1"),
    ):
        pass


@pytest.mark.usefixtures("launched")
def test_processes_that_do_not_meet_are_told_where_they_tried(monkeypatch):
    monkeypatch.setenv("MASTER_PORT", "none")
    words = "localhost:none: the processes of this run do not find each other"
    with pytest.raises(ProcessLostError, match=words), joined("cpu"):
        pass
