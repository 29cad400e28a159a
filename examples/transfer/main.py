"""A body that was trained on much data, with a new head for little of yours, made smaller."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split

import edgespiral

MUCH, FEW = range(7), range(7, 10)


def body() -> nn.Sequential:
    """In place of `torchvision.models.resnet18(weights="IMAGENET1K_V1")` without its last layer."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def pictures_of(digits: range) -> TensorDataset:
    """Pictures of some digits, labelled from 0 up."""
    whole = load_digits()
    chosen = torch.tensor([label in digits for label in whole.target])
    pictures = torch.tensor(whole.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(whole.target)
    return TensorDataset(pictures[chosen], labels[chosen] - digits.start)


def train(model: nn.Module, samples: torch.utils.data.Dataset, epochs: int, rate: float) -> None:
    """Plain PyTorch."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    for _ in range(epochs):
        for inputs, labels in DataLoader(samples, batch_size=32, shuffle=True, drop_last=True):
            loss = F.cross_entropy(model.train()(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()


def main(words: Sequence[str] | None = None) -> None:
    """Train a body on much, its head and then all of it on little, and compress that."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--target", default="host-cpu", help="a target's name or file")
    options.add_argument("--out", type=Path, default=Path("runs/transfer"))
    asked = options.parse_args(words)
    torch.manual_seed(0)
    trained = body()
    train(nn.Sequential(trained, nn.Linear(64, len(MUCH))), pictures_of(MUCH), 4, 3e-3)

    parts = random_split(pictures_of(FEW), [0.6, 0.2, 0.2], torch.Generator().manual_seed(0))
    names = ("train", "validation", "test")
    splits = {**dict(zip(names, parts, strict=True)), "classes": [str(digit) for digit in FEW]}
    model = nn.Sequential(trained, nn.Linear(64, len(FEW)))
    trained.requires_grad_(requires_grad=False)
    train(model, parts[0], 4, 1e-2)
    trained.requires_grad_(requires_grad=True)
    train(model, parts[0], 2, 1e-3)

    small = edgespiral.compress(
        model,
        splits,
        target=asked.target,
        speedup=1.5,
        epochs=6,
        max_drop=10,
        batch_size=32,
        out=asked.out,
        resume=True,
    )
    print(small.result.outcome, small.result.message)


if __name__ == "__main__":
    try:
        main()
    except edgespiral.EdgeSpiralError as error:
        sys.exit(f"error: {error}")
