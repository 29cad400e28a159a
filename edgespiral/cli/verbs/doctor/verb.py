"""The verb: checks of the installation, this machine, devices and a plan, in this order."""

from __future__ import annotations

from functools import partial
from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import TYPE_CHECKING, Annotated

import typer

from edgespiral.cli.findings import show_findings
from edgespiral.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgespiral.cli.findings import Check
    from edgespiral.measure.targets.check import CheckLine
    from edgespiral.spiral.plan import Plan


def doctor(
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="A device to try, by a target's name or file; may be repeated.",
            show_default="those of --config, else host-cpu",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A plan file, as for compress --config: is there what it needs?"),
    ] = None,
) -> None:
    """Look whether all is there that a run needs: packages, disk, devices and a plan's parts."""
    from edgespiral.cli.verbs.doctor import installation
    from edgespiral.spiral.plan import load_plan

    plan = None if config is None else load_plan(config, {})
    targets = target or (plan.targets if plan else ["host-cpu"])
    needing_packages = [
        *_machine(),
        *(_plan_check(plan, config) if plan and config else ()),
        *((name, partial(_target_lines, name)) for name in targets),
    ]
    guarded = [(name, partial(installation.guarded, check)) for name, check in needing_packages]
    show_findings([*_installation(), *guarded])


def _installation() -> Iterator[tuple[str, Check]]:
    from edgespiral.cli.verbs.doctor import installation

    yield "packages", installation.package_lines
    for package in installation.BINARY:
        yield package, partial(installation.import_line, package)
    yield "extras", installation.extra_lines


def _machine() -> Iterator[tuple[str, Check]]:
    from edgespiral.cli.verbs.doctor import machine

    yield "memory", machine.memory_lines
    yield "training", machine.training_device_lines
    for purpose, folder in machine.folders().items():
        yield purpose, partial(machine.folder_lines, purpose, folder)
    yield "programs", machine.program_lines
    yield "targets", machine.target_file_lines


def _plan_check(plan: Plan, config: Path) -> Iterator[tuple[str, Check]]:
    yield str(config), partial(_plan_lines, plan, config)


def _plan_lines(plan: Plan, config: Path) -> Iterator[CheckLine]:
    from edgespiral.cli.verbs.validate import described, find_problems
    from edgespiral.measure.targets.check import CheckLine

    problems = list(find_problems(plan, config))
    if problems:
        raise UsageError("; ".join(problems))
    yield CheckLine(str(config), described(plan))


def _target_lines(name: str) -> Iterator[CheckLine]:
    from edgespiral.measure.profile import load_profile
    from edgespiral.measure.targets.check import check_target

    yield from check_target(load_profile(name))
