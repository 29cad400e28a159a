"""`edgespiral measure`: the latency of ONNX models on a target."""

from __future__ import annotations

import json as jsonlib
from dataclasses import dataclass, replace
from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgespiral.cli.latency_tables import frame_table, latency_table
from edgespiral.cli.options import Shape, budget, parse_shape
from edgespiral.cli.terminal import Terminal, tell_json
from edgespiral.cli.verbs.targets.race import Samples, Threads, run_races
from edgespiral.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgespiral.core.records.footprint import Energy
    from edgespiral.core.records.measurement import Measurement, Verdict
    from edgespiral.core.stages.latencies import Stages
    from edgespiral.measure.fleet import Fleet
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.measure.session import Session


Targets = Annotated[
    list[str] | None,
    typer.Option(
        help="The device: a target's name or file. Give it again for further devices.",
        show_default="host-cpu",
    ),
]
BudgetMs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[TARGET=]MS",
        help="A budget for the median, TARGET=MS for that of one of several targets: "
        "the exit code says if it is met.",
    ),
]
Runtimes = Annotated[
    list[str] | None,
    typer.Option(
        help="In place of the target's runtime; `all`, or several: a race.",
        show_default="the target's",
    ),
]
Timed = Annotated[
    Literal["network", "pipeline"],
    typer.Option(
        help="What of a frame is timed: the network alone, or the pipeline with decoding, pre- "
        "and post-processing beside it.",
    ),
]
Purpose = Annotated[
    str | None,
    typer.Option(
        help="With a pipeline: what MODEL is for, which decides what follows the network.",
        show_default="the run's, or that of compress",
    ),
]
WithEnergy = Annotated[
    bool, typer.Option("--energy", help="Tell what an inference takes of energy, in mJ, too.")
]


@dataclass(frozen=True)
class _OnDevice:
    """What models take on a device, in their order; what was not asked for is None or empty."""

    measured: list[Measurement]
    verdicts: list[Verdict] | None
    stages: Stages | None = None
    energies: Sequence[Energy] = ()


def measure(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="ONNX files or run folders.")
    ],
    *,
    target: Targets = None,
    latency_ms: BudgetMs = None,
    runtime: Runtimes = None,
    threads: Threads = None,
    timed: Timed = "network",
    data: Samples = None,
    task: Purpose = None,
    energy: WithEnergy = False,
    shape: Shape = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print records with all samples instead of the table.")
    ] = False,
) -> None:
    """Measure ONNX models on a target; several take turns, so their ratios can be trusted."""
    from edgespiral.measure.fleet import Fleet
    from edgespiral.measure.model_files import find_model
    from edgespiral.measure.profile import load_profiles

    targets = target or ["host-cpu"]
    profiles = load_profiles(targets)
    is_pipeline = timed == "pipeline"
    _check_task(task, is_pipeline=is_pipeline)
    if _is_race(runtime or (), threads or (), None if is_pipeline else data):
        _check_networks({"--timed pipeline": is_pipeline, "--energy": energy})
        _check_race(targets, latency_ms)
        own = [profiles[0].runtime.kind]
        run_races(
            profiles[0],
            models,
            runtime or own,
            threads=threads or (),
            data=data,
            shape=shape,
            as_json=json,
        )
        return
    profiles = [_set(profile, runtime or (), threads or ()) for profile in profiles]
    files = [find_model(model) for model in models]
    shapes = dict(map(parse_shape, shape or ()))
    budgets_ms = _budgets_ms(targets, budget("--latency-ms", latency_ms))
    with Fleet.of(profiles, shapes) as fleet:
        around: list[Stages | None] = [None for _ in profiles]
        if is_pipeline:
            around = [*_stages(fleet, models[0], files[0], data, task)]

        def asked(index: int, session: Session) -> _OnDevice:
            done = _measured(session, files, budgets_ms[index], around[index])
            return replace(done, energies=_energies(session, files)) if energy else done

        by_device = fleet.each(asked)
    _tell(models, by_device, as_json=json)
    verdicts = [verdict for device in by_device for verdict in device.verdicts or ()]
    if any(verdict.value == "missed" for verdict in verdicts):
        raise typer.Exit(ExitCode.UNREACHABLE)


def _tell(models: Sequence[Path], by_device: Sequence[_OnDevice], *, as_json: bool) -> None:
    if as_json:
        rows = [
            row | _beside(device, place)
            for device in by_device
            for place, row in enumerate(_rows(models, device.measured, device.verdicts))
        ]
        tell_json(jsonlib.dumps(rows))
        return
    for device in by_device:
        _show(models, device.measured, device.verdicts)
        for model, used in zip(models, device.energies, strict=False):
            idle = f"beyond {used.idle_watts:.3g} W when idle ({used.source})"
            Terminal().print(f"{model}: {used}, {idle}", markup=False)
        if device.stages is not None:
            Terminal().print(frame_table(device.stages, device.measured[0]))


