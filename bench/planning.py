"""What planning costs before anything is trained, phase by phase, as JSON.

Usage: python bench/planning.py [MODEL ...] [--side 64] [--samples 128] [--json FILE]
       python bench/planning.py --whole [MODEL ...] [--side 224] [--images 626] [--epochs 0.02]

Networks of torchvision's have random weights, inputs are noise: time and agreement are asked for,
not quality. Prices are measured three times on the same samples: each by a pass of its own from the
first layer on, all of them in one tour that shares what comes before, and in a tour that stops when
prices are told apart. Allocations ask for one latency after the other, or have all
changes' at once. Ratios are within one process, so another program's load moves both sides.

With `--whole`, a run until its first training step (`before_training.py`): seconds on the clock and
of the processor, which other programs move less.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from architectures import lively
from before_training import whole
from scipy.stats import spearmanr

from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.models.saved import trace
from edgespiral.prune.groups import widths_of
from edgespiral.prune.prunable import PrunableModel
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.prune.scoring.criteria.base import Evidence
from edgespiral.prune.scoring.divergence import OutputDivergence
from edgespiral.prune.scoring.obs import after_folding
from edgespiral.prune.scoring.reconstruct import moments
from edgespiral.prune.scoring.select import keep_best
from edgespiral.spiral.planning.allocate import allocate, choices
from edgespiral.spiral.planning.importance import samples_at_once
from edgespiral.spiral.planning.latency_model import LatencyModel, WidthTotal, layer_shapes
from edgespiral.spiral.planning.pace import Pace
from edgespiral.spiral.planning.probes import probes
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from edgespiral.spiral.planning.stepping.choices import Choices

MODELS = ("resnet18", "mobilenet_v2", "vit_b_32")
WHOLE_MODELS = ("resnet50", "vit_b_16")
MULTIPLE, LEAST_SHARE = 16, 0.2


def timed(seconds: dict[str, float], phase: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401
    """The result of `work`, whose seconds are put down under `phase`."""
    start = time.perf_counter()
    result = work()
    seconds[phase] = round(time.perf_counter() - start, 2)
    return result


def prices(source: PrunableModel, samples: Tensor, seconds: dict[str, float]) -> dict[str, Any]:
    """Scores and prices of the model's parts, and how the ways to get at them agree."""
    model, groups = source.model, source.groups
    labels = torch.randint(0, 10, (len(samples),), generator=torch.Generator().manual_seed(1))
    known = timed(seconds, "covariances", lambda: moments(model, groups, [samples]))
    evidence = Evidence([(samples, labels)], losses=CLASSIFICATION.sample_losses)
    scores = timed(
        seconds, "criterion", lambda: CRITERIA.get("fisher").score(model, groups, evidence)
    )
    scores = timed(seconds, "order", lambda: after_folding(scores, model, groups, known))
    whole = OutputDivergence(model, groups, [samples], known, task=CLASSIFICATION)
    halves = {g.name: g.units // 2 * g.sub_groups for g in groups if g.units > 1}
    kept = keep_best(groups, scores, {**widths_of(groups), **halves})
    variants = [whole.variant({name: kept[name]}) for name in halves]
    variants += [whole.variant({}, (branch,)) for branch in source.branches]
    alone = timed(seconds, "prices, each alone", lambda: [whole.of(v) for v in variants])
    together = timed(seconds, "prices, in a tour", lambda: whole.of_each(variants))
    pace = Pace.of(model, source.example)
    at_once = samples_at_once(model, pace, len(variants))
    parts = samples.tensor_split(max(1, len(samples) // at_once))
    fewer, runs = OutputDivergence(model, groups, parts, known, task=CLASSIFICATION), []
    stopped = timed(
        seconds,
        "prices, until told apart",
        lambda: fewer.of_each(variants, lambda: runs.append(1)),
    )
    return {
        "variants": len(variants),
        "batches_until_told_apart": len(runs) / len(variants),
        "batches": len(parts),
        "largest_relative_difference": max(
            abs(one - other) / one for one, other in zip(alone, together, strict=True)
        ),
        "rank_correlation_until_told_apart": float(spearmanr(alone, stopped).statistic),
    }


class OneByOne(LatencyModel):
    """A latency model that is asked for each latency by itself; layers' times are kept."""

    def terms(self) -> None:
        """Not by layers."""


def allocations(source: PrunableModel, seconds: dict[str, float]) -> dict[str, Any]:
    """Half the latency of a made-up device, by asking for each latency and by arrays of all."""
    generator = torch.Generator().manual_seed(2)
    scores = {g.name: torch.rand(g.channels, generator=generator) for g in source.groups}
    choice: Choices = choices(
        source.groups,
        scores,
        multiple=MULTIPLE,
        least_share=LEAST_SHARE,
        branches=source.branches,
        branch_importance={
            branch.name: random.Random(branch.name).uniform(1, 50) for branch in source.branches
        },
    )
    base, found = widths_of(source.groups), []
    layers = layer_shapes(source.model, source.groups, source.example)
    for phase, kind in (("allocation, one by one", OneByOne), ("allocation", LatencyModel)):
        latency = kind(layers, base, MULTIPLE)
        tried = [base, *probes(choice, 0)]
        latency.fit([], [WidthTotal(w, 1.0 + 1e-6 * latency.weight_count(w)) for w in tried])
        target_ms = 0.5 * latency.predict_ms(base)
        found.append(
            timed(seconds, phase, lambda own=latency, ms=target_ms: allocate(choice, own, ms))
        )
    one_by_one, by_arrays = map(choice.total_lost, found)
    return {"lost_by_arrays_over_one_by_one": by_arrays / one_by_one}


def row(name: str, side: int, count: int) -> dict[str, Any]:
    """All phases of one network."""
    seconds: dict[str, float] = {}
    torch.manual_seed(0)
    side = 64 if name.startswith("vit") else side
    traced = trace(lively(name))
    source = timed(seconds, "groups", lambda: PrunableModel.of(traced, (3, side, side)))
    samples = torch.randn(count, 3, side, side)
    agreement = prices(source, samples, seconds) | allocations(source, seconds)
    return {
        "model": name,
        "side": side,
        "samples": count,
        "groups": len(source.groups),
        "branches": len(source.branches),
        **agreement,
        "seconds": seconds,
        "times_as_fast": {
            "tour": seconds["prices, each alone"] / seconds["prices, in a tour"],
            "until_told_apart": seconds["prices, each alone"] / seconds["prices, until told apart"],
            "allocation": seconds["allocation, one by one"] / max(seconds["allocation"], 0.01),
        },
    }


def main() -> None:
    """Time each network and print or write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--side", type=int)
    parser.add_argument("--images", type=int, default=626)
    parser.add_argument("--epochs", type=float, default=0.02)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.whole:
        names, side = options.models or WHOLE_MODELS, options.side or 224
        rows = [whole(name, side, options.images, options.epochs) for name in names]
    else:
        names, side = options.models or MODELS, options.side or 64
        rows = [row(name, side, options.samples) for name in names]
    text = json.dumps({"versions": versions(), "rows": rows}, indent=1)
    print(text)
    if options.json:
        write_text(options.json, text + "\n")


if __name__ == "__main__":
    main()
