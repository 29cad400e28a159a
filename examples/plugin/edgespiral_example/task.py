"""Which way stripes run, scored by how far off the answer is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from edgespiral import Metric, Task

if TYPE_CHECKING:
    from torch import Tensor

    from edgespiral.tasks.base import Pairs

# In the order of `data.DIRECTIONS`: down, across, rising, falling.
DEGREES = torch.tensor([0.0, 90.0, 45.0, 135.0])


class Direction(Task):
    """One of four directions a sample: outputs (N, 4), targets (N,), int64.

    The score is the mean angle between what is said and what is true, in degrees from 0 to 90.
    """

    metric = Metric(name="mean angle", unit="deg", higher_is_better=False)

    def sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, (N,)."""
        return F.cross_entropy(outputs, targets, reduction="none")

    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Kullback-Leibler's, of the reference's shares from the outputs', (N,)."""
        logs = (F.log_softmax(outputs, dim=1), F.log_softmax(reference, dim=1))
        return F.kl_div(*logs, reduction="none", log_target=True).sum(1)

    def agreement(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Whether the direction is the same, (N,)."""
        return (outputs.argmax(1) == reference.argmax(1)).float()

    def rightness(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """1 for the direction itself, 0 for the one across it, (N,)."""
        return 1 - _angles(outputs, targets) / 90

    def score_of(self, pairs: Pairs) -> float:
        """The mean angle over all samples."""
        return float(torch.cat([_angles(*pair) for pair in pairs]).mean())


def _angles(outputs: Tensor, targets: Tensor) -> Tensor:
    """Between stripes, which have no front: at most 90 degrees."""
    said, true = DEGREES[outputs.argmax(1).cpu()], DEGREES[targets.cpu()]
    apart = (said - true).abs()
    return torch.minimum(apart, 180 - apart)


PLUGIN = Direction()
