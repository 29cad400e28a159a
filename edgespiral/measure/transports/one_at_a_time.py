"""One command at a time on a device, where several processes may ask for the same one."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgespiral.core.system.files import make_folder, user_cache
from edgespiral.core.system.lock import locked

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

# Set for processes that share devices with others, as the runs of a sweep do.
SHARED = "EDGESPIRAL_SHARED_DEVICES"
# Longer than any measurement takes.
LONGEST_WAIT_S = 24 * 3600.0


@contextmanager
def alone_on(device: Hashable) -> Iterator[None]:
    """Hold a device, once no other process of this user does; at once where none is to share it.

    Args:
        device: what tells it from all others, as `device_id` of a transport.

    Raises:
        RunFolderError: another process holds it for longer than any measurement takes.
    """
    if not os.environ.get(SHARED):
        yield
        return
    name = hashlib.sha256(repr(device).encode()).hexdigest()[:16]
    with locked(make_folder(user_cache("devices") / name), wait_s=LONGEST_WAIT_S):
        yield
