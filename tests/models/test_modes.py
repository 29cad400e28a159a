from __future__ import annotations

import pytest
from torch import nn

from edgespiral.models.modes import evaluating


def test_every_module_gets_its_own_mode_back():
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(1)).train()
    model[1].eval()
    with evaluating(model):
        assert [module.training for module in model.modules()] == [False, False, False]
    assert [module.training for module in model.modules()] == [True, True, False]


def test_a_failure_inside_puts_the_modes_back_too():
    model = nn.Dropout().train()
    with pytest.raises(ZeroDivisionError), evaluating(model):
        _ = 1 / 0
    assert model.training
