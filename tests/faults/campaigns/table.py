"""All campaigns, by name, in the order that they are done in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.campaigns.files import Files
from tests.faults.campaigns.forged import Forged
from tests.faults.campaigns.kills import Kills

if TYPE_CHECKING:
    from tests.faults.campaign import Campaign

CAMPAIGNS: dict[str, Campaign] = {one.name: one for one in (Files(), Forged(), Kills())}
