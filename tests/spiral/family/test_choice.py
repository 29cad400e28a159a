"""Siblings of the model, tried in a cut's place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from brief_training import taught
from quick_runs import PLAIN, QUICK
from rich.console import Console
from safetensors.torch import save_model

from edgespiral import api
from edgespiral.core.errors import ModelError, UsageError
from edgespiral.core.records.events import FamilyMeasured, Outcome, TurnFinished, TurnPlanned
from edgespiral.core.records.journal import read
from edgespiral.core.records.measurement import Verdict
from edgespiral.models.saved import load_model
from edgespiral.report.html import render_html
from edgespiral.report.table import print_table

NETS = """
from torch import nn

def net(width, classes=10):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * width, classes),
    )

def narrow(): return net(16)
def narrower(): return net(8)
def slow(): return nn.Sequential(*net(256), nn.Identity())
def five(): return net(16, classes=5)
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("family") / "nets.py"
    file.write_text(NETS)
    return file


@pytest.fixture(scope="module")
def trained(nets, digits):
    """A narrow net's name with the weights that it was trained to."""
    from edgespiral.models.load import load_model_for

    torch.manual_seed(1)
    model = taught(load_model_for(digits, f"{nets}:narrow"), digits, 2e-3)
    weights = nets.with_name("narrow.safetensors")
    save_model(model, str(weights))
    return f"{nets}:narrow={weights}"


@pytest.fixture(scope="module")
def asked(quick_options, nets, trained):
    """Of a run with three siblings: one too slow, one within the budget, one needlessly small."""
    names = [f"{nets}:slow", f"{nets}:narrower", trained]
    return quick_options | PLAIN | {"speedup": 1.3, "epochs": 0.25, "family": names}


@pytest.fixture(scope="module")
def compared(wide, digits, asked, tmp_path_factory):
    return api.compress(wide, digits, out=tmp_path_factory.mktemp("runs") / "run", **asked)


def test_the_largest_within_the_budget_is_trained_beside_the_cut(compared, trained, asked):
    events = read(compared.folder / "journal.jsonl")
    [measured] = [e for e in events if isinstance(e, FamilyMeasured)]
    verdicts = {s.name: s.verdict for s in measured.siblings}
    assert list(verdicts) == asked["family"]
    assert list(verdicts.values()) == [Verdict.MISSED, Verdict.MET, Verdict.MET]
    assert measured.trained == trained
    cut, sibling = [e for e in events if isinstance(e, TurnFinished)]
    assert (cut.sibling, sibling.sibling, sibling.widths) == ("", trained, {})
    assert cut.epochs == sibling.epochs == asked["epochs"]


def test_the_better_of_the_two_ships_and_both_are_told(compared, trained, digits, capsys):
    events = read(compared.folder / "journal.jsonl")
    cut, sibling = [e for e in events if isinstance(e, TurnFinished)]
    scores = cut.student.validation_score, sibling.student.validation_score
    result = compared.result
    assert result.outcome is Outcome.MET
    best = sibling if scores[1] > scores[0] else cut
    assert (result.best_turn, result.student.validation_score) == (
        best.turn,
        best.student.validation_score,
    )
    slow, narrower, narrow = result.family
    assert (slow.validation_score, narrower.validation_score) == (None, None)
    assert narrow.validation_score == scores[1]
    assert [s.ships for s in result.family] == [False, False, best is sibling]
    shipped = load_model(compared.folder)
    assert sum(p.numel() for p in shipped.parameters()) == result.student.parameter_count
    inputs, _ = next(iter(digits.validation.epoch(batch_size=4)))
    assert shipped.eval()(inputs).shape == (4, 10)
    print_table(Console(width=200), events)
    table, page = capsys.readouterr().out, render_html(events)
    for text in (table, page):
        assert "not trained, as a larger one is within the budget" in text
        assert "not trained: budget missed" in text


def test_a_finished_comparison_is_not_made_again(compared, wide, digits, asked):
    before = (compared.folder / "journal.jsonl").read_bytes()
    again = api.compress(wide, digits, out=compared.folder, resume=True, **asked)
    assert again.result == compared.result
    assert (compared.folder / "journal.jsonl").read_bytes() == before


