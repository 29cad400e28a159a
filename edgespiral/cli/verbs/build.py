"""`edgespiral build`: an engine of an ONNX model, for one target."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from edgespiral.cli.options import Shape, parse_shape, require_not_read
from edgespiral.cli.terminal import Terminal, tell
from edgespiral.core.errors import UsageError

if TYPE_CHECKING:
    from edgespiral.core.records.exported import EngineFacts


def build(
    model: Annotated[Path, typer.Argument(help="An ONNX file or a run folder.")],
    *,
    target: Annotated[str, typer.Option(help="What the engine is for: a target's name or file.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; beside the model if not given.")
    ] = None,
    shape: Shape = None,
) -> None:
    """Build a TensorRT engine of an ONNX model, and write down what it is and where it runs."""
    from rich.markup import escape

    from edgespiral.core.system.files import make_folder
    from edgespiral.measure.build import build_engine
    from edgespiral.measure.engine_files import engine_path, record_path
    from edgespiral.measure.model_files import (
        ENGINES,
        all_files,
        find_model,
        is_engine,
        timed_files,
    )
    from edgespiral.measure.profile import load_profile
    from edgespiral.measure.session import Session

    source = find_model(model)
    parts = [file.path for file in timed_files(source) if file.part]
    if parts:
        what = (
            f"runs in parts, each of which is built by itself: {', '.join(p.name for p in parts)}"
        )
        raise UsageError(what, where=str(source), hint=f"give {parts[0]}")
    goal = out or engine_path(source)
    if not is_engine(goal):
        endings = ", ".join(ENGINES)
        raise UsageError(
            f"{goal.name} is not an engine's name", where="--out", hint=f"end it in {endings}"
        )
    for written in (goal, record_path(goal)):
        require_not_read(written, (*all_files(source), target))
    shapes = dict(map(parse_shape, shape or ()))
    make_folder(goal.parent)
    waiting = Terminal(stderr=True).status(f"building for {escape(target)}")
    with Session(load_profile(target), shapes=shapes) as session, waiting:
        facts = build_engine(session, source, goal)
    _show(goal, facts)


def _show(goal: Path, facts: EngineFacts) -> None:
    from edgespiral.measure.engine_files import bound_to, record_path

    size_mb = goal.stat().st_size / 1e6
    tell(f"{goal}: {facts.precision}, {size_mb:.2f} MB; {record_path(goal).name} describes it")
    tell(f"it runs on nothing but {bound_to(facts)}")
    for name in facts.unfused or ():
        tell(f"left unfused: {name}")
    for warning in facts.warnings:
        tell(f"the builder warns: {warning}")
