from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from edgespiral.core.errors import UsageError
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.plan.call import call_text, fields_of_call, run_folder


def test_keywords_come_before_the_plan_and_a_model_goes_by_its_class():
    plan = Plan(speedup=2.0, epochs=3.0)
    fields, known = fields_of_call(
        nn.Linear(2, 2), "digits", plan, None, {"latency_ms": 4.0, "out": None}
    )
    assert fields == {"latency_ms": 4.0, "epochs": 3.0, "model": "Linear", "data": "digits"}
    assert known is None


def test_data_in_memory_are_named_and_returned():
    split = TensorDataset(torch.randn(32, 4), torch.arange(32) % 2)
    data = {"train": split, "validation": split, "test": split, "classes": ["no", "yes"]}
    fields, known = fields_of_call("net.py:net", data, None, "regression", {})
    assert known is not None
    assert (fields["data"], fields["task"]) == (known.name, "regression")


@pytest.mark.parametrize(
    ("model", "plan", "options", "problem"),
    [
        (3, None, {}, "model: a int is no model"),
        (nn.Linear(2, 2), None, {"weights": "x.pt"}, "weights: a module has its weights already"),
        ("resnet8", {"speedup": 2}, {}, "plan: a dict is no plan"),
    ],
)
def test_what_is_not_of_the_kind_is_refused(model, plan, options, problem):
    with pytest.raises(UsageError, match=problem):
        fields_of_call(model, "digits", plan, None, options)


def test_a_call_is_told_as_a_person_would_write_it():
    plan = Plan(model="net", data="digits", speedup=2.0)
    assert call_text("explore", plan, Path("runs/x")) == (
        "edgespiral.explore('net', 'digits', speedup=2.0, out='runs/x')"
    )


def test_a_run_folder_is_to_be_named():
    assert run_folder("a") == Path("a")
    with pytest.raises(UsageError, match="no run folder is named"):
        run_folder(None)
