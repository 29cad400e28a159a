import pytest
import torch
from torch.distributed import DistNetworkError, HashStore

from edgespiral.core.errors import ModelError, ProcessLostError, TrainingError
from edgespiral.core.user_code import user_code
from edgespiral.distill.parallel.failures import explained
from edgespiral.distill.parallel.world import ALONE, World

CPU = torch.device("cpu")


def test_memory_that_is_short_is_told_with_what_was_asked_for_and_what_to_lower():
    words = r"cpu: ran out of memory: 1\.07e\+09 GiB were asked for; lower --batch-size, or raise"
    fails = user_code(ModelError, "the model fails at step 1")
    with pytest.raises(TrainingError, match=words), explained(ALONE, CPU), fails:
        torch.empty(2**60, dtype=torch.uint8)


def test_of_a_gpu_it_says_how_much_is_free():
    told = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB "
        "of which 7.19 GiB is free. Including non-PyTorch memory, this process has 71 GiB in use."
    )
    words = (
        "Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 7.19 GiB is"
    )
    with pytest.raises(TrainingError, match=words), explained(ALONE, torch.device("cuda:0")):
        raise told


def test_another_process_that_is_gone_is_told_and_with_its_own_words_where_it_had_some():
    store = HashStore()
    told = pytest.raises(ProcessLostError, match=r"process 0 \(cpu of .* is gone.*--resume")
    with told, explained(World(0, 2, "cpu", store), CPU):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:1] Connection closed by peer")
    store.set("failed", "process 1: no memory")
    told = pytest.raises(ProcessLostError, match=r"^process 1: no memory$")
    with told, explained(World(0, 2, "cpu", store), CPU):
        raise DistNetworkError("reset by peer")


def test_another_process_that_does_not_answer_is_told_with_how_long_one_has_waited():
    words = "[gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv"
    told = pytest.raises(ProcessLostError, match=r"has not answered for 0:30:00; see what it waits")
    with told, explained(World(0, 2, "cpu", HashStore()), CPU):
        raise RuntimeError(words)


def test_every_other_failure_is_as_it_was():
    for error in (RuntimeError("shapes differ"), ModelError("wrong")):
        with pytest.raises(type(error)) as told, explained(World(0, 2, "cpu", HashStore()), CPU):
            raise error
        assert told.value is error
