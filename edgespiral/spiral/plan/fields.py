"""The plan: everything a compression run is asked to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from edgespiral.core.config import config_errors
from edgespiral.core.errors import UsageError
from edgespiral.core.option import NEEDED
from edgespiral.core.records.schema import Record
from edgespiral.distill.settings import Amp, Schedule
from edgespiral.prune.engines import AUTO
from edgespiral.spiral.plan import goals
from edgespiral.spiral.plan.field import BUDGET, CUTTING, DISTILLATION, plan_field
from edgespiral.spiral.plan.values import (
    AboveOne,
    AboveZero,
    CriterionName,
    Devices,
    File,
    Name,
    NotNegative,
    OptimizerName,
    ParameterBudget,
    Positive,
    PrunerName,
    RuntimeName,
    ShareOrPattern,
    Targets,
    TaskName,
    Texts,
    Turns,
)
from edgespiral.tasks import DEFAULT


class Plan(Record):
    """What to compress, how far, and by what means; `docs/plan.md` explains each field.

    All that is said of a field is said here; `make plan` writes the options of the command line
    and the table of `docs/plan.md` from it.

    The budget is a median latency or a speed-up, one for all targets or for each by its name. Sizes
    are budgets too, beside it or alone; with `max_drop` alone, the fastest model that holds it is
    looked for. Paths are relative to the current folder.
    `model` and `data` are needed in a plan of the command line; in Python, `compress` takes them
    beside the plan.

    Raises:
        UsageError: a value that `docs/plan.md` does not allow, an unknown field, no goal, or not
            exactly one latency for each target; all problems at once, each with its field.

    Example:
        >>> from edgespiral import Plan
        >>> plan = Plan(speedup=2, max_drop=1.5, epochs=4)
        >>> plan.targets, plan.criterion
        (('host-cpu',), 'fisher')
    """

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True)

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
    size_mib: Positive | None = plan_field(
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
    turns: Turns = plan_field(
        "auto",
        "Turns of the spiral: a number, or `auto` (one for each factor of 4 in latency, or part).",
        pages="[allocation.md](allocation.md#turns-and-teachers)",
        group=CUTTING,
    )
    epochs: Positive = plan_field(
        4.0,
        "Passes over the training data in the whole run, shared by its turns.",
        group=DISTILLATION,
    )
    criterion: CriterionName = plan_field(
        "fisher",
        "What a channel is worth: {names}.",
        pages="[allocation.md](allocation.md)",
        group=CUTTING,
        names_of="edgespiral.prune.scoring.criteria:CRITERIA",
    )
    pruner: PrunerName = plan_field(
        AUTO,
        "What takes channels out: {names}; `auto` tries them in turn.",
        pages="[architectures.md](architectures.md)",
        group=CUTTING,
        names_of="edgespiral.prune.engines:PRUNING_ENGINES",
    )
    allocation: Literal["latency", "global", "uniform"] = plan_field(
        "latency",
        "How widths are chosen: `latency` (least lost within the measured latency), `global` (by "
        "score alone) or `uniform` (the same share everywhere).",
        pages="[allocation.md](allocation.md)",
        group=CUTTING,
    )
    sparsity: ShareOrPattern = plan_field(
        "none",
        "Zeros among the weights that are left: a share such as 0.8, `2:4`, or `none`.",
        pages="[sparsity.md](sparsity.md)",
        group=CUTTING,
    )
    vocabulary: Literal["whole", "data"] = plan_field(
        "whole",
        "Of models of text: `whole` keeps every token, `data` those alone that training and "
        "validation have.",
        pages="[tasks.md](tasks.md#text-classification)",
        group=CUTTING,
    )
    teacher: Literal["previous", "original", "both"] = plan_field(
        "original",
        "Who teaches: `original`, `previous` (the last turn's student) or `both`.",
        pages="[allocation.md](allocation.md#turns-and-teachers)",
        group=DISTILLATION,
    )
    temperature: Positive = plan_field(
        4.0, "Softens the outputs of both nets in the distillation loss.", group=DISTILLATION
    )
    alpha: Annotated[float, Field(ge=0, le=1)] = plan_field(
        0.9, "Weight of the teacher against the labels, from 0 to 1.", group=DISTILLATION
    )
    batch_size: Annotated[int, Field(ge=2)] = plan_field(128, "Samples a step.", group=DISTILLATION)
    learning_rate: Positive | None = plan_field(
        None,
        "Highest rate of the schedule. If not given it follows from the number of steps and a "
        "short trial.",
        pages="[training.md](training.md#the-rate-finds-itself)",
        shown="found for each student",
        group=DISTILLATION,
    )
    optimizer: OptimizerName = plan_field(
        AUTO,
        "What changes the weights: `sgd`, `adamw`, `path/to/file.py:make`, or `auto` (`adamw` for "
        "networks with embeddings, recurrence, attention or layer norms, `sgd` for all others).",
        pages="[training.md](training.md#optimizer)",
        group=DISTILLATION,
    )
    schedule: Schedule = plan_field(
        "one-cycle",
        "Where the rate goes after it rose: to 0 in a line (`one-cycle`) or a `cosine`, or nowhere "
        "(`constant`).",
        pages="[training.md](training.md#optimizer)",
        group=DISTILLATION,
    )
    weight_decay: NotNegative | None = plan_field(
        None,
        "Of weights, not of norms and biases.",
        pages="[training.md](training.md#optimizer)",
        shown="0.0005 with sgd, 0.05 with adamw",
        group=DISTILLATION,
    )
    clip_norm: Positive | None = plan_field(
        None,
        "Scale gradients down to this L2 norm where theirs is above.",
        pages="[training.md](training.md#optimizer)",
        shown="no limit",
        group=DISTILLATION,
    )
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = plan_field(
        0.0,
        "Ship a running mean of the weights, which keeps this share of itself at each step, such "
        "as 0.99; 0: the weights of the last step.",
        pages="[training.md](training.md#optimizer)",
        group=DISTILLATION,
    )
    amp: Amp = plan_field(
        AUTO,
        "Precision of training: `off` (fp32), `bf16`, `fp16` (its loss is scaled), or `auto` (what "
        "the device multiplies natively).",
        pages="[training.md](training.md#precision-and-device)",
        group=DISTILLATION,
    )
    device: Name = plan_field(
        AUTO,
        "Where students are trained and scored: `cpu`, `cuda:1`, `mps`, or `auto` (CUDA or CPU).",
        pages="[training.md](training.md#precision-and-device)",
        group=DISTILLATION,
        counts=False,
    )
    devices: Devices | None = plan_field(
        None,
        "Train in so many processes here, each on a GPU of its own: a number, or `all` GPUs.",
        pages="[guides/several-gpus.md](guides/several-gpus.md)",
        shown="one process",
        group=DISTILLATION,
        counts=False,
    )
    accumulate: Annotated[int, Field(ge=1)] = plan_field(
        1,
        "In how many parts a batch goes through the student, to take less memory.",
        pages="[training.md](training.md#optimizer)",
        group=DISTILLATION,
    )
    freeze: Texts = plan_field(
        (),
        "Parameters that stay as the cut leaves them, such as `stem.*`: a list of patterns, or the "
        "flag once for each.",
        pages="[training.md](training.md#optimizer)",
        shown="none",
        group=DISTILLATION,
    )
    train: Name | None = plan_field(
        None,
        "One's own way to train: `path/to/file.py:name` of a `TrainingStep` or of a function.",
        pages="[training.md](training.md#a-training-of-ones-own)",
        shown="EdgeSpiral's",
        group=DISTILLATION,
    )
    augment: bool = plan_field(
        False,
        "Show students random views of the training samples, as their teacher had.",
        pages="[training.md](training.md#what-helps-a-cut-network)",
        group=DISTILLATION,
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = plan_field(
        0, "Of everything random.", group=DISTILLATION
    )
    device_samples: Annotated[int, Field(ge=0)] = plan_field(
        512,
        "Validation samples that what ships is run on, on its device; 0: none.",
        pages="[precision.md](precision.md#on-the-device)",
        counts=False,
    )
    explored: File | None = plan_field(
        None,
        "Start from a point that `edgespiral explore` left in this folder.",
        pages="[explore.md](explore.md)",
        group=CUTTING,
    )
    point: Annotated[int, Field(ge=1)] | None = plan_field(
        None, "With `explored`: which point.", pages="[explore.md](explore.md)", group=CUTTING
    )
    latency_cache: File | None = plan_field(
        None,
        "Folder of latencies that earlier runs measured.",
        pages="[allocation.md](allocation.md)",
        shown="~/.cache/edgespiral/latency",
        counts=False,
    )
    shared: File | None = plan_field(
        None,
        "Folder in which runs of one teacher share what they measure of it.",
        pages="[sweep.md](sweep.md)",
        counts=False,
    )
    out: File | None = plan_field(None, "Run folder.", shown="runs/MODEL-DATA-TARGET", counts=False)

    # Type checkers know the fields better than this signature does.
    if not TYPE_CHECKING:

        def __init__(self, **fields: object) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                problems = config_errors(error, Plan, lambda key: key or ", ".join(goals.BUDGETS))
                raise UsageError("; ".join(problems)) from error

        # Or validation would go by way of it, and `load_plan` not get at single problems.
        __init__.__pydantic_base_init__ = True

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, the leading one first."""
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def budgets(self) -> dict[str, dict[str, float]]:
        """The latency that each target is to reach, by its kind, in the targets' order."""
        return {target: self.budget_of(target) for target in self.targets}

    @property
    def is_quality_goal(self) -> bool:
        """Whether there is no budget, so that what may be lost is the goal."""
        return all(getattr(self, kind) is None for kind in goals.KINDS)

    def budget_of(self, target: str) -> dict[str, float]:
        """The latency that `target` is to reach, by its kind; empty where none is asked for."""
        return goals.latency_of(target, self._latencies)

    @property
    def _latencies(self) -> dict[str, float | dict[str, float] | None]:
        return {kind: getattr(self, kind) for kind in goals.BUDGETS}

    @property
    def is_for_speed(self) -> bool:
        """Whether a latency is to be reached, or the fastest model to be found."""
        return any(self._latencies.values()) or (self.is_quality_goal and not self.smallest)

    @field_validator("smallest")
    @classmethod
    def _without_budget(cls, value: bool, info: ValidationInfo) -> bool:
        given = [kind for kind in goals.KINDS if info.data.get(kind) is not None]
        if value and given:
            raise ValueError(f"goes with max_drop alone, not with {given[0]}")
        return value

    @model_validator(mode="after")
    def _goals(self) -> Self:
        has_other = not self.is_quality_goal or "max_drop" in self.model_fields_set
        goals.check_point(self.explored, self.point, self.turns)
        goals.check_latencies(self.targets, self._latencies, has_other_goal=has_other)
        return self
