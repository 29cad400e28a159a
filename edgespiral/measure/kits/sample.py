"""The recorded sample of a folder, and whether outputs are the recorded ones.

`sample.txt` has a line for each thing, with tabs between: options, each model's file, and the
files, types, shapes and names of its inputs and outputs. Arrays are raw, little-endian bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass
class Model:
    """A model's file, one sample's inputs and what they were seen to give, by name."""

    file: str
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


# Outputs of a model in its order, given its path, what is recorded of it, and the options.
Run: TypeAlias = "Callable[[Path, Model, dict[str, str]], Sequence[Any]]"


def read(folder: Path) -> tuple[dict[str, str], list[Model]]:
    """The options of `sample.txt` and its models, in the order in which they run."""
    options: dict[str, str] = {}
    models: list[Model] = []
    for line in (folder / "sample.txt").read_text(encoding="utf-8").splitlines():
        key, value, *more = line.split("\t")
        if key == "model":
            models.append(Model(value))
        elif key in ("input", "output"):
            kind, sizes, name = more
            shape = [int(size) for size in sizes.split(",") if size]
            array = np.fromfile(folder / value, np.dtype(kind)).reshape(shape)
            (models[-1].inputs if key == "input" else models[-1].outputs)[name] = array
        else:
            options[key] = value
    return options, models


def nearness_db(expected: Any, output: Any) -> float:  # noqa: ANN401
    """How far the error is below the signal in decibels; infinite where there is none.

    Whole numbers and truth values are equal, or as wrong as can be.
    """
    if expected.shape != output.shape:
        return -math.inf
    if expected.dtype.kind != "f":
        return math.inf if np.array_equal(expected, output) else -math.inf
    signal = float(np.square(expected, dtype=np.float64).sum())
    noise = float(np.square(expected.astype(np.float64) - output).sum())
    if math.isnan(noise) or not signal:
        return math.inf if noise == 0 else -math.inf
    return 10 * math.log10(signal / noise) if noise else math.inf


def checked(folder: Path, run: Run) -> int:
    """Run each model on its sample and print how near it comes.

    Returns:
        The exit code: 0 if all outputs are near enough, 1 if one is not, 2 if a model cannot be
        run.
    """
    try:
        options, models = read(folder)
        least_db = float(options["least_db"])
        is_near = True
        for model in models:
            outputs = run(folder / model.file, model, options)
            for (name, expected), output in zip(model.outputs.items(), outputs, strict=True):
                near_db = nearness_db(expected, np.asarray(output))
                verdict = "as recorded" if near_db >= least_db else "NOT as recorded"
                is_near = is_near and near_db >= least_db
                print(f"{model.file}: {name}: {verdict} ({near_db:.1f} of {least_db:g} dB)")  # noqa: T201
    except Exception as error:  # a program ends with a line and a code, whatever a runtime raises
        reason = " ".join(str(error).split())
        print(f"error: {reason or type(error).__name__}")  # noqa: T201
        return 2
    return 0 if is_near else 1
