"""The cuts that a survey looks at, to learn what layers of some widths cost."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from edgespiral.core.records.widths import Widths

if TYPE_CHECKING:
    from edgespiral.spiral.planning.stepping.choices import Choices

UNIFORM_PROBES = (0.75, 0.5, 0.25)
MIXED_PROBES = 5
BRANCH_PROBE_SHARE = 0.25
# Of cuts that lie along one path, which has nothing to be told apart beside it.
PATH_PROBES = 3


def probes(choice: Choices, seed: int) -> list[Widths]:
    """Uniform shares and random mixes, so that every pairing of widths has been seen nearby.

    They are the same for the same choices and seed. Of choices along one path they are on it.
    """
    if choice.only is not None:
        steps = range(1, PATH_PROBES + 1)
        places = (step * (len(choice.only) - 1) // (PATH_PROBES + 1) for step in steps)
        return list(dict.fromkeys(choice.only[place] for place in places))
    # Steers a measurement, secures nothing.
    mixer = random.Random(seed)
    uniform = [choice.at_share(share) for share in UNIFORM_PROBES]
    mixed = [_mixed(choice, mixer) for _ in range(MIXED_PROBES)]
    return list(dict.fromkeys([*uniform, *mixed]))


def _mixed(choice: Choices, mixer: random.Random) -> Widths:
    widths = {name: mixer.choice(options) for name, options in choice.options.items()}
    for groups in choice.branches.values():
        if mixer.random() < BRANCH_PROBE_SHARE:
            widths.update(dict.fromkeys(groups, 0))
    return Widths(widths)
