"""From answers to files: what there is is looked at, what is missing gets a stub."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.cli.verbs.init.data import TRIED_TASKS, spec_of, task_of
from edgespiral.cli.verbs.init.model import Form, facts_of, form_of, layers_of
from edgespiral.cli.verbs.init.stubs import (
    DATA_STUB,
    LOAD,
    MAKE,
    MODEL_STUB,
    WEIGHTS,
    data_text,
    model_text,
)
from edgespiral.cli.verbs.init.target import device_of
from edgespiral.cli.verbs.init.writing import plan_text, write_all
from edgespiral.core.errors import EdgeSpiralError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from edgespiral.cli.terminal import Terminal
    from edgespiral.cli.verbs.init.answers import Answers
    from edgespiral.core.batches import DataSplits
    from edgespiral.spiral.plan import Plan
    from edgespiral.tasks.base import Task

PLAN = Path("plan.toml")
TRAINED = Path("runs") / "teacher"
DRY_RUN = f"edgespiral compress --config {PLAN} --dry-run"


@dataclass(frozen=True)
class Subject:
    """What is to be compressed, as far as it is there.

    Attributes:
        model: as a plan has it.
        weights: of it, or where they are to lie.
        module: it, where it is no stub.
        spec: of the data, as a plan has it.
        splits: the data, where it is no stub.
        texts: of the stubs, by path.
        steps: what a person is to do before a run, a line each.
    """

    model: str
    weights: str | None
    module: nn.Module | None
    spec: str
    splits: DataSplits | None
    form: Form | None
    texts: dict[Path, str]
    steps: list[str]


def begin(answers: Answers, console: Terminal) -> list[str]:
    """Look at what was named, then write plan, profile and stubs; what comes next, a line each.

    Raises:
        UsageError: something needed is not said, or a file is there already.
        ModelError, DataError, TargetError: what was named cannot be used.
    """
    device = device_of(answers)
    stubs = [MODEL_STUB] * _is_stub_of_model(answers) + [DATA_STUB] * (answers.text("data") is None)
    device.require_new([PLAN, *map(Path, stubs)])
    profiles = device.texts()  # a device that cannot be reached is told before data are read
    subject = _subject(answers)
    task_name, task = _task(answers, subject)
    fields = {name: value for name, value in answers.fields.items() if value is not None}
    fields |= {"model": subject.model, "data": subject.spec, "task": task_name}
    fields |= {"target": list(device.names)} | (
        {"weights": subject.weights} if subject.weights else {}
    )
    plan = _plan(fields, task)
    for line in _facts(plan, subject, task):
        console.print(line, soft_wrap=True)
    texts = subject.texts | profiles | {PLAN: plan_text(plan)}
    write_all(texts)
    written = f"written: {', '.join(map(str, texts))}"
    return [written, *(f"then: {step}" for step in subject.steps), f"next: {DRY_RUN}"]


def _is_stub_of_model(answers: Answers) -> bool:
    from edgespiral.models.catalog import WEIGHT_FILES

    model = answers.text("model")
    return model is None or Path(model).suffix.lower() in WEIGHT_FILES


def _subject(answers: Answers) -> Subject:
    data = answers.text("data")
    spec, splits = (LOAD, None) if data is None else _data(data)
    if _is_stub_of_model(answers):
        return _with_model_stub(answers, spec, splits)
    from edgespiral.teacher import WEIGHTS as TRAINED_WEIGHTS

    model, weights = str(answers.text("model")), answers.text("weights")
    module = _module(answers, model, splits)
    steps, texts, form = [], {}, None
    if splits is None:
        form = form_of(module, answers.shape, model)
        texts[Path(DATA_STUB)] = data_text(form)
        steps.append(f"put your samples into {DATA_STUB}, whose own are made up")
    if weights is None and _is_by_name(model):
        weights = str(TRAINED / TRAINED_WEIGHTS)
        task = answers.text("task") or task_of(spec)
        words = ["edgespiral", "train", model, "--data", spec]
        words += [*(["--task", task] if task else []), "--out", str(TRAINED)]
        steps.append(f"train it: {shlex.join(words)} (or name its weights in {PLAN})")
    return Subject(model, weights, module, spec, splits, form, texts, steps)


def _with_model_stub(answers: Answers, spec: str, splits: DataSplits | None) -> Subject:
    named, weights = answers.text("model"), answers.text("weights") or WEIGHTS
    about = f"Its trained weights, model.state_dict(), are to be in {weights}."
    if named is not None:
        weights = named
        about = f"The weights in {named} go {layers_of(Path(named))}."
    form = facts_of(splits) if splits is not None else _stated(answers)
    if form is None:
        raise UsageError(
            "a stub is written for one input of numbers and for classes alone",
            where="MODEL",
            hint="name a model: a zoo name (docs/training.md) or net.py:make",
        )
    texts = {Path(MODEL_STUB): model_text(form, about)}
    steps = [f"put your network into {MODEL_STUB}"]
    if splits is None:
        texts[Path(DATA_STUB)] = data_text(form)
        steps.append(f"put your samples into {DATA_STUB}, whose own are made up")
    if not Path(weights).exists():
        steps.append(f"save its trained weights, model.state_dict(), to {weights}")
    return Subject(MAKE, weights, None, spec, splits, form, texts, steps)


def _stated(answers: Answers) -> Form:
    if answers.shape is None or answers.classes is None:
        raise UsageError(
            "what inputs and classes there are is not said",
            where="--data",
            hint="name the data or the model, or give --input-shape 3x64x64 and --classes 10",
        )
    return Form(answers.shape, (answers.classes,))


def _data(source: str) -> tuple[str, DataSplits]:
    from edgespiral.data import load

    spec = spec_of(source)
    return spec, load(spec)


def _is_by_name(model: str) -> bool:
    from edgespiral.models import is_built_untrained

    return is_built_untrained(model)


def _module(answers: Answers, model: str, splits: DataSplits | None) -> nn.Module:
    from edgespiral.core.factory import is_factory
    from edgespiral.models import load_model, load_model_for
    from edgespiral.models.catalog import require_known

    weights = answers.fields.get("weights")
    path = weights if isinstance(weights, Path) else None
    if splits is not None:
        return load_model_for(splits, model, weights=path)
    if is_factory(model):
        return load_model(model, weights=path, classes=0, input_shape=())
    require_known(model)
    form = _stated(answers)
    return load_model(model, weights=path, classes=form.classes, input_shape=form.inputs)


def _task(answers: Answers, subject: Subject) -> tuple[str, Task]:
    from edgespiral import tasks
    from edgespiral.tasks import DEFAULT

    named = answers.text("task") or task_of(subject.spec)
    if named is None and subject.form is not None and len(subject.form.outputs) > 1:
        named = "segmentation"
    if named is not None or subject.splits is None:
        name = named or DEFAULT
        return name, tasks.load(name)
    refusals: list[EdgeSpiralError] = []
    for name in TRIED_TASKS:
        try:
            task, splits = tasks.load(name).fitted(subject.splits)
            if splits.is_labelled:
                task.check_data(splits)
        except EdgeSpiralError as error:
            refusals.append(error)
            continue
        return name, tasks.load(name)
    raise refusals[0]


def _plan(fields: dict[str, object], task: Task) -> Plan:
    from edgespiral.spiral.plan import load_plan
    from edgespiral.spiral.starting.fitting import require_drop

    plan = load_plan(None, fields)
    require_drop(task.metric, plan.model_fields_set)
    return plan


def _facts(plan: Plan, subject: Subject, task: Task) -> list[str]:
    """What was seen of data and model, a line each."""
    from edgespiral.core.listener import Silent
    from edgespiral.core.nested import shapes
    from edgespiral.models.example_inputs import example_of
    from edgespiral.spiral.inspecting import share_lines
    from edgespiral.spiral.starting.fitting import fitted, traced_teacher

    lines, splits = [], subject.splits
    if splits is not None:
        counts = " / ".join(
            str(len(part)) for part in (splits.train, splits.validation, splits.test)
        )
        inputs = shapes(example_of(splits))
        lines.append(f"data: {subject.spec}, {counts} samples of {inputs}, for {plan.task}")
        lines += [f"  {note}" for note in splits.notes]
    if subject.module is not None:
        count = sum(parameter.numel() for parameter in subject.module.parameters())
        lines.append(f"model: {subject.model}, {count:,} parameters")
    if subject.module is not None and splits is not None:
        model, splits, _ = fitted(plan, subject.module, splits, task, Silent())
        lines += share_lines(traced_teacher(model, splits, Silent()))
    elif subject.form is not None:
        sizes = ["x".join(map(str, part)) for part in (subject.form.inputs, subject.form.outputs)]
        lines.append(f"stubs: from {sizes[0]} to {sizes[1]} numbers a sample")
    return lines
