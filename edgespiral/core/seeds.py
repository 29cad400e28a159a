"""Independent random streams from one seed."""

from __future__ import annotations

import numpy as np


def derived_seed(*path: int) -> int:
    """A 32-bit seed that depends on every number of `path`, such as (run seed, epoch, batch).

    Uses numpy's `SeedSequence`, whose hash keeps neighbouring paths independent.
    """
    return int(np.random.SeedSequence(path).generate_state(1)[0])
