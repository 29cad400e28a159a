"""The verb: looks at model, data and device, and writes a plan with whatever is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgespiral.cli import options
from edgespiral.cli.terminal import Terminal
from edgespiral.core.errors import UsageError

FIELDS = ("model", "weights", "data", "task", "target", "latency_ms", "speedup", "max_drop")


@options.with_options(options.PLAN_OPTIONS[name] for name in FIELDS)
def init(
    *,
    flags: dict[str, object],
    ssh: Annotated[
        str | None, typer.Option(metavar="HOST", help="Or a new device: behind ssh.")
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="The Python there.", show_default="python3")
    ] = None,
    adb: Annotated[bool, typer.Option("--adb", help="Or an Android device.")] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Or this machine, which it is if nothing is said.")
    ] = False,
    input_shape: Annotated[
        str | None,
        typer.Option(help="Without data: sizes of an input without the batch, such as 3x224x224."),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=2, help="Without data: how many classes there are.")
    ] = None,
) -> None:
    """Look at model, data and device; write plan.toml, a profile, and stubs for what is missing.

    At a terminal it asks for what no flag says. An .onnx file gets a suite of the latency gate.
    Nothing that is there is overwritten.
    """
    from edgespiral.cli.verbs.init.answers import Answers, can_ask, completed
    from edgespiral.cli.verbs.init.beginning import begin
    from edgespiral.cli.verbs.init.gate import begin_gate, is_run_only
    from edgespiral.cli.verbs.inspect import stated_shape

    shape = None if input_shape is None else stated_shape(None, input_shape, "init")
    answers = Answers(flags, _transport(ssh, python, adb=adb, local=local), shape, classes)
    if answers.transport is not None and flags["target"]:
        raise UsageError("a target beside a new device", where="--target", hint="give one of them")
    if can_ask():
        answers = completed(answers)
    model = answers.text("model")
    console = Terminal()
    begun = begin_gate if model is not None and is_run_only(Path(model)) else begin
    for line in begun(answers, console):
        console.print(line, soft_wrap=True)


def _transport(
    ssh: str | None, python: str | None, *, adb: bool, local: bool
) -> dict[str, object] | None:
    from edgespiral.cli.verbs.targets.new import one_way

    if python is not None and ssh is None:
        raise UsageError("is the Python of no device", where="--python", hint="give --ssh HOST too")
    if ssh is None and not adb and not local:
        return None
    transport: dict[str, object] = {"kind": one_way(ssh, adb=adb, local=local)}
    own = {"host": ssh, "python": python}
    return transport | {key: value for key, value in own.items() if value is not None}