@pytest.fixture(scope="module")
def narrow_steps(tmp_path_factory) -> str:
    """A target whose kernels like widths that are multiples of 4."""
    text = Path(QUICK).read_text().replace("channel_multiple = 16", "channel_multiple = 4")
    target = tmp_path_factory.mktemp("target") / "narrow.toml"
    target.write_text(text)
    return str(target)


@pytest.fixture(scope="module")
def without_a_cut(wide, digits, quick_options, nets, narrow_steps, tmp_path_factory):
    """What was asked of a run, and what came of it: one turn cannot cut as far as a sibling is."""
    asked = quick_options | PLAIN | {"target": narrow_steps, "epochs": 0.1, "max_drop": 99.0}
    asked |= {"speedup": None, "parameters": 3500, "turns": 1, "family": [f"{nets}:narrower"]}
    out = tmp_path_factory.mktemp("runs") / "run"
    return asked, api.compress(wide, digits, out=out, **asked)


@pytest.mark.parametrize("of_before", [False, True])
@pytest.mark.parametrize("last", ["family-measured", "turn-planned", "turn-finished"])
def test_a_run_whose_cuts_reached_nothing_goes_on_with_its_sibling(
    last, of_before, without_a_cut, wide, digits, tmp_path
):
    asked, done = without_a_cut
    shutil.copytree(done.folder, tmp_path / "run")
    journal = tmp_path / "run" / "journal.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    kinds = [record["kind"] for record in records]
    assert [kind for kind in kinds if kind.startswith("turn-")] == ["turn-planned", "turn-finished"]
    kept = records[: kinds.index(last) + 1]
    if of_before:
        for name in ("outcome", "best_turn", "message"):
            del kept[kinds.index("family-measured")][name]
    journal.write_text("".join(f"{json.dumps(record)}\n" for record in kept))
    again = api.compress(wide, digits, out=tmp_path / "run", resume=True, **asked)
    events = read(journal)
    [planned] = [e for e in events if isinstance(e, TurnPlanned)]
    [finished] = [e for e in events if isinstance(e, TurnFinished)]
    assert planned.sibling == finished.sibling == asked["family"][0]
    result, expected = again.result, done.result
    assert (result.outcome, result.best_turn) == (expected.outcome, 1) == (Outcome.MET, 1)
    assert result.message == expected.message


def test_how_cuts_ended_is_kept_beside_the_family(without_a_cut):
    _, done = without_a_cut
    [measured] = [e for e in read(done.folder / "journal.jsonl") if isinstance(e, FamilyMeasured)]
    assert (measured.outcome, measured.best_turn) == (Outcome.UNREACHABLE, 0)
    assert "3500 parameters is out of reach" in measured.message


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("resnet21", UsageError, "unknown model 'resnet21'"),
        ("NETS:five", ModelError, "--family .*:five: the model returns a float32 tensor"),
        ("NETS:none", UsageError, "--family .*:none"),
        ("resnet8=nowhere.safetensors", ModelError, "no such weights file"),
    ],
)
def test_a_sibling_that_cannot_be_one_is_told_at_once(
    name, error, words, wide, digits, nets, quick_options, tmp_path
):
    asked = quick_options | {"family": [name.replace("NETS", str(nets))]}
    with pytest.raises(error, match=words):
        api.compress(wide, digits, out=tmp_path / "run", **asked)
    assert not (tmp_path / "run" / "journal.jsonl").exists()


def test_a_family_needs_a_budget_and_distinct_names(wide, digits, tmp_path):
    with pytest.raises(UsageError, match="family: needs a budget"):
        api.compress(wide, digits, out=tmp_path / "run", max_drop=1.0, family=["resnet8"])
    with pytest.raises(UsageError, match="family: resnet8 is named twice"):
        api.compress(wide, digits, out=tmp_path / "run", speedup=2, family=["resnet8,resnet8"])
