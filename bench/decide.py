"""How often a verdict is wrong at the budget's edge, on simulated noise and on a real model.

    python bench/decide.py --out bench/results/decide.json

The model is compared with itself and the budget is 1.0 times its speed, so that every verdict but
"undecided" is wrong. `before` is the rule of 0.1.0: three looks, each at samples of its own and at
95 %. `now` is `measure/decide.py`: looks add up, and together keep 5 %.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.records.measurement import Verdict
from edgespiral.core.statistics.intervals import Looks, ratio_interval
from edgespiral.core.statistics.stats import paired_ratio, verdict
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session
from edgespiral.measure.tiny import write_tiny_model
from edgespiral.spiral.turn import DECIDING_ROUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Rounds = list[list[float]]
    Take = Callable[[int], tuple[Rounds, Rounds]]

BEFORE = (60, 120, 240)
# A round's own level and a sample's noise, as shares; some rounds meet a neighbour's burst.
ROUND_NOISE, SAMPLE_NOISE, BURST, BURST_CHANCE = 0.02, 0.05, 1.5, 0.1


def simulated(seed: int) -> Take:
    """Rounds of two equal models on a noisy machine."""
    source = np.random.default_rng(seed)

    def rounds_of_one(rounds: int) -> Rounds:
        level = np.exp(source.normal(0, ROUND_NOISE, (rounds, 1)))
        burst = np.where(source.random((rounds, 1)) < BURST_CHANCE, BURST, 1.0)
        return (level * burst * np.exp(source.normal(0, SAMPLE_NOISE, (rounds, 20)))).tolist()

    return lambda rounds: (rounds_of_one(rounds), rounds_of_one(rounds))


def measured(session: Session, model: Path) -> Take:
    """Rounds of a real model and of itself, in turns."""

    def take(rounds: int) -> tuple[Rounds, Rounds]:
        pair = session.measure([model, model], rounds=rounds)
        first, second = (
            [list(samples) for samples in measurement.rounds_ms] for measurement in pair
        )
        return first, second

    return take


def before(take: Take) -> Verdict:
    """The rule of 0.1.0."""
    decided = Verdict.UNDECIDED
    for rounds in BEFORE:
        decided = verdict(paired_ratio(*take(rounds)).ci95, 1.0)
        if decided is not Verdict.UNDECIDED:
            break
    return decided


def now(take: Take) -> Verdict:
    """Today's rule, as `measure.decide.compare_until_decided` applies it to one device."""
    confidence, decided = Looks(len(DECIDING_ROUNDS)).confidence, Verdict.UNDECIDED
    reference: Rounds = []
    subject: Rounds = []
    for rounds in DECIDING_ROUNDS:
        more = take(rounds)
        reference, subject = reference + more[0], subject + more[1]
        decided = verdict(ratio_interval(reference, subject, confidence), 1.0)
        if decided is not Verdict.UNDECIDED:
            break
    return decided


def row(kind: str, rule: str, verdicts: Sequence[Verdict]) -> dict[str, object]:
    """One row of the table."""
    counts = Counter(map(str, verdicts))
    wrong = len(verdicts) - counts[str(Verdict.UNDECIDED)]
    return {
        "samples": kind,
        "rule": rule,
        "trials": len(verdicts),
        "wrong": wrong,
        "wrong_percent": 100 * wrong / len(verdicts),
        "verdicts": dict(counts),
    }


def main() -> None:
    """Run both rules on simulated and on real samples, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--simulated", type=int, default=2000)
    parser.add_argument("--real", type=int, default=100)
    parser.add_argument(
        "--seconds", type=float, default=3600.0, help="after which no further real trial begins"
    )
    options = parser.parse_args()
    rules = {"before": before, "now": now}
    rows = [
        row("simulated", name, [rule(simulated(seed)) for seed in range(options.simulated)])
        for name, rule in rules.items()
    ]
    profile = load_profile("host-cpu")
    brief = profile.measure.model_copy(update={"round_ms": 2.0, "warmup_ms": 5.0})
    with tempfile.TemporaryDirectory() as folder:
        model = write_tiny_model(Path(folder) / "tiny.onnx")
        with Session(profile.model_copy(update={"measure": brief})) as session:
            take, start = measured(session, model), time.monotonic()
            real = []
            while len(real) < options.real and time.monotonic() - start < options.seconds:
                real.append({name: rule(take) for name, rule in rules.items()})
    rows += [row("real", name, [trial[name] for trial in real]) for name in rules]
    make_folder(options.out.parent)
    write_text(options.out, json.dumps({"rows": rows}, indent=2) + "\n")
    for entry in rows:
        print("{samples:10} {rule:7} {wrong} of {trials} wrong".format_map(entry))


if __name__ == "__main__":
    main()
