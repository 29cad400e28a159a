"""What a campaign is: numbered faults, each a function of the seed and its number alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tests.faults.forkserver import ForkServer
    from tests.faults.invariants import Broken
    from tests.faults.material import Material


@dataclass(frozen=True)
class Lab:
    """What faults are done with."""

    server: ForkServer
    material: Material


@dataclass
class Report:
    """What came of one number of a campaign.

    Attributes:
        subject: what was done to what, the same for alike faults.
        command: that was run, as one would type it.
        broken: the invariants that did not hold.
        faults: how many faults were done.
        resumed: after how many of them the command was taken to its end from where they left it,
            and its results held against those of an undisturbed one.
        skipped: why none was.
    """

    subject: str
    command: str = ""
    broken: list[Broken] = field(default_factory=list)
    faults: int = 1
    resumed: int = 0
    skipped: str | None = None


class Campaign(Protocol):
    """A kind of faults.

    Attributes:
        name: of the campaign.
        short: how many numbers the short form has.
        whole: how many numbers the whole form has.
    """

    name: str
    short: int
    whole: int

    def run(self, lab: Lab, number: int, random: Random) -> Report:
        """Do the faults of a number and judge what happened."""


def random_of(seed: int, campaign: str, number: int) -> Random:
    """The source of all that is random in one number of a campaign."""
    return Random(f"{seed}/{campaign}/{number}")
