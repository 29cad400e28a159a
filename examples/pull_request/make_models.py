"""The model before a change and after it, as a pull request would have them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

import edgespiral


def network(width: int) -> nn.Module:
    """A small network; `width` is what the change changes."""
    return nn.Sequential(
        *(nn.Conv2d(3, width, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(width, width, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)),
    )


def main(words: Sequence[str] | None = None) -> None:
    """Write BEFORE/model.onnx and AFTER/model.onnx."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("before", type=Path, nargs="?", default=Path("old"))
    options.add_argument("after", type=Path, nargs="?", default=Path("new"))
    options.add_argument("--widths", type=int, nargs=2, default=(32, 96))
    asked = options.parse_args(words)
    samples = TensorDataset(torch.randn(32, 3, 48, 48), torch.arange(32) % 10)
    names = [str(number) for number in range(10)]
    splits = dict.fromkeys(("train", "validation", "test"), samples) | {"classes": names}
    for folder, width in zip((asked.before, asked.after), asked.widths, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        edgespiral.export_model(network(width).eval(), splits, folder / "model.onnx")


if __name__ == "__main__":
    main()
