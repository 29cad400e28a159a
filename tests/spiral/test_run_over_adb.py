"""The whole job on an Android device, where stand-ins take the places of device and tool."""

from __future__ import annotations

import os

import pytest
import torch

from edgespiral import api
from edgespiral.core.records.events import Outcome
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.models import build
from edgespiral.tasks.classification import CLASSIFICATION

TARGET = """
schema = 1
name = "pocket"
[runtime]
kind = "android"
binary = "{binary}"
[transport]
kind = "adb"
serial = "{phone.serial}"
workdir = "{phone.folder}"
[measure]
warmup_ms = 2
rounds = 5
round_ms = 10
min_samples = 50
[device]
channel_multiple = 4
"""
SLOW = "EDGESPIRAL_SLOW_TESTS"


@pytest.mark.skipif(SLOW not in os.environ, reason=f"takes minutes; {SLOW}=1 runs it")
def test_a_budget_is_met_by_way_of_adb(phone, perf_test, digits, tmp_path):
    torch.manual_seed(0)
    teacher = build("resnet8", classes=10, input_shape=digits.input_shape)
    train(teacher, digits, TrainSettings(epochs=1.0), Objective(CLASSIFICATION))
    target = tmp_path / "pocket.toml"
    target.write_text(TARGET.format(binary=perf_test, phone=phone))
    options = {"speedup": 1.2, "turns": 1, "epochs": 0.5, "max_drop": 100.0}
    done = api.compress(teacher, digits, out=tmp_path / "run", target=str(target), **options)
    assert done.result.outcome == Outcome.MET
    assert done.result.devices[0].student.fingerprint.runtime_version.startswith("build ")
    assert list(phone.folder.iterdir()) == []
