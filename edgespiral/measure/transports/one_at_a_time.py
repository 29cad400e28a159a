"""One command at a time on a device, where several processes may ask for the same one."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgespiral.core.errors import MeasurementError, MissingExtraError
from edgespiral.core.system.files import make_folder, user_cache
from edgespiral.core.system.lock import locked
from edgespiral.core.system.process_state import kept_state

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

# Set for processes that share devices with others, as the runs of a sweep do.
SHARED = "EDGESPIRAL_SHARED_DEVICES"
# Of a Ray cluster: what it calls each device, by `device_key`, as JSON; and where it is.
RESOURCES, ADDRESS = "EDGESPIRAL_DEVICE_RESOURCES", "RAY_ADDRESS"
# Longer than any measurement takes, and how often a cluster is asked meanwhile.
LONGEST_WAIT_S, ASKED_EVERY_S = 24 * 3600.0, 5.0


def device_key(device: Hashable) -> str:
    """What a device goes by in names of files and in variables.

    Args:
        device: what tells it from all others, as `device_id` of a transport.
    """
    return hashlib.sha256(repr(device).encode()).hexdigest()[:16]


@contextmanager
def alone_on(device: Hashable) -> Iterator[None]:
    """Hold a device, once no other process does; at once where none is to share it.

    It is held against processes of this user on this machine, and, where it is a resource of a Ray
    cluster, against all of the cluster.

    Args:
        device: what tells it from all others, as `device_id` of a transport.

    Raises:
        RunFolderError, MeasurementError: another process holds it for longer than any measurement
            takes.
    """
    if not os.environ.get(SHARED):
        yield
        return
    key = device_key(device)
    resource = json.loads(os.environ.get(RESOURCES) or "{}").get(key)
    with locked(make_folder(user_cache("devices") / key), wait_s=LONGEST_WAIT_S):
        if resource is None:
            yield
            return
        with _held_in_cluster(resource):
            yield


@contextmanager
def _held_in_cluster(resource: str) -> Iterator[None]:
    """Hold a resource of the Ray cluster, which lets go of it where this process is killed."""
    try:
        import ray
        from ray.util.placement_group import placement_group, remove_placement_group
    except ModuleNotFoundError as error:
        raise MissingExtraError("a run on a Ray cluster", "ray") from error
    if not ray.is_initialized():
        with kept_state():
            ray.init(address=os.environ[ADDRESS], log_to_driver=False, logging_level="ERROR")
    group = placement_group([{resource: 1}])
    try:
        until_s = time.monotonic() + LONGEST_WAIT_S
        while not group.wait(timeout_seconds=ASKED_EVERY_S):
            _require_there(resource, ray.cluster_resources())
            if time.monotonic() > until_s:
                raise MeasurementError("is held by others for too long", where=resource)
        yield
    finally:
        remove_placement_group(group)


def _require_there(resource: str, cluster: Mapping[str, float]) -> None:
    """Refuse to wait for what no node has any more."""
    if not cluster.get(resource):
        raise MeasurementError(
            "no node of the Ray cluster has it any more: its node is lost",
            where=resource,
            hint="once a node has it again, the same sweep goes on",
        )
