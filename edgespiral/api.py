"""The Python API: what the commands do, for notebooks and tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import UsageError
from edgespiral.core.listener import Silent
from edgespiral.models import saved
from edgespiral.spiral.plan import load_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.exported import Parity
    from edgespiral.core.listener import Listener
    from edgespiral.core.records import Measurement
    from edgespiral.core.result import Result
    from edgespiral.core.schema import Precision


@dataclass(frozen=True)
class Compressed:
    """What `compress` returns: the result's record, the run folder and the smaller model."""

    result: Result
    folder: Path
    model: nn.Module


def compress(
    model: nn.Module | str,
    data: DataSplits | Mapping[str, Any] | str,
    *,
    out: str | Path,
    resume: bool = False,
    listener: Listener | None = None,
    **options: Any,  # noqa: ANN401
) -> Compressed:
    """Compress a trained model until it measurably meets a latency budget.

    Args:
        model: a trained module that returns logits (N, classes), or what the command takes.
        data: three splits in memory, the mapping that a factory may return (docs/data.md), or what
            the command's `--data` takes.
        out: the run folder.
        resume: go on with the run that is in `out`.
        listener: hears the progress; silent by default.
        options: the plan's fields, as in `plan.toml`: `target`, one of `latency_ms` and
            `speedup`, `max_drop`, `epochs`, `turns` and so on (docs/plan.md).

    Raises:
        EdgeSpiralError: what is wrong, where and what to do; nothing done so far is lost.

    Example:
        >>> import edgespiral
        >>> small = edgespiral.compress(net, "fashion-mnist", speedup=2, out="runs/net")
        >>> small.result.speedup.value, small.model
    """
    from edgespiral.data import load
    from edgespiral.data.user import splits_of
    from edgespiral.spiral.run import load_teacher, run_spiral

    name = _named(model, options)
    known = None if isinstance(data, str) else splits_of(data, "data")
    plan = load_plan(None, {"model": name, "data": known.name if known else data, **options})
    splits = known or load(plan.data)
    teacher = load_teacher(plan, splits) if isinstance(model, str) else model
    folder = Path(out)
    result = run_spiral(
        plan, teacher, splits, out=folder, resume=resume, listener=listener or Silent()
    )
    return Compressed(result, folder, saved.load_model(folder))


def _named(model: object, options: Mapping[str, object]) -> str:
    from torch import nn

    if isinstance(model, str):
        return model
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"a {type(model).__name__} is no model",
            where="model",
            hint="give a torch.nn.Module, or what the command takes",
        )
    if options.get("weights") is not None:
        raise UsageError(
            "a module has its weights already", where="weights", hint="load them into it before"
        )
    return type(model).__name__


def measure_models(models: Sequence[str | Path], *, target: str = "host-cpu") -> list[Measurement]:
    """Measure ONNX models on a target, alternating between them; see `edgespiral measure`."""
    from edgespiral import measure

    return measure.measure_models([Path(model) for model in models], target)


def export_model(
    model: nn.Module,
    data: DataSplits | str,
    path: str | Path,
    *,
    precision: Precision = "fp32",
    recipe: str = "default",
) -> Parity:
    """Export `model` to ONNX and check it against PyTorch on validation samples.

    Args:
        precision: fp32, fp16 or int8 (docs/precision.md).
        recipe: how int8 is calibrated, by name or file.
    """
    from edgespiral.data import load
    from edgespiral.data.guard import guarded
    from edgespiral.export.precision import Asked, export_as
    from edgespiral.export.recipe import load_recipe

    splits = load(data) if isinstance(data, str) else guarded(data)
    asked = Asked(precision, recipe=load_recipe(recipe), samples=len(splits.validation))
    return export_as(model, Path(path), splits, asked).parity


def load_model(folder: str | Path) -> nn.Module:
    """The compressed PyTorch model of a run folder, with its weights."""
    return saved.load_model(Path(folder))
