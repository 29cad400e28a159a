"""What runs of one teacher on the same devices share: its exported, judged and measured files.

A run of several that begin together measures the teacher while the others wait for it. What they
take over is checked as what a run goes on with is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import Baseline, OnDevice, RunStarted
from edgespiral.core.records.footprint import footprint_budgets
from edgespiral.core.records.schema import Record
from edgespiral.core.system.files import make_folder, read_bytes, write_text
from edgespiral.core.system.lock import locked
from edgespiral.measure.beside.limits import limit_on
from edgespiral.spiral.budget import Budgets
from edgespiral.spiral.shipping.publishing import copy_judged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgespiral.measure.beside.limits import Limit
    from edgespiral.spiral.context import RunContext
    from edgespiral.spiral.plan import Plan

T = TypeVar("T", bound=Record)
BASELINE = "baseline.json"
# Of how a run begins, what decides the rest.
DECISIVE = ("teacher_sha256", "metric", "timed", "recipe_sha256", "data_files", "versions")
# Longer than exporting, scoring and measuring a teacher takes.
LONGEST_WAIT_S = 4 * 3600.0


@dataclass(frozen=True)
class SharedBaseline:
    """The baseline of a teacher in `folder`."""

    folder: Path

    def take(self, place: Path) -> Baseline | None:
        """The shared baseline, with the budgets that it was measured for; None if there is none.

        Args:
            place: where its files are put, made if missing.

        Raises:
            RunFolderError: it is damaged, or a file of it changed.
        """
        path = self.folder / BASELINE
        if not path.is_file():
            return None
        try:
            baseline = Baseline.model_validate_json(read_bytes(path))
        except (OSError, ValidationError) as error:
            raise RunFolderError(
                "the shared baseline is damaged", where=str(path), hint="delete it"
            ) from error
        make_folder(place)
        for name, sha256 in baseline.files.items():
            copy_judged(self.folder / name, place / name, sha256)
        return baseline

    def give(self, baseline: Baseline, place: Path) -> None:
        """Let other runs have what this one has measured; its files lie in `place`."""
        for name, sha256 in baseline.files.items():
            copy_judged(place / name, self.folder / name, sha256)
        write_text(self.folder / BASELINE, baseline.model_dump_json() + "\n")


@contextmanager
def shared_baseline(folder: Path | None) -> Iterator[SharedBaseline | None]:
    """The baseline in a shared folder, which nobody else makes meanwhile; None if there is none.

    Raises:
        RunFolderError: the folder cannot be used.
    """
    if folder is None:
        yield None
        return
    with locked(make_folder(folder), wait_s=LONGEST_WAIT_S):
        yield SharedBaseline(folder)


def shared_folder(context: RunContext) -> Path | None:
    """Where a run shares the baseline of its teacher; None if it shares none."""
    shared = context.plan.shared
    return None if shared is None else shared / f"teacher-{identity(context)}"


def identity(context: RunContext) -> str:
    """Of everything that a baseline depends on, besides the budgets."""
    started = next(event for event in context.journal.read() if isinstance(event, RunStarted))
    plan, profiles = context.plan, context.fleet.profiles
    facts: dict[str, object] = {
        "started": started.model_dump(
            mode="json",
            include=set(DECISIVE),
        ),
        "data": (plan.data, plan.task, plan.vocabulary),
        "precision": context.precisions.base,
        "targets": [profile.model_dump(mode="json") for profile in profiles],
    }
    facts |= beside_latency(plan.memory_mib, plan.energy_mj)
    if plan.timed != "network":
        facts["timed"] = plan.timed
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def beside_latency(memory_mib: Limit, energy_mj: Limit) -> dict[str, object]:
    """What a run with such limits measures of a teacher beside its latency, and on which targets.

    A limit that is one for all targets names none. A baseline of before, or of a run without such
    a limit, has not measured it.
    """
    facts: dict[str, object] = {}
    for limit, key, value in (
        (memory_mib, "measured", "memory"),
        (energy_mj, "energy", "measured"),
    ):
        if isinstance(limit, Mapping):
            facts[key] = (value, *sorted(limit))
        elif limit is not None:
            facts[key] = value
    return facts


def with_budgets(baseline: Baseline, plan: Plan) -> Baseline:
    """A teacher's baseline as that of a run of `plan`, which may have other budgets."""
    budgets = Budgets.of(
        plan.budgets,
        [device.measurement for device in baseline.devices],
        stages=[device.stages for device in baseline.devices],
    )
    triples = zip(plan.targets, budgets.each, baseline.devices, strict=True)
    devices: list[OnDevice] = [
        device.model_copy(
            update={
                "budget_ms": budget.latency_ms,
                "memory": _limited(device.memory, "limit_mib", limit_on(target, plan.memory_mib)),
                "energy": _limited(device.energy, "limit_mj", limit_on(target, plan.energy_mj)),
            }
        )
        for target, budget, device in triples
    ]
    footprints = footprint_budgets(plan.size_mib, plan.parameters, baseline.teacher)
    return baseline.model_copy(update={"devices": tuple(devices), "footprints": footprints})


def _limited(consumption: T | None, name: str, limit: float | None) -> T | None:
    """What a model takes against another limit, by the limit's name; None where there is none."""
    if consumption is None or limit is None:
        return None
    return consumption.model_copy(update={name: limit})
