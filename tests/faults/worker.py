"""Runs a share of the campaigns inside the sandbox; one line of JSON for each number done."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from dataclasses import asdict
from typing import TYPE_CHECKING

from tests.faults import sandbox
from tests.faults.campaign import Lab, Report, random_of
from tests.faults.campaigns.table import CAMPAIGNS
from tests.faults.forkserver import ForkServer
from tests.faults.invariants import Broken
from tests.faults.material import Material

if TYPE_CHECKING:
    from tests.faults.campaign import Campaign


def main(seed: int) -> None:
    """Do the numbers that standard input names, each as `CAMPAIGN/NUMBER` on a line."""
    sandbox.require()
    server = ForkServer()
    lab = Lab(server, Material(server))
    _tell({"ready": _cpu_s()})
    for line in sys.stdin:
        name, _, number = line.strip().partition("/")
        started, spent = time.monotonic(), _cpu_s()
        report = _done(lab, CAMPAIGNS[name], seed, int(number))
        _tell(
            {
                "id": line.strip(),
                "seconds": round(time.monotonic() - started, 2),
                "cpu_s": round(_cpu_s() - spent, 2),
                **asdict(report),
            }
        )


def _done(lab: Lab, campaign: Campaign, seed: int, number: int) -> Report:
    try:
        return campaign.run(lab, number, random_of(seed, campaign.name, number))
    except Exception:
        # A fault of the campaign's own code is a failure too, and not the end of the others.
        told = traceback.format_exc().strip()
        return Report("the campaign itself", broken=[Broken("the campaign failed", told[-2000:])])


def _cpu_s() -> float:
    """What this process and all that it has waited for have taken."""
    return sum(os.times()[:4])


def _tell(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
