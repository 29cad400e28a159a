"""Runs of a sweep on a Ray cluster.

A device is a custom resource `device:TARGET` of the cluster, of which there is one. A run whose
device is the machine that it runs on is sent to the node that has the resource, and holds it all
the while; any other device is held while something is measured on it (`measure/transports/
one_at_a_time.py`), so that runs on other nodes train meanwhile.
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from edgespiral.core.errors import ExitCode, MissingExtraError, UsageError, first_few
from edgespiral.core.system.process_state import kept_state
from edgespiral.core.system.versions import __version__
from edgespiral.measure.profile import load_profiles
from edgespiral.measure.transports.one_at_a_time import ADDRESS, RESOURCES, device_key
from edgespiral.measure.transports.one_at_a_time import SHARED as SHARED_DEVICES
from edgespiral.spiral.sweeping import worker
from edgespiral.spiral.sweeping.command import (
    LOST,
    Problem,
    log_file,
    plan_file,
    problem_of,
    words_of,
)
from edgespiral.spiral.sweeping.ray_nodes import NODE, RayNodes, last_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edgespiral.spiral.sweeping.plan import RaySettings, SweepRun

# Ray's statistics of use would be sent without anybody having asked for it.
NO_STATISTICS = {"RAY_USAGE_STATS_ENABLED": "0"}
CANCELLED_WITHIN_S = 120.0
# How often runs are looked at, and how long one waits for a node that could do it.
ASKED_EVERY_S, NODE_WITHIN_S = 1.0, 300.0
# How often a run goes on at another node.
MOST_LOSSES = 3
GONE = Problem("its worker is lost", LOST)


@dataclass(eq=False)
class _Attempt:
    """A run on its way.

    Attributes:
        needs: of a node.
        nodes: those that it was sent to any one of.
        losses: how many nodes it has lost.
        missing_since_s: since when there has been no node for it.
    """

    run: SweepRun
    needs: dict[str, float]
    nodes: frozenset[str] = frozenset()
    losses: int = 0
    missing_since_s: float | None = None


def require_ray() -> Any:  # noqa: ANN401 (a module of a package that need not be there)
    """The `ray` package.

    Raises:
        MissingExtraError: it is not installed.
    """
    for name, value in NO_STATISTICS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError("--ray", "ray") from error
    return ray


@dataclass(frozen=True)
class Devices:
    """Which devices the runs of a sweep have, and what the cluster calls them.

    Attributes:
        resources: by what tells a device from all others, of those reached from elsewhere.
        own: by the name of a target whose device is the machine that the run is on.
    """

    resources: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: Sequence[SweepRun]) -> Devices:
        """Those of all targets of some runs.

        Raises:
            UsageError: a target is unknown or wrong.
        """
        devices = cls()
        for target in dict.fromkeys(target for run in runs for target in run.plan.targets):
            (profile,) = load_profiles((target,))
            plugin = profile.transport_plugin
            name = f"device:{profile.name}"
            if plugin.is_local:
                devices.own[target] = name
            else:
                key = device_key(plugin.device_id(profile.transport))
                devices.resources.setdefault(key, name)
        return devices

    @property
    def names(self) -> list[str]:
        """Of all resources."""
        return list(dict.fromkeys([*self.own.values(), *self.resources.values()]))


class OnRay:
    """A cluster, the one that `RAY_ADDRESS` names or else one of this machine alone, in a context.

    Args:
        out: has the folders of runs; every worker sees it under this path.
        settings: what a run takes of a node.
        devices: of all runs.
        jobs: how many runs go on at once; None: as many as the cluster has room for.
        say: is told of nodes that are left out or lost, and of runs that no node has room for.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: on entering it, the cluster cannot be reached, or has not the devices.
    """

    def __init__(
        self,
        out: Path,
        settings: RaySettings,
        devices: Devices,
        jobs: int | None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._out, self._settings, self._devices, self._jobs = out, settings, devices, jobs
        self._ray, self._say = require_ray(), say
        self._nodes = RayNodes(self._ray, out, say)
        # Nodes come and go in a cluster of somebody's; in one of our own there is this machine.
        self._is_theirs = bool(os.environ.get(ADDRESS))

    def __enter__(self) -> Self:
        self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def _connect(self) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if not self._is_theirs:
            own = dict.fromkeys(self._devices.names, 1)
            options |= {"resources": own, "include_dashboard": False, "address": "local"}
        try:
            with kept_state():  # it listens to signals, too
                self._ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise UsageError(
                f"the Ray cluster cannot be reached: {' '.join(str(error).split())}",
                where=f"{ADDRESS}={os.environ.get(ADDRESS, '')}",
            ) from error
        self._require_devices()

    def _require_devices(self) -> None:
        there = self._ray.cluster_resources()
        lacks = [name for name in self._devices.names if not there.get(name)]
        if lacks:
            resources = json.dumps({lacks[0]: 1})
            self._ray.shutdown()
            raise UsageError(
                f"no node of the Ray cluster has {first_few(lacks)}",
                where=os.environ.get(ADDRESS),
                hint=f"on the node that has the device: ray start --resources '{resources}'",
            )

    def run(self, runs: Sequence[SweepRun]) -> Iterator[tuple[SweepRun, Problem | None]]:
        """Yield each run as it ends, with its problem if it failed.

        One whose node is lost goes on at another, where it was. Where the caller stops, runs are
        interrupted, so that each keeps what it has done.

        Raises:
            UsageError: a run takes more of a node than any has, in a cluster of this machine alone.
        """
        self._require_room(runs)
        waiting = [_Attempt(run, self._needs(run)) for run in runs]
        going: dict[Any, _Attempt] = {}
        self._ray.cloudpickle.register_pickle_by_value(worker)
        try:
            while waiting or going:
                yield from self._begin(waiting, going)
                for reference in self._ended(going):
                    attempt = going.pop(reference)
                    problem = self._problem(reference, attempt)
                    if problem is GONE:
                        waiting.append(attempt)
                    else:
                        yield attempt.run, problem
        finally:
            for reference in going:
                self._ray.cancel(reference)
            if going:
                self._ray.wait(list(going), num_returns=len(going), timeout=CANCELLED_WITHIN_S)

    def _require_room(self, runs: Sequence[SweepRun]) -> None:
        """Refuse what Ray would wait for without a word; to a cluster nodes may yet come."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        for run in runs:
            needs = self._needs(run)
            if any(all(has.get(n, 0) >= needs[n] for n in needs) for has in nodes):
                continue
            asked = ", ".join(f"{name} {amount:g}" for name, amount in needs.items() if amount)
            if not self._is_theirs:
                what = f"a run takes {asked}, which this machine has not"
                raise UsageError(what, where="ray", hint="ask for less in the sweep's [ray]")
            self._say(f"warning: no node has {asked} now; {run.name} waits until one joins")

    def _needs(self, run: SweepRun) -> dict[str, float]:
        own = {self._devices.own[t]: 1 for t in run.plan.targets if t in self._devices.own}
        return {"CPU": self._settings.cpus, "GPU": self._settings.gpus, **own}

    def _begin(
        self, waiting: list[_Attempt], going: dict[Any, _Attempt]
    ) -> Iterator[tuple[SweepRun, Problem]]:
        """Begin what there is room for; yield what has had no node for too long."""
        rooms: dict[Any, dict[str, int]] = {}
        for attempt in list(waiting):
            if len(going) >= (self._jobs or math.inf):
                return
            kind = tuple(attempt.needs.items())
            if kind not in rooms:
                rooms[kind] = self._nodes.with_room_for(attempt.needs)
            room = rooms[kind]
            alike = sum(other.needs == attempt.needs for other in going.values())
            if room and alike < sum(room.values()):
                waiting.remove(attempt)
                attempt.nodes, attempt.missing_since_s = frozenset(room), None
                going[self._begun(attempt)] = attempt
            elif not room and self._is_hopeless(attempt):
                waiting.remove(attempt)
                yield attempt.run, Problem(self._nodes.why_none(attempt.needs), ExitCode.USAGE)

    def _is_hopeless(self, attempt: _Attempt) -> bool:
        """Whether no node has come for a run for as long as one is waited for."""
        now_s = time.monotonic()
        if attempt.missing_since_s is None:
            attempt.missing_since_s = now_s
        return now_s - attempt.missing_since_s >= (NODE_WITHIN_S if self._is_theirs else 0)

    def _ended(self, going: dict[Any, _Attempt]) -> list[object]:
        """Attempts that have ended, or wait for nodes all of which are lost."""
        if not going:
            time.sleep(ASKED_EVERY_S)
            return []
        ended, others = self._ray.wait(list(going), timeout=ASKED_EVERY_S)
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        stranded = [reference for reference in others if not going[reference].nodes & alive]
        for reference in stranded:
            self._ray.cancel(reference)
        return [*ended, *stranded]

    def _begun(self, attempt: _Attempt) -> object:
        run, needs = attempt.run, dict(attempt.needs)
        remote = self._ray.remote(worker.run_on_worker).options(
            num_cpus=needs.pop("CPU"),
            num_gpus=needs.pop("GPU"),
            resources=needs,
            label_selector={NODE: f"in({','.join(sorted(attempt.nodes))})"},
            max_retries=0,
            name=run.name,
        )
        environment = {
            SHARED_DEVICES: "1",
            RESOURCES: json.dumps(self._devices.resources),
            ADDRESS: self._ray.get_runtime_context().gcs_address,
            "PWD": os.getcwd(),  # noqa: PTH109 (as text)
            **NO_STATISTICS,
        }
        file, log = plan_file(run, self._out).resolve(), log_file(run, self._out).resolve()
        return remote.remote(words_of(file), str(log), environment, __version__)

    def _problem(self, ended: object, attempt: _Attempt) -> Problem | None:
        """What a run failed by; `GONE` where it was its worker or node that did."""
        exceptions, run = self._ray.exceptions, attempt.run
        losses = (
            exceptions.WorkerCrashedError, exceptions.NodeDiedError,
            exceptions.LocalRayletDiedError, exceptions.TaskCancelledError,
            exceptions.TaskUnschedulableError,
        )  # fmt: skip
        try:
            code, why = self._ray.get(ended, timeout=CANCELLED_WITHIN_S)
        except losses as error:
            attempt.losses += 1
            if attempt.losses > MOST_LOSSES:
                times = f"its worker was lost {attempt.losses} times"
                return Problem(f"{times}: {last_line(error)}", LOST)
            self._say(f"  {run.name}: its worker is lost; it goes on at another")
            return GONE
        except exceptions.RayError as error:
            return Problem(f"the Ray worker failed: {last_line(error)}", LOST)
        return Problem(why, code) if why else problem_of(code, log_file(run, self._out))
