"""A suite of the latency gate for who has no model to train, only files that run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.cli.verbs.init.target import device_of
from edgespiral.cli.verbs.init.writing import suite_text, write_all
from edgespiral.core.errors import UsageError

if TYPE_CHECKING:
    from edgespiral.cli.terminal import Terminal
    from edgespiral.cli.verbs.init.answers import Answers

SUITE = Path("edgespiral-bench.toml")
NO_LIMIT = (
    f"no limit yet: give the model a budget_ms in {SUITE}, or compare it with what it was, as by "
    "edgespiral bench --against-ref origin/main"
)
# What only says how a network is trained has no meaning for one that can only be run.
OF_TRAINING = ("weights", "data", "task", "speedup", "max_drop")


def is_run_only(model: Path) -> bool:
    """Whether a file is one that can be measured, and neither trained nor cut."""
    from edgespiral.measure.model_files import ENGINES

    return model.suffix.lower() in (".onnx", *ENGINES)


def begin_gate(answers: Answers, console: Terminal) -> list[str]:
    """Write `edgespiral-bench.toml` and a profile; what was done and comes next, a line each.

    Raises:
        UsageError: flags that an ONNX file cannot follow, or something is there already.
        ModelError: no such file, or it is no ONNX model.
        TargetError: the device cannot be used.
    """
    from edgespiral.measure.model_files import find_model

    model = Path(str(answers.text("model")))
    for name in OF_TRAINING:
        if answers.fields.get(name) is not None:
            raise UsageError(
                f"{model} can be run, but neither trained nor cut",
                where=f"--{name.replace('_', '-')}",
                hint="name the PyTorch model that it was exported from, or leave this out",
            )
    find_model(model)  # what is no model is told before anything is written
    device, budget_ms = device_of(answers), _budget_ms(answers)
    device.require_new([SUITE])
    if len(device.names) > 1:
        raise UsageError(
            "a suite is of one target", where="--target", hint="run it with --target for others"
        )
    shape = (1, *answers.shape) if answers.shape else ()
    goal = "measured" if budget_ms is None else "measured and held to its budget"
    console.print(f"{model}: to be {goal}; it cannot be cut")
    texts = device.texts() | {SUITE: suite_text(model, device.names[0], budget_ms, shape)}
    write_all(texts)
    return [
        f"written: {', '.join(map(str, texts))}",
        *([NO_LIMIT] if budget_ms is None else []),
        "next: edgespiral bench",
        "in CI: docs/guides/ci.md has the steps for a pull request",
    ]


def _budget_ms(answers: Answers) -> float | None:
    budget = answers.fields.get("latency_ms")
    if isinstance(budget, dict):
        raise UsageError("a suite has one target", where="--latency-ms", hint="give a number")
    return budget if isinstance(budget, float) else None
