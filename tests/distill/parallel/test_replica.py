import pytest
import torch

from edgespiral.core.errors import UsageError
from edgespiral.distill.parallel.replica import Replica, own_rows, require_shares
from edgespiral.distill.parallel.world import ALONE, World


def test_shares_are_even_or_refused():
    require_shares(16, 2, 4)
    require_shares(7, 1, 1)
    with pytest.raises(UsageError, match=r"16 samples cannot .* 3 processes; .* such as 15"):
        require_shares(16, 1, 3)
    with pytest.raises(UsageError, match=r"12 samples in 4 parts .* among 2 processes; .* of 8"):
        require_shares(12, 4, 2)


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("parts", [1, 3])
def test_each_part_is_shared_out_among_all(processes, parts):
    shares = [own_rows(24, parts, World(rank, processes)) for rank in range(processes)]
    for part in range(parts):
        size = 24 // parts // processes
        own = torch.cat([share[part * size : (part + 1) * size] for share in shares])
        assert own.tolist() == list(range(part * 24 // parts, (part + 1) * 24 // parts))
    assert own_rows(24, parts, ALONE) == slice(None)


def test_alone_the_loss_is_the_loss():
    replica = Replica(torch.nn.Linear(1, 1), lambda batch: batch + 1, ALONE)
    with replica.adding_up(is_last=False):
        assert replica.loss(1) == 2
    replica.close()
