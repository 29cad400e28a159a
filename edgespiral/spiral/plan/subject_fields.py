"""What a plan says of the model, its data, its devices, and how far it is to come."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgespiral.core.option import NEEDED
from edgespiral.core.records.schema import Record
from edgespiral.spiral.plan.field import BUDGET, plan_field
from edgespiral.spiral.plan.values import (
    AboveOne,
    AboveZero,
    File,
    Mebibytes,
    MebibytesEach,
    Name,
    ParameterBudget,
    Positive,
    RuntimeName,
    Targets,
    TaskName,
)
from edgespiral.tasks import DEFAULT


class SubjectFields(Record):
    """What is compressed, what for, and to what."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    model: Name = plan_field(
        "", "A zoo or torchvision name, `timm/NAME`, or `path/to/file.py:factory`.", shown=NEEDED
    )
    weights: File | None = plan_field(
        None,
        "The trained weights of MODEL, `.safetensors` or `.pt`; needed for models by name.",
        pages="[training.md](training.md#weights-from-elsewhere)",
        counts=False,
    )
    data: Name = plan_field(
        "",
        "A data set: {names}; `NAME:PATH` where it lies somewhere; or `path/to/file.py:factory`.",
        pages="[data.md](data.md)",
        shown=NEEDED,
        names_of="edgespiral.data.sources:SOURCES",
    )
    task: TaskName = plan_field(
        DEFAULT,
        "What MODEL is for: {names}; or `path/to/file.py:factory`.",
        pages="[tasks.md](tasks.md)",
        names_of="edgespiral.tasks:TASKS",
    )
    target: Targets = plan_field(
        "host-cpu",
        "The device: a target's name or file. Several of them: a list, or the flag once for each.",
        pages="[targets.md](targets.md)",
    )
    runtime: RuntimeName | None = plan_field(
        None,
        "What runs models on the targets: {names}; or `auto`, the fastest that they have.",
        pages="[runtimes.md](runtimes.md)",
        shown="the target's",
        names_of="edgespiral.measure.runtimes:RUNTIMES",
    )
    precision: Literal["fp32", "fp16", "int8", "auto"] | None = plan_field(
        None,
        "Of what ships: `fp32`, `fp16`, `int8`, or `auto` (the teacher is measured in each).",
        pages="[precision.md](precision.md)",
        shown="the target's",
    )
    recipe: Name = plan_field(
        "default",
        "How int8 is calibrated: a recipe's name or file.",
        pages="[precision.md](precision.md)",
    )
    qat: Literal["auto", "never", "always"] = plan_field(
        "auto",
        "Train an int8 student on with its rounding, for a quarter of the epochs on top: `auto` "
        "(where it lost 0.3 points), `never` or `always`.",
        pages="[precision.md](precision.md)",
    )
    latency_ms: AboveZero | None = plan_field(
        None,
        "Median latency to reach, in milliseconds; TARGET=MS for one of several targets.",
        metavar="[TARGET=]MS",
        group=BUDGET,
    )
    speedup: AboveOne | None = plan_field(
        None,
        "Or: how many times as fast as the teacher, above 1; TARGET=TIMES for one of several.",
        metavar="[TARGET=]TIMES",
        group=BUDGET,
    )
    size_mib: Mebibytes | None = plan_field(
        None,
        "Largest `model.onnx` to ship, in MiB; beside a latency or alone.",
        pages="[Other goals](#other-goals)",
        group=BUDGET,
    )
    parameters: ParameterBudget | None = plan_field(
        None,
        'Most parameters to keep: a count, or a share of the teacher\'s such as `"50%"`; beside a '
        "latency or alone.",
        pages="[Other goals](#other-goals)",
        group=BUDGET,
    )
    memory_mib: MebibytesEach | None = plan_field(
        None,
        "Most memory, in MiB, of the process that runs what ships on each device; TARGET=MIB for "
        "one of several; beside a latency or a size.",
        pages="[Other goals](#other-goals)",
        metavar="[TARGET=]MIB",
        group=BUDGET,
    )
    energy_mj: AboveZero | None = plan_field(
        None,
        "Most energy, in mJ, that an inference may take on each device beyond its idle; TARGET=MJ "
        "for one of several; beside a latency or a size.",
        pages="[Other goals](#other-goals)",
        metavar="[TARGET=]MJ",
        group=BUDGET,
    )
    timed: Literal["network", "pipeline"] = plan_field(
        "network",
        "What of a frame a latency is of: the `network` alone, or the `pipeline` with decoding, "
        "pre- and post-processing, measured on each device.",
        pages="[pipeline.md](pipeline.md)",
        group=BUDGET,
    )
    max_drop: Positive = plan_field(
        2.0,
        "What the metric may lose against the teacher on the validation split, in its unit "
        "(percentages: points). Given without any budget, it is the goal: the fastest model that "
        "holds it.",
        pages="[Other goals](#other-goals)",
        group=BUDGET,
    )
    smallest: bool = plan_field(
        False,
        "With `max_drop` alone: the smallest model that holds it, not the fastest.",
        pages="[Other goals](#other-goals)",
        group=BUDGET,
    )
