"""Made-up tables, ratings, labels and sounds of machines, for the tasks that are not of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.data import TensorDataset

if TYPE_CHECKING:
    from pathlib import Path

JOBS = ("baker", "smith", "poet", "king")


def write_people(path: Path, count: int = 600) -> Path:
    """Who is rich by age and job, a fifth of them, and how much money each has."""
    generator = torch.Generator().manual_seed(0)
    ages = 20 + 40 * torch.rand(count, generator=generator)
    jobs = torch.randint(len(JOBS), (count,), generator=generator)
    money = ages / 20 + 1.5 * jobs + 0.4 * torch.randn(count, generator=generator)
    rich = money > money.quantile(0.8)
    lines = ["age,height,job,money,rich"]
    for age, job, amount, is_rich in zip(ages, jobs, money, rich, strict=True):
        height = float(torch.randn((), generator=generator))
        lines.append(f"{age:.2f},{height:.3f},{JOBS[job]},{amount:.3f},{int(is_rich)}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_ratings(path: Path, users: int = 40, items: int = 60) -> Path:
    """Users of two kinds, each of which likes every other item."""
    generator = torch.Generator().manual_seed(0)
    lines = ["user,item,time"]
    for user in range(users):
        liked = torch.randperm(items // 2, generator=generator)[:15] * 2 + user % 2
        lines += [f"{user},{item},{moment}" for moment, item in enumerate(liked.tolist())]
    path.write_text("\n".join(lines) + "\n")
    return path


def labels():
    """Rows with four labels, each of which is there where one number is above one half."""
    return _parts(lambda rows: (rows[:, :4] > 0.5).float())


def sounds():
    """Rows on a plane, and in validation and test some that are not on it."""
    generator = torch.Generator().manual_seed(1)
    plane = torch.randn(3, 24, generator=generator)
    parts = {}
    for name, count in (("train", 512), ("validation", 128), ("test", 128)):
        rows = torch.randn(count, 3, generator=generator) @ plane
        odd = torch.arange(count) % 4 == 0 if name != "train" else torch.zeros(count).bool()
        rows[odd] += torch.randn(int(odd.sum()), 24, generator=generator)
        parts[name] = TensorDataset(rows / 3, odd.long())
    return parts | {"classes": ["normal", "odd"]}


def tagger():
    """Four logits of rows of eight numbers."""
    return nn.Sequential(
        nn.Linear(8, 256), nn.BatchNorm1d(256), nn.ReLU(),
        nn.Linear(256, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 4),
    )  # fmt: skip


def _parts(targets_of):
    generator = torch.Generator().manual_seed(0)
    parts = {}
    for name, count in (("train", 512), ("validation", 128), ("test", 128)):
        rows = torch.randn(count, 8, generator=generator)
        parts[name] = TensorDataset(rows, targets_of(rows))
    return parts
