"""Connections to a device that are cut, half closed, silent or slow at a random byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.faults import device, proxy
from tests.faults.campaign import Lab, Report
from tests.faults.forkserver import Limits
from tests.faults.invariants import judge

if TYPE_CHECKING:
    from random import Random

LIMITS = Limits(seconds=180)
MEASURE = ("measure", "net.onnx", "--target", "./device.toml")
CHECK = ("targets", "check", "./device.toml")
# A session's hello, its keys, its first command, its first files.
REACHES_BYTES = (100, 1500, 3000, 8000)
# Of so many a device comes back within `retry_s`.
FEW = 2


class Connections:
    """Spoilt connections."""

    name, short, whole = "connections", 1, 60

    def run(self, lab: Lab, number: int, random: Random) -> Report:
        """Spoil some connections of one command over ssh."""
        why = device.missing()
        if why:
            return Report("connections", faults=0, skipped=why)
        spoilt = [_fault(random) for _ in range(random.choice((1, 1, 2, 20)))]
        place = lab.material.place(f"{self.name}/{number}")
        argv = random.choice((MEASURE, MEASURE, CHECK))
        with device.device(lab, place.root.name, spoilt) as board:
            device.describe(board, place)
            before = place.tree()
            outcome = lab.server.start(argv, place, LIMITS).wait()
            outcome = lab.server.swept(outcome, device.TIDIES_S, device.waits)
            # A person waits for `targets check`, which tries nothing twice.
            is_awaited = argv is MEASURE and len(spoilt) <= FEW
            codes = (0,) if is_awaited else (0, 5, 6)
            broken = judge(outcome, place, before, place.tree(), codes)
            faults = device.spoilt_on(board)
        place.remove()
        subject = f"{len(spoilt)} connections: {spoilt[0]['how']}"
        return Report(subject, f"edgespiral {' '.join(argv)}", broken, faults=faults)


def _fault(random: Random) -> dict[str, Any]:
    return {
        "how": random.choice(proxy.HOW),
        "after_bytes": random.randrange(random.choice(REACHES_BYTES)),
        "to_device": random.random() < 0.5,
    }
