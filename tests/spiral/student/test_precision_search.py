"""What `auto` compares: cuts to one budget, in each precision measured on the device."""

from __future__ import annotations

from edgespiral.core.records.events import Baseline, Candidate, PrecisionChosen
from edgespiral.core.records.journal import read


def chosen_of(folder):
    events = read(folder / "journal.jsonl")
    return next(event for event in events if isinstance(event, PrecisionChosen))


def test_auto_takes_what_loses_least_at_the_budget(mixed):
    done = mixed
    chosen = chosen_of(done.folder)
    assert [trial.precision for trial in chosen.trials] == ["int8"]
    assert chosen.trials[0].rounding_nats > 0
    accepted = [trial for trial in chosen.trials if trial.refused is None]
    if not accepted:
        assert (chosen.precision, chosen.mixes) == ("fp32", ())
        return
    assert [mix.precision for mix in chosen.mixes] == ["fp32", "int8"]
    lost = {m.precision: m.lost_nats for m in chosen.mixes if m.lost_nats is not None}
    assert chosen.precision == min(lost, key=lost.__getitem__)


def test_each_precision_plans_by_measurements_of_its_own(mixed):
    events = read(mixed.folder / "journal.jsonl")
    candidates = [event for event in events if isinstance(event, Candidate)]
    assert all(c.precision == c.devices[0].measurement.fingerprint.precision for c in candidates)
    (baseline,) = [event for event in events if isinstance(event, Baseline)]
    teacher_ms = baseline.devices[0].measurement.stats.p50_ms
    for mix in chosen_of(mixed.folder).mixes:
        own = [c for c in candidates if c.precision == mix.precision]
        measured = [teacher_ms / c.devices[0].speedup.value for c in own if c.widths == mix.widths]
        uncut = mix.widths == baseline.widths
        assert uncut or mix.cut_nats is None or mix.latency_ms in measured


def test_nothing_is_left_of_the_candidates(mixed):
    assert not list((mixed.folder / "candidates").rglob("*.onnx"))
