"""Whether a split shows the same samples each time that it is read.

Scores are compared: a file's with PyTorch's, a student's with its teacher's. That means something
only where both were scored on the same samples.
"""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import TYPE_CHECKING

from edgespiral.core.errors import DataError
from edgespiral.core.nested import apart, joined, leaves

if TYPE_CHECKING:
    from edgespiral.core.batches import BatchSource
    from edgespiral.core.nested import Tensors

# Samples that are read twice before a run, in batches of two sizes.
READ_TWICE, SMALLER_BATCH = 16, 4
HINT = (
    "leave random transforms to the training split: validation and test must be the same each time"
)


class PassDigest:
    """What one pass in stored order shows, whatever the size of its batches."""

    def __init__(self) -> None:
        self._parts: dict[str, hashlib._Hash] = {}

    def add(self, inputs: Tensors, targets: Tensors) -> None:
        """Take in a batch."""
        import torch

        for name, tensor in leaves((inputs, targets)).items():
            part = self._parts.setdefault(name, hashlib.sha256())
            part.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)

    def hexdigest(self) -> str:
        """SHA-256 of all inputs and all targets so far."""
        return hashlib.sha256(b"".join(part.digest() for part in self._parts.values())).hexdigest()


class Passes:
    """The whole passes of a split, each held against the first.

    Attributes:
        sha256: of the first; None where there was none yet.
    """

    def __init__(self) -> None:
        self.sha256: str | None = None

    def add(self, digest: PassDigest, where: str) -> None:
        """Take in a whole pass.

        Raises:
            DataError: it showed something else than the first one did; `where` is its split.
        """
        shown = digest.hexdigest()
        self.sha256 = shown if self.sha256 is None else self.sha256
        if shown != self.sha256:
            what = "its samples are not what they were when it was read before"
            raise DataError(what, where=where, hint=HINT)


def check_repeats(source: BatchSource, where: str) -> None:
    """Read the first samples twice, in batches of two sizes, as scoring does.

    Args:
        source: in stored order.
        where: what its split is called.

    Raises:
        DataError: a sample is another the second time; it is named.
    """
    import torch

    first, again = (_first(source, size) for size in (READ_TWICE, SMALLER_BATCH))
    pairs = zip(apart(first), apart(again), strict=True)
    for number, samples in enumerate(pairs):
        before, again = (leaves(sample).values() for sample in samples)
        if not all(map(torch.equal, before, again)):
            what = f"sample {number} is another each time that it is read"
            raise DataError(what, where=where, hint=HINT)


def _first(source: BatchSource, batch_size: int) -> Tensors:
    """Inputs and targets of the first samples."""
    return joined(list(islice(source.epoch(batch_size=batch_size), READ_TWICE // batch_size)))