def _beside(device: _OnDevice, place: int) -> dict[str, object]:
    """What the record of the model at `place` has beside the network's latency."""
    figures: dict[str, object] = {}
    if device.stages is not None:
        whole = device.stages.with_network(device.measured[place].rounds_ms)
        figures["stages"] = device.stages.model_dump(mode="json")
        figures["whole"] = whole and whole.model_dump(mode="json")
    if device.energies:
        figures["energy"] = device.energies[place].model_dump(mode="json")
    return figures


def _energies(session: Session, files: Sequence[Path]) -> list[Energy]:
    from edgespiral.measure.beside.energy import energy_of

    return [energy_of(session, file) for file in files]


def _stages(
    fleet: Fleet, model: Path, onnx: Path, data: str | None, task: str | None
) -> list[Stages]:
    from edgespiral.spiral.shipping.stages import stages_around

    return stages_around(fleet, model, onnx, data, task)


def _check_task(task: str | None, *, is_pipeline: bool) -> None:
    """Refuse a task where nothing follows the network.

    Raises:
        UsageError: so it is.
    """
    if task is not None and not is_pipeline:
        hint = "leave it out, or add --timed pipeline"
        raise UsageError("a network alone is timed whatever it is for", where="--task", hint=hint)


def _check_networks(options: Mapping[str, bool]) -> None:
    """Refuse a race that tells more than latencies of networks.

    Raises:
        UsageError: so it is.
    """
    for option, is_asked in options.items():
        if is_asked:
            hint = f"race first, then take {option} with the winner"
            raise UsageError("a race is between networks", where=option, hint=hint)


def _is_race(runtimes: Sequence[str], threads: Sequence[int], data: str | None) -> bool:
    """Whether more than one way to run the models is asked for, or what only a race has."""
    return "all" in runtimes or len(runtimes) > 1 or len(threads) > 1 or data is not None


def _set(profile: TargetProfile, runtimes: Sequence[str], threads: Sequence[int]) -> TargetProfile:
    """The target with the runtime and the threads that are asked for, if any are."""
    from edgespiral.measure.racing.entrants import with_runtime

    if not runtimes and not threads:
        return profile
    name = next(iter(runtimes), profile.runtime.kind)
    return with_runtime(profile, name, next(iter(threads), None))


def _check_race(targets: Sequence[str], latency_ms: Sequence[str] | None) -> None:
    """Refuse a race for several targets, or for a budget.

    Raises:
        UsageError: it is for one of these.
    """
    if len(targets) > 1:
        hint = "race on one target at a time: edgespiral targets race NAME MODEL"
        raise UsageError("a race is on one target", where="--target", hint=hint)
    if latency_ms:
        hint = "name one runtime, or leave the budget out"
        raise UsageError("a race has no verdict on a budget", where="--latency-ms", hint=hint)


def _budgets_ms(
    targets: Sequence[str], budget: float | dict[str, float] | None
) -> list[float | None]:
    """The budget of each target; None where it has none."""
    if not isinstance(budget, dict):
        return [budget for _ in targets]
    for name in budget:
        if name not in targets:
            hint = f"the targets are: {', '.join(targets)}"
            raise UsageError(f"{name} is not measured on", where="--latency-ms", hint=hint)
    return [budget.get(target) for target in targets]


def _measured(
    session: Session, files: Sequence[Path], latency_ms: float | None, stages: Stages | None
) -> _OnDevice:
    from edgespiral.core.records.measurement import Verdict
    from edgespiral.measure.decide import decide

    if latency_ms is None:
        return _OnDevice(session.measure(files), None, stages)
    left_ms = latency_ms if stages is None else latency_ms - stages.most_ms
    if left_ms <= 0 < latency_ms:
        return _OnDevice(session.measure(files), [Verdict.MISSED for _ in files], stages)
    judged = decide(session, files, left_ms)
    measured, verdicts = zip(*judged, strict=True)
    return _OnDevice(list(measured), list(verdicts), stages)


def _rows(
    models: Sequence[Path],
    measured: Sequence[Measurement],
    verdicts: Sequence[Verdict] | None,
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {"model": str(model), **measurement.model_dump(mode="json")}
        for model, measurement in zip(models, measured, strict=True)
    ]
    for row, verdict in zip(rows, verdicts or (), strict=False):
        row["verdict"] = verdict.value
    return rows


def _show(
    models: Sequence[Path],
    measured: Sequence[Measurement],
    verdicts: Sequence[Verdict] | None,
) -> None:
    from edgespiral.core.records.measurement import doubts_about
    from edgespiral.report.formats import ms, parts

    console = Terminal()
    console.print(latency_table(models, measured, verdicts or ()))
    for model, measurement in zip(models, measured, strict=True):
        if measurement.parts:
            console.print(f"{model}: {parts(measurement)}", markup=False)
        if measurement.cold_start_ms is not None:
            console.print(f"cold start: {ms(measurement.cold_start_ms)} ms", markup=False)
    for doubt in doubts_about(measured):
        console.print(f"warning: {doubt}", markup=False, style="yellow")
    about = measured[0].fingerprint
    console.print(
        f"{about.device}, {about.runtime} {about.runtime_version}, {about.provider}, "
        f"{about.precision}, threads: {about.threads}",
        style="dim",
    )
