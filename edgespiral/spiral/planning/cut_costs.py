"""What each cut of a turn loses and what it buys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.records.widths import GroupCut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgespiral.core.records.widths import Widths
    from edgespiral.spiral.planning.latencies import Corrected
    from edgespiral.spiral.planning.stepping.choices import Choices


def cuts_of(
    choice: Choices, latency: Corrected, targets: Sequence[str], widths: Widths
) -> tuple[GroupCut, ...]:
    """The groups that are narrower at `widths` than they could be, and the branches that go.

    What a cut saves is marginal: the predicted latency with it alone taken back, less that at
    `widths`. Costs depend on neighbouring widths, so these do not add up to the turn's gain.

    Args:
        choice: the widths that the turn may choose and what each loses.
        latency: on every device.
        targets: the devices' names.
        widths: the turn's.
    """
    total = choice.total_lost(widths)
    cut_ms = latency.each_ms(widths)
    cuts = []
    for name, groups, lost in _losses(choice, widths):
        whole = widths | {group: choice.options[group][-1] for group in groups}
        saved = zip(targets, latency.each_ms(whole), cut_ms, strict=True)
        cuts.append(
            GroupCut(
                name=name,
                before=sum(whole[group] for group in groups),
                after=sum(widths[group] for group in groups),
                lost_share=min(1.0, max(0.0, lost / total)) if total > 0 else 0.0,
                saved_ms={target: before - after for target, before, after in saved},
            )
        )
    return tuple(cuts)


def _losses(choice: Choices, widths: Widths) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Name, groups and importance lost of every cut."""
    gone = choice.gone(widths)
    within = {group for groups in gone.values() for group in groups}
    for name, options in choice.options.items():
        if name not in within and 0 < widths[name] < options[-1]:
            yield name, (name,), choice.lost[name][widths[name]]
    for name, groups in gone.items():
        yield name, groups, choice.branch_lost[name]
