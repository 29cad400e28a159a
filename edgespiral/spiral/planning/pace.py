"""How much of everything planning does of a model, by what one pass through it takes.

What tells cuts apart is the same for small models and for large ones; what it may take is not: a
person waits for all of it before anything is trained. So there are fewer samples and rounds of
models that take long, by rules on the model and the device alone: a run that goes on after it was
interrupted does what it would have done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# The reference takes turns with its candidates; of a model as quick as this, all rounds are taken.
QUICK_MS = 20.0
LEAST_ROUNDS = 6
# A backward pass to the activations takes about as much as the forward pass before it.
PASSES_PER_GRADIENT = 2
# Billions of operations of each phase, on all samples together. Two cores with AVX-512 do some 250
# of them a second in bf16.
GRADIENT_FLOPS, COVARIANCE_FLOPS = 3e12, 1.5e12
PRICE_FLOPS, PRICE_STEP_FLOPS = 1.6e13, 8e12
COMPARISON_FLOPS = 1.2e13
# Activations of so many operations are kept for a backward pass at once.
KEPT_FLOPS = 2.5e11


def rounds_of(wanted: int, latency_ms: float, *, least: int = LEAST_ROUNDS) -> int:
    """How many of `wanted` rounds are taken of a model that takes so long, and of its cuts.

    What differs from round to round is a share of the latency, and the shares of slow models are
    no larger than those of quick ones.

    Example:
        >>> [rounds_of(16, latency_ms) for latency_ms in (0.1, 20, 32, 400)]
        [16, 16, 10, 6]
    """
    return max(min(wanted, least), min(wanted, round(wanted * QUICK_MS / latency_ms)))


@dataclass(frozen=True)
class Pace:
    """Samples that may be shown to a model, of which a forward pass takes `flops` a sample."""

    flops: float

    def within(self, wanted: float, budget: float, least: int, passes: float = 1.0) -> int:
        """As many of `wanted` samples as `budget` operations allow, at least `least` of them.

        Args:
            wanted: samples, if they cost nothing.
            budget: operations on all of them.
            least: fewer tell nothing.
            passes: forward passes that each sample takes.
        """
        affordable = budget / (passes * self.flops)
        return math.floor(max(min(wanted, least), min(wanted, affordable)))
