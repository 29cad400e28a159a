"""Samples that hold nothing, and models that divide by it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from command import command
from torch import nn

from edgespiral.core.errors import DataError, ExitCode
from edgespiral.data.user import splits_of
from edgespiral.models.load import check_empty_samples

OWN = """
import torch
from test_empty_samples import Mean, content


def net():
    return Mean("lengths")


def load():
    return content("lengths", empty="validation")
"""


class Mean(nn.Module):
    """A class by the mean over a sentence's words, as far as they are said to count."""

    def __init__(self, by: str, least: float = 0.0) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(20, 8), nn.Linear(8, 2)
        self.by, self.least = by, least

    def forward(self, words, lengths=None, mask=None):
        places = torch.arange(words.shape[1])
        if self.by == "lengths":
            counts = places < lengths[:, None]
        else:
            counts = mask if self.by == "mask" else words != 0
        shares = counts.float() / counts.sum(1, keepdim=True).clamp_min(self.least)
        return self.head((self.words(words) * shares.unsqueeze(2)).sum(1))


def samples(by, count, *, is_empty):
    drawn = torch.Generator().manual_seed(count)
    words = torch.randint(1, 20, (count, 6), generator=drawn)
    lengths = torch.randint(1, 7, (count,), generator=drawn)
    if is_empty:
        lengths[5] = 0
    mask = torch.arange(6) < lengths[:, None]
    if by == "padding":
        return [
            (row * kept, at % 2) for at, (row, kept) in enumerate(zip(words, mask, strict=True))
        ]
    beside = lengths if by == "lengths" else mask
    pairs = zip(words, beside, strict=True)
    return [({"words": row, by: entry}, at % 2) for at, (row, entry) in enumerate(pairs)]


class Kept(torch.utils.data.Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, at):
        return self.rows[at]


def content(by, empty=""):
    part = partial(samples, by)
    sizes = {"train": 64, "validation": 16, "test": 16}
    parts = {name: Kept(part(size, is_empty=name == empty)) for name, size in sizes.items()}
    token_count = 20 if by == "padding" else {"words": 20}
    return {**parts, "classes": ["a", "b"], "token_count": token_count}


def splits_with(by, empty):
    splits = splits_of(content(by, empty=empty), "mine")
    return replace(splits, padding=0) if by == "padding" else splits


TOLD = {"lengths": "lengths is 0", "mask": "mask is empty", "padding": "the input is empty"}


@pytest.mark.parametrize("by", TOLD)
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_sample_without_anything_is_told_where_the_model_fails_on_it(by, part):
    splits = splits_with(by, part)
    with pytest.raises(DataError, match=rf"mine: {part}: .*sample 5 are NaN.*{TOLD[by]}") as caught:
        check_empty_samples(Mean(by), splits)
    assert caught.value.exit_code == ExitCode.DATA
    # A model that allows for it is let through, and so is data without such a sample.
    check_empty_samples(Mean(by, least=1.0), splits)
    check_empty_samples(Mean(by), splits_with(by, ""))


def test_it_is_told_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(__file__).rpartition("/")[0])
    file = tmp_path / "own.py"
    file.write_text(OWN)
    out = tmp_path / "teacher"
    done = command("train", f"{file}:net", "--data", f"{file}:load", "--out", out)
    assert done.returncode == ExitCode.DATA
    assert "sample 5 are NaN or infinite, of which lengths is 0" in done.stderr
    assert not (out / "weights.safetensors").exists()
