"""`edgespiral compress`: the main job."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgespiral.cli import options
from edgespiral.cli.terminal import Terminal

if TYPE_CHECKING:
    from edgespiral.spiral.plan import Plan


def compress(
    model: options.Model = None,
    *,
    data: options.Data = None,
    task: options.Task = None,
    weights: options.Weights = None,
    target: options.Targets = None,
    precision: options.Precision = None,
    recipe: options.Recipe = None,
    qat: options.Qat = None,
    out: options.Out = None,
    resume: options.Resume = False,
    config: options.Config = None,
    latency_ms: options.LatencyMs = None,
    speedup: options.Speedup = None,
    max_drop: options.MaxDrop = None,
    turns: options.Turns = None,
    criterion: options.Criterion = None,
    pruner: options.Pruner = None,
    allocation: options.Allocation = None,
    sparsity: options.Sparsity = None,
    epochs: options.Epochs = None,
    teacher: options.Teacher = None,
    temperature: options.Temperature = None,
    alpha: options.Alpha = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    augment: options.Augment = None,
    seed: options.Seed = None,
    device_samples: options.DeviceSamples = None,
    latency_cache: options.LatencyCache = None,
) -> None:
    """Prune and distil a trained model until it meets a latency budget on its targets."""
    flags: dict[str, object] = dict(locals())
    del flags["config"], flags["resume"]
    flags["turns"] = int(turns) if turns and turns.isdecimal() else turns
    flags["sparsity"] = _number_if_one(sparsity)
    flags["latency_ms"] = options.budget("--latency-ms", latency_ms)
    flags["speedup"] = options.budget("--speedup", speedup)
    flags["target"] = target or None
    raise typer.Exit(_run(config, flags, resume=resume))


def default_folder(plan: Plan) -> Path:
    """`runs/MODEL-DATA-TARGETS`, with what does not belong in a file name replaced by a dash."""
    name = "-".join((plan.model, plan.data, *plan.targets))
    return Path("runs") / re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")


def _number_if_one(text: str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _run(config: Path | None, flags: dict[str, object], *, resume: bool) -> int:
    from edgespiral.export.recipe import load_recipe
    from edgespiral.measure.profile import load_profiles
    from edgespiral.spiral.plan import load_plan

    # A mistake in the plan is told before the seconds that PyTorch and data take to load.
    plan = load_plan(config, flags)
    load_profiles(plan.targets)
    load_recipe(plan.recipe)
    return _compress(plan, plan.out or default_folder(plan), resume=resume)


def _compress(plan: Plan, out: Path, *, resume: bool) -> int:

    from edgespiral.core.records.journal import read
    from edgespiral.report.table import print_table
    from edgespiral.spiral.run import run_compress

    result = run_compress(plan, out=out, resume=resume, console=Terminal(stderr=True))
    console = Terminal()
    print_table(console, read(out / "journal.jsonl"))
    console.print(f"report: {out / 'report.html'}", soft_wrap=True)
    return result.exit_code
