"""All campaigns, by name, in the order that they are done in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.campaigns.concurrent import Concurrent
from tests.faults.campaigns.connections import Connections
from tests.faults.campaigns.disks import Disks
from tests.faults.campaigns.files import Files
from tests.faults.campaigns.forged import Forged
from tests.faults.campaigns.kills import Kills
from tests.faults.campaigns.sabotage import Sabotage
from tests.faults.campaigns.sockets import Sockets

if TYPE_CHECKING:
    from tests.faults.campaign import Campaign

CAMPAIGNS: dict[str, Campaign] = {
    one.name: one
    for one in (
        Sabotage(),
        Kills(),
        Connections(),
        Sockets(),
        Concurrent(),
        Disks(),
        Forged(),
        Files(),
    )
}
