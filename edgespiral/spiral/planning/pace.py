"""How much of everything planning does of a model, by what one pass through it takes.

What tells cuts apart is the same for small models and for large ones; what it may take is not: a
person waits for all of it before anything is trained. So there are fewer samples and rounds of
models that take long, by rules on the model and the device alone: a run that goes on after it was
interrupted does what it would have done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.models.work import flops_of

if TYPE_CHECKING:
    from torch import nn

    from edgespiral.core.nested import Tensors

# The reference takes turns with its candidates; of a model as quick as this, all rounds are taken.
QUICK_MS = 20.0
LEAST_ROUNDS = 5
# Operations of each phase, on all samples together. Two cores with AVX-512 do some 2.5e11 of them a
# second in bf16, and less in small layers.
GRADIENT_FLOPS, COVARIANCE_FLOPS = 3e12, 1.5e12
PRICE_FLOPS, TOUR_FLOPS = 1.2e13, 8e12
COMPARISON_FLOPS = 1.2e13
# So many samples are shown even of the largest models.
LEAST_FOR_GRADIENTS = LEAST_FOR_COVARIANCES = 32
LEAST_IN_A_TOUR, LEAST_FOR_COMPARISONS = 8, 16
# What a backward pass reads is kept of samples that take so many operations forward.
KEPT_FLOPS, LEAST_KEPT = 2.5e11, 4
# A pass back to the activations takes what the pass forward did; a variant of a model, which begins
# anywhere in it, half of one.
PASSES_PER_GRADIENT, PASSES_PER_VARIANT = 2.0, 0.5


def rounds_of(wanted: int, latency_ms: float, *, least: int = LEAST_ROUNDS) -> int:
    """How many of `wanted` rounds are taken of a model that takes so long, and of its cuts.

    What differs from round to round is a share of the latency, and the shares of slow models are
    no larger than those of quick ones.

    Example:
        >>> [rounds_of(16, latency_ms) for latency_ms in (0.1, 20, 32, 400)]
        [16, 16, 10, 5]
    """
    return max(min(wanted, least), min(wanted, round(wanted * QUICK_MS / latency_ms)))


@dataclass(frozen=True)
class Pace:
    """How many samples are shown to a model of which a forward pass takes `flops` a sample.

    Example:
        >>> small, large = Pace(3e8), Pace(3.5e10)  # ResNet-56 at 32 x 32, ViT-B/16 at 224 x 224
        >>> [pace.for_gradients(256) for pace in (small, large)]
        [256, 42]
        >>> [pace.for_comparisons(256, cuts=16) for pace in (small, large)]
        [256, 21]
    """

    flops: float

    @classmethod
    def of(cls, model: nn.Module, example: Tensors) -> Pace:
        """That of a model which takes `example`, one sample."""
        return cls(flops_of(model, example))

    def for_covariances(self, wanted: int) -> int:
        """Samples that tell how channels go together, at most `wanted`."""
        return self._within(wanted, COVARIANCE_FLOPS, LEAST_FOR_COVARIANCES)

    def for_gradients(self, wanted: int) -> int:
        """Samples whose gradients a criterion reads, at most `wanted`."""
        return self._within(wanted, GRADIENT_FLOPS, LEAST_FOR_GRADIENTS, PASSES_PER_GRADIENT)

    def kept_at_once(self, wanted: int) -> int:
        """Of these, how many at once."""
        return self._within(wanted, KEPT_FLOPS, LEAST_KEPT)

    def in_a_tour(self, wanted: int, variants: int) -> int:
        """Samples that a model and `variants` of it are run on at once, at most `wanted`."""
        return self._within(wanted, TOUR_FLOPS, LEAST_IN_A_TOUR, PASSES_PER_VARIANT * variants)

    def for_prices(self, wanted: int, variants: int) -> int:
        """Samples in all the tours, at most `wanted`."""
        return self._within(wanted, PRICE_FLOPS, LEAST_IN_A_TOUR, PASSES_PER_VARIANT * variants)

    def for_comparisons(self, wanted: int, cuts: int) -> int:
        """Samples on which whole cuts are compared, where there are to be so many `cuts`."""
        return self._within(wanted, COMPARISON_FLOPS, LEAST_FOR_COMPARISONS, cuts)

    def comparisons(self, samples: int) -> int:
        """How many whole cuts can be compared on so many samples."""
        return math.floor(COMPARISON_FLOPS / (samples * self.flops))

    def _within(self, wanted: int, budget: float, least: int, passes: float = 1.0) -> int:
        affordable = math.floor(budget / (passes * self.flops))
        return max(min(wanted, least), min(wanted, affordable))
