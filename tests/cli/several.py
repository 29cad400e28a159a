"""What a user may bring to a run in several processes; one of them may be lost, or differ."""

import os
import signal
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

import edgespiral

# The number of a process; a process by itself has none.
RANK = os.environ.get("RANK")


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 48, 3), nn.BatchNorm2d(48), nn.ReLU(), nn.Conv2d(48, 48, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 4)),
    ).eval()


def parts(seed=0):
    torch.manual_seed(seed)
    part = TensorDataset(torch.randn(64, 1, 12, 12), torch.arange(64) % 4)
    return {"train": part, "validation": part, "test": part, "classes": list("abcd")}


def data():
    return parts()


def differing():
    """Other samples in each process."""
    return parts(int(RANK or 0))


class Fragile(edgespiral.TrainingStep):
    """Once the second process is killed, and once, later on, the launcher is told to stop."""

    def loss(self, student, batch, usual):
        if batch.step == 10 and RANK == "1" and first_time("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if batch.step == 14 and RANK == "0" and first_time("stopped"):
            os.kill(os.getppid(), signal.SIGTERM)
        return super().loss(student, batch, usual)


def first_time(event):
    try:
        Path(event).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
