import json

import pytest
import torch
from torch import nn
from torch.distributed import HashStore

from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import DataError, ExitCode, ProcessLostError, UsageError
from edgespiral.data.tensors import StoredRows
from edgespiral.distill.parallel.world import World, among
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.workers.agreement import AGREED, OF, DisagreedError, agree, tell_failure

PLAN = Plan(model="net", data="toy", speedup=2, batch_size=8)
MODEL = nn.Linear(3, 2)


def splits(samples=200, changed=None):
    inputs = torch.arange(samples * 3.0).view(samples, 3)
    if changed is not None:
        inputs[changed] += 1
    rows = StoredRows(inputs, torch.arange(samples) % 2)
    return DataSplits("toy", rows, rows, rows, ("a", "b"), (3,))


def posted(model=MODEL, data=None, plan=PLAN):
    """The store in which the second of two processes has said what it has."""
    store = HashStore()
    store.set(AGREED, str(int(ExitCode.OK)))
    with among(World(1, 2, "cpu", store)):
        agree(plan, model, data or splits())
    return store


def first(store):
    return among(World(0, 2, "cpu", store))


def test_processes_with_the_same_of_everything_agree():
    with first(posted()):
        agree(PLAN, MODEL, splits())
    agree(PLAN, MODEL, splits())  # alone there is nobody to ask


def test_what_differs_is_named_with_the_process():
    other = nn.Linear(3, 2)
    cases = [
        (
            posted(model=other),
            UsageError,
            "process 1 of .*: differs from process 0 of .* in: weights of the model;",
        ),
        (posted(data=splits(changed=77)), DataError, r"training data \(samples or labels\)"),
        (posted(data=splits(samples=190)), DataError, r"number of training samples \(190, not 200"),
        (posted(plan=Plan(model="net", data="toy", speedup=3, batch_size=8)), UsageError, "plan"),
    ]
    for store, error, words in cases:
        with first(store), pytest.raises(error) as told:
            agree(PLAN, MODEL, splits())
        assert told.match("process 1 of ")
        assert told.match(words) or words in str(told.value)
        assert int(store.get(AGREED)) == error.exit_code


def test_another_version_is_told_with_both():
    store = posted()
    told = json.loads(store.get(OF.format(1)))
    told["facts"]["version of torch"] = "1.0"
    store.set(OF.format(1), json.dumps(told))
    with first(store), pytest.raises(UsageError, match=r"version of torch \(1\.0, not "):
        agree(PLAN, MODEL, splits())


def test_a_process_that_failed_before_is_told_of_with_its_words():
    store = HashStore()
    store.set(AGREED, "4")
    tell_failure(World(1, 2, "cpu", store), DataError("no such folder", where="data"))
    with (
        first(store),
        pytest.raises(ProcessLostError, match=r"process 1 of .*: data: no such fold"),
    ):
        agree(PLAN, MODEL, splits())


def test_a_refused_process_says_nothing_itself():
    store = HashStore()
    store.set(AGREED, "4")
    with among(World(1, 2, "cpu", store)), pytest.raises(DisagreedError):
        agree(PLAN, MODEL, splits())


def test_of_large_data_batches_from_all_over_are_compared():
    large = splits(samples=9000)
    for changed in (0, 8999):
        with first(posted(data=splits(samples=9000, changed=changed))), pytest.raises(DataError):
            agree(PLAN, MODEL, large)
