"""Made-up data and models of several inputs, outputs and targets, and a task for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from edgespiral import Metric, Task

KINDS, WORDS, SIDE = 3, 7, 16
PARTS = {"train": 512, "validation": 96, "test": 96}


class Samples(Dataset):
    """An image, two numbers and a word's number; what they show, and how much of it."""

    def __init__(self, part: str, *, ordered: bool = False, labelled: bool = True) -> None:
        seed, count = list(PARTS).index(part), PARTS[part]
        generator = torch.Generator().manual_seed(seed)
        self.kinds = torch.randint(KINDS, (count,), generator=generator)
        self.numbers = torch.randn(count, 2, generator=generator)
        self.words = torch.randint(WORDS, (count,), generator=generator)
        self.images = 0.3 * torch.randn(count, 1, SIDE, SIDE, generator=generator)
        for sample, kind in enumerate(self.kinds):
            self.images[sample, 0, 4 * kind : 4 * kind + 4] += 1.0
        self.ordered, self.labelled = ordered, labelled

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, at: int):
        named = {"image": self.images[at], "numbers": self.numbers[at], "word": self.words[at]}
        inputs = tuple(named.values()) if self.ordered else named
        amount = self.numbers[at].sum(0, keepdim=True) + self.words[at] / WORDS
        targets = {"kind": int(self.kinds[at]), "amount": amount}
        return (inputs, targets) if self.labelled else inputs


def _data(**form):
    return {part: Samples(part, **form) for part in PARTS}


def by_name():
    """Inputs in a dict, targets in a dict."""
    return _data() | {"token_count": {"word": WORDS}}


def in_order():
    """Inputs in a tuple."""
    return _data(ordered=True) | {"token_count": {2: WORDS}}


def without_targets():
    """Inputs in a dict, and nothing else."""
    return _data(labelled=False) | {"token_count": {"word": WORDS}, "labelled": False}


@dataclass
class Answer:
    """What a model returns, as Hugging Face's do."""

    kind: torch.Tensor
    amount: torch.Tensor
    hidden: torch.Tensor | None = None


class Net(nn.Module):
    """Three inputs into one trunk with two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(1, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 1, 1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, 16, 3, 4, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.count, self.read = nn.Linear(2, 16), nn.Embedding(WORDS, 8)
        self.both = nn.Linear(256 + 16 + 8, 64)
        self.kind, self.amount = nn.Linear(64, KINDS), nn.Linear(64, 1)

    def forward(self, image, numbers, word):
        parts = [self.look(image), F.relu(self.count(numbers)), self.read(word)]
        hidden = F.relu(self.both(torch.cat(parts, 1)))
        return Answer(self.kind(hidden), self.amount(hidden))


class KindAndAmount(Task):
    """How far both heads are off, in one number."""

    metric = Metric(name="both errors", unit="", higher_is_better=False)

    def sample_losses(self, outputs, targets):
        kinds = F.cross_entropy(outputs["kind"].float(), targets["kind"], reduction="none")
        return kinds + (outputs["amount"] - targets["amount"]).square().squeeze(1)

    def divergence(self, outputs, reference):
        kinds, others = (value["kind"].log_softmax(1) for value in (outputs, reference))
        apart = F.kl_div(kinds, others, log_target=True, reduction="none").sum(1)
        return apart + (outputs["amount"] - reference["amount"]).square().squeeze(1)

    def score_of(self, pairs):
        errors = []
        for outputs, targets in pairs:
            said = {name: leaf.cpu() for name, leaf in outputs.items()}
            wrong = (said["kind"].argmax(1) != targets["kind"]).double()
            errors.append(wrong + (said["amount"] - targets["amount"]).abs().squeeze(1))
        return float(torch.cat(errors).mean())

    def targets_of(self, outputs):
        return {"kind": outputs["kind"].argmax(1), "amount": outputs["amount"]}
