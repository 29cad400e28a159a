"""What may be chosen of a turn's widths, and what it loses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgespiral.core.records.widths import Widths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What groups are set to, by their names.
Step = Mapping[str, int]


@dataclass(frozen=True)
class Choices:
    """What may be chosen and what it loses.

    `options` has the widths that each group may take, ascending; `lost` the importance lost at
    each. `branches` maps a removable branch to its groups, which at width 0 mean that it is gone,
    and `branch_lost` has what that loses. With `only`, nothing but these widths may be chosen.
    """

    options: Mapping[str, tuple[int, ...]]
    lost: Mapping[str, Mapping[int, float]]
    branches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    branch_lost: Mapping[str, float] = field(default_factory=dict)
    only: Sequence[Widths] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to choose."""
        return not self.branches and all(len(widths) == 1 for widths in self.options.values())

    def gone(self, widths: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
        """The branches that are gone at `widths`, and their groups."""
        return {
            name: groups
            for name, groups in self.branches.items()
            if not any(map(widths.__getitem__, groups))
        }

    def total_lost(self, widths: Mapping[str, int]) -> float:
        """Importance lost at `widths`, over groups and branches."""
        whole = sum(self.branch_lost[name] for name in self.gone(widths))
        return whole + sum(self.lost[name][width] for name, width in widths.items() if width)

    def allows(self, widths: Mapping[str, int]) -> bool:
        """Whether every width is one of the choices."""
        if self.only is not None:
            return widths in self.only
        whole = {g for groups in self.gone(widths).values() for g in groups}
        return all(name in whole or widths[name] in o for name, o in self.options.items())

    def widest(self) -> Widths:
        """Every group at its largest width."""
        return Widths({name: widths[-1] for name, widths in self.options.items()})

    def narrowest(self) -> Widths:
        """Every group at its smallest width, every branch gone; with `only`, the last of them."""
        if self.only is not None:
            return self.only[-1]
        widths = Widths({name: options[0] for name, options in self.options.items()})
        return widths | {g: 0 for groups in self.branches.values() for g in groups}

    def at_share(self, share: float) -> Widths:
        """Every group at the width nearest to `share` of its largest."""
        return Widths(
            {n: min(o, key=lambda w: abs(w - share * o[-1])) for n, o in self.options.items()}
        )

    def narrower(self, widths: Widths, *, adjacent: bool = False) -> Iterator[Widths]:
        """What one step down can lead to: a group to a smaller width, or a branch gone."""
        return (widths | step for step in self.steps_down(widths, adjacent=adjacent))

    def steps_down(self, widths: Widths, *, adjacent: bool = False) -> Iterator[Step]:
        """The changes of widths that lead to what is `narrower`."""
        for name, width in widths.items():
            below = [option for option in self.options[name] if option < width]
            for option in below[-1:] if adjacent else below:
                yield {name: option}
        gone = self.gone(widths)
        for name, groups in self.branches.items():
            if name not in gone:
                yield dict.fromkeys(groups, 0)

    def lost_after(self, widths: Widths, lost: float, step: Step) -> float:
        """`total_lost` once `step` is taken from `widths`, which have `lost`, but for rounding."""
        if len(step) > 1 or not all(step.values()):
            return self.total_lost(widths | step)
        ((name, width),) = step.items()
        return lost - self.lost[name][widths[name]] + self.lost[name][width]

    def wider(self, widths: Widths, *, adjacent: bool = False) -> Iterator[Widths]:
        """What one step up can lead to: a group to a larger width, or a branch back."""
        for name, width in widths.items():
            above = [option for option in self.options[name] if option > width > 0]
            for option in above[:1] if adjacent else above:
                yield widths | {name: option}
        gone = self.gone(widths).values()
        for groups in gone:
            # A branch inside another comes back with that, or not at all.
            if not any(set(groups) < set(outer) for outer in gone):
                yield widths | {g: self.options[g][-1] for g in groups}
                yield widths | {g: self.options[g][0] for g in groups}

    def neighbours(self, widths: Widths) -> Iterator[Widths]:
        """One step up, one step down, or both at once."""
        yield from self.narrower(widths, adjacent=True)
        for grown in self.wider(widths, adjacent=True):
            yield grown
            yield from self.narrower(grown, adjacent=True)
