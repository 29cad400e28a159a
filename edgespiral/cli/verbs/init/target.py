"""The device of a plan: a target that has a name, or a new one that is asked what it has."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.cli.verbs.init.writing import require_new
from edgespiral.cli.verbs.targets.new import FOLDER, surveyed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edgespiral.cli.verbs.init.answers import Answers

LOCAL = {"kind": "local"}
# What new devices are called that have no name of their own.
NAMES = {"local": "this-machine", "adb": "phone"}


@dataclass(frozen=True)
class Device:
    """Where models are to be measured: the names of targets, and the profile of a new one.

    Attributes:
        names: as a plan has them.
        transport: of a new device; None of those that are there.
    """

    names: tuple[str, ...]
    transport: dict[str, object] | None = None

    @property
    def path(self) -> Path | None:
        """The file of a new profile."""
        return None if self.transport is None else FOLDER / f"{self.names[0]}.toml"

    def require_new(self, others: Iterable[Path]) -> None:
        """Refuse to write over anything: over its profile, or over `others`.

        Raises:
            UsageError: some are there already, all of which are told at once.
        """
        profile = [] if self.path is None else [self.path]
        take_it = f"--target {self.names[0]} takes its profile"
        is_there = any(map(os.path.lexists, profile))
        require_new([*profile, *others], hint=take_it if is_there else "")

    def texts(self) -> dict[Path, str]:
        """The profile of a new device, once it was asked.

        Raises:
            UsageError: no target is called so.
            TargetError: the device cannot be reached, or has nothing that runs models.
        """
        from edgespiral.measure.profile import load_profiles

        if self.path is None or self.transport is None:
            load_profiles(self.names)
            return {}
        return {self.path: surveyed(self.names[0], self.transport)}


def device_of(answers: Answers) -> Device:
    """The targets that were named, else the new device, else this machine."""
    targets = answers.fields.get("target")
    if isinstance(targets, list | tuple) and targets:
        return Device(tuple(map(str, targets)))
    transport = answers.transport or LOCAL
    own = str(transport.get("host") or transport.get("serial") or "")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", own).strip("-._") or NAMES.get(
        str(transport["kind"]), "device"
    )
    return Device((name,), dict(transport))
