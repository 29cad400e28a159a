"""A teacher from a model and a data set, in a folder of its own: what `edgespiral train` does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

import torch
from pydantic import Field, ValidationError, model_validator
from safetensors.torch import save
from torch import nn

from edgespiral import data, models
from edgespiral.core.config import config_errors
from edgespiral.core.errors import DataError, RunFolderError
from edgespiral.core.records.metric import Figure, Metric
from edgespiral.core.records.schema import Record, Score
from edgespiral.core.records.schema_1 import upgraded_training
from edgespiral.core.records.soundness.figures import require_scores
from edgespiral.core.seeds import derived_seed
from edgespiral.core.system.files import (
    make_folder,
    parse_json,
    read_text,
    replacing,
    sha256_file,
    write_text,
)
from edgespiral.core.system.lock import locked
from edgespiral.core.system.versions import versions
from edgespiral.data.accompanying import check_beside, write_beside
from edgespiral.data.guard import watched
from edgespiral.distill.compute import on_device
from edgespiral.distill.evaluate import score, scored
from edgespiral.distill.optimizers import (
    default_optimizer,
    named_optimizer,
    rate_from_scratch,
)
from edgespiral.distill.settings import (
    AUTO,
    Resolved,
    TrainingOptions,
    TrainSettings,
    check_optimizer,
    defaults_of,
    few_samples,
    fitting_batch,
    precision_of,
    steps_of,
    usual_batch,
)
from edgespiral.distill.trainer import Objective, train
from edgespiral.models.accept import unwrapped
from edgespiral.models.independence import check_answers
from edgespiral.models.load import begin_from, read_state
from edgespiral.models.saved import weights_sha256
from edgespiral.tasks import DEFAULT, resolved
from edgespiral.tasks.base import coarse_validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgespiral.core.batches import DataSplits
    from edgespiral.distill.settings import Progress, TrainReport
    from edgespiral.tasks.base import Task

WEIGHTS, RECORD, PLAN, CHECKPOINT = (
    "weights.safetensors",
    "train.json",
    "plan.json",
    "checkpoint.pt",
)
PASSES, LEAST_STEPS = 8.0, 400
# Of the rate of random weights, where a training begins from others; never compared with others.
FINE_TUNING_SHARE = 0.1


class TrainedTeacher(Record):
    """`train.json`: a finished training. Scores are of `metric`, in its unit.

    `test_beside` is what else the task reports of the test split. `begun_from_sha256` is of the
    model as it began from a file of weights; None where these were random.
    """

    schema_version: Literal[2] = 2
    model: str
    data: str
    settings: dict[str, object]
    steps: int = Field(ge=0)
    seconds: float = Field(ge=0)
    train_loss: float
    precision: Resolved
    begun_from_sha256: str | None = None
    metric: Metric
    validation_score: Score
    test_score: Score
    test_beside: tuple[Figure, ...] = ()
    weights_sha256: str
    versions: dict[str, str]

    @model_validator(mode="after")
    def _scores_can_be(self) -> Self:
        require_scores(self, self.metric)
        return self


@dataclass(frozen=True)
class TeacherOptions:
    """What may be asked of a teacher's training; None takes the default.

    Attributes:
        epochs: passes; 8 by default, on small sets as many as 400 steps take.
        batch_size: 128 by default, 32 on sets of fewer than 10,000 samples, and fewer where these
            do not fill four.
        learning_rate: 0.2 by default, 0.02 for a model without batch norm or recurrent layers,
            and 0.002 with adamw, 0.01 for recurrent networks, less for those wider than 96; a
            tenth of that where it begins from weights, and less in proportion where samples are too
            few for the usual batch.
        seed: of weights, order and augmentation; not of the splits.
        others: see `TrainingOptions`.
    """

    epochs: float | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    others: TrainingOptions = field(default_factory=TrainingOptions)


def train_teacher(
    model_spec: str,
    data_spec: str,
    options: TeacherOptions = TeacherOptions(),
    *,
    out: Path,
    weights: Path | None = None,
    resume: bool = False,
    task: Task | str = DEFAULT,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> TrainedTeacher:
    """Train `model_spec` on `data_spec` into `out`: `weights.safetensors` and `train.json`.

    Args:
        model_spec: see `zoo.load_model`.
        data_spec: see `data.load`.
        options: of the training.
        out: a folder that is empty or not there, or, with `resume`, one of this same training.
        weights: what it begins from, as `models.load.begin_from`; random weights if not given.
        resume: go on where an earlier call stopped, or return its result if it had finished.
        task: what the model is for.
        progress: see `trainer.train`.
        say: told what a person should know of the data before time is spent on it.

    Raises:
        EdgeSpiralError: as `zoo.load_model`, `data.load`, `data.check` and `trainer.train` do.
        RunFolderError: `out` holds anything else, or another process is at work in it.
    """
    aim, splits = resolved(task).fitted(data.load(data_spec))
    if not splits.is_labelled:
        raise DataError("has no targets, which a teacher is trained on", where=data_spec)
    splits = watched(splits, aim.target_problem)
    model = unwrapped(_first_model(model_spec, splits, weights, options.seed, say))
    rate_share = 1.0 if weights is None else FINE_TUNING_SHARE
    settings = settings_of(options, model, len(splits.train), rate_share=rate_share)
    begun_from = None if weights is None else weights_sha256(model)
    aim.check_data(splits)
    data.check(splits, settings.batch_size)
    for note in splits.notes:
        say(note)
    if options.others.get("optimizer", AUTO) == AUTO:
        chosen = default_optimizer(model)
        say(f"trained by {chosen.name}: {chosen.reason}")
    model, aim = aim.prepared(model, splits)
    model = models.one_output(model, splits, aim.main_output)
    check_answers(model, splits, aim.check_outputs)
    with locked(make_folder(out)):
        plan = _plan(model_spec, data_spec, settings, task, begun_from)
        finished = _claim(out, plan, resume=resume)
        if finished is not None:
            return finished
        for line in _course(settings, splits, aim, is_asked=options.batch_size is not None):
            say(line)
        with on_device(options.others.get("device", AUTO)):
            report = train(
                model,
                splits,
                settings,
                Objective(aim),
                checkpoint=out / CHECKPOINT,
                progress=progress,
            )
            facts = _facts(model_spec, data_spec, settings, report)
            facts["begun_from_sha256"] = begun_from
            return _write(out, model, splits, aim, facts)


def settings_of(
    options: TeacherOptions, model: nn.Module, samples: int, *, rate_share: float = 1.0
) -> TrainSettings:
    """Settings for a teacher trained on `samples` samples.

    Args:
        options: what is asked for.
        model: the teacher.
        samples: how many there are to train on.
        rate_share: of the default rate.

    Raises:
        UsageError: one is out of range.
    """
    named = options.others
    if options.batch_size is None:
        accumulate = named.get("accumulate", 1)
        batch = fitting_batch(samples, accumulate=accumulate)
        # Goyal et al. 2017, section 2.1: the rate in proportion to the batch.
        rate_share *= batch / usual_batch(samples, accumulate=accumulate)
    else:
        batch = options.batch_size
    steps_per_pass = max(1, samples // max(batch, 1))
    optimizer = named_optimizer(check_optimizer(named.get("optimizer", AUTO)), model).name
    usual = defaults_of(optimizer)
    epochs, rate = options.epochs, options.learning_rate
    return TrainSettings(
        epochs=max(PASSES, LEAST_STEPS / steps_per_pass) if epochs is None else epochs,
        batch_size=batch,
        learning_rate=rate_share * rate_from_scratch(optimizer, model) if rate is None else rate,
        optimizer=optimizer,
        weight_decay=named.get("weight_decay", usual.weight_decay),
        schedule=named.get("schedule", "one-cycle"),
        clip_norm=named.get("clip_norm"),
        ema_decay=named.get("ema_decay", 0.0),
        precision=precision_of(named.get("amp", "auto")),
        accumulate=named.get("accumulate", 1),
        seed=options.seed,
    )


def _course(
    settings: TrainSettings, splits: DataSplits, task: Task, *, is_asked: bool
) -> Iterator[str]:
    """How long the training is, and what of its size a person should know before it begins.

    Args:
        is_asked: whether the size of a batch was.
    """
    samples, batch = len(splits.train), settings.batch_size
    few = None if is_asked else few_samples(samples, batch, accumulate=settings.accumulate)
    if few:
        yield few
    steps = steps_of(settings, samples)
    yield (
        f"{steps} steps of {batch} samples: {settings.epochs:.3g} times the {samples} to train on, "
        f"at a rate of at most {settings.learning_rate:.3g}"
    )
    coarse = coarse_validation(task, len(splits.validation))
    if coarse:
        yield f"warning: {coarse}"


def _first_model(
    spec: str, splits: DataSplits, weights: Path | None, seed: int, say: Callable[[str], None]
) -> nn.Module:
    """The model as its training begins."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed))
        model = models.load_model_for(splits, spec)
    if weights is not None:
        check_beside(splits.files, weights)
        begin_from(model, read_state(weights, say), where=str(weights), say=say)
    return model


def _plan(
    model_spec: str,
    data_spec: str,
    settings: TrainSettings,
    task: Task | str,
    begun_from: str | None,
) -> dict[str, object]:
    name = task if isinstance(task, str) else type(task).__name__
    # Folders from before there were tasks go on.
    own = {} if name == DEFAULT else {"task": name}
    own |= {} if begun_from is None else {"begun_from_sha256": begun_from}
    return {"model": model_spec, "data": data_spec, **own, **settings.identity}


def _claim(out: Path, plan: dict[str, object], *, resume: bool) -> TrainedTeacher | None:
    """Make `out` this plan's folder; the record of a training that had finished, if any."""
    if not any(path for path in out.iterdir() if not path.name.startswith(".")):
        write_text(out / PLAN, json.dumps(plan, indent=2) + "\n")
        return None
    differing = _differences(out, plan)
    if differing:
        raise RunFolderError(
            f"the folder holds another training: {differing}",
            where=str(out),
            hint="choose another --out",
        )
    if not resume:
        raise RunFolderError(
            "the folder holds this training already",
            where=str(out),
            hint="go on with --resume, or choose another --out",
        )
    return _finished(out) if (out / RECORD).exists() else None


def _finished(out: Path) -> TrainedTeacher:
    """The record of the training in `out`, whose scores are of the weights beside it."""
    record, weights = _read(out / RECORD), out / WEIGHTS
    if not weights.is_file() or sha256_file(weights) != record.weights_sha256:
        raise RunFolderError(
            f"is not the file that {RECORD} is about",
            where=str(weights),
            hint="put it back, or train anew with another --out",
        )
    return record


def _differences(out: Path, plan: dict[str, object]) -> str:
    try:
        before = parse_json(read_text(out / PLAN))
    except (OSError, ValueError):
        before = None
    if not isinstance(before, dict):
        return f"it has no readable {PLAN}"
    keys = [key for key in {**plan, **before} if plan.get(key) != before.get(key)]
    return ", ".join(f"{key} {before.get(key)} there, {plan.get(key)} here" for key in keys)


def _read(path: Path) -> TrainedTeacher:
    try:
        return TrainedTeacher.model_validate(upgraded_training(parse_json(read_text(path))))
    except ValidationError as error:
        problem, *_ = config_errors(error, TrainedTeacher, lambda key: key or "scores")
        what = f"the record of the training is damaged: {problem}"
        raise RunFolderError(what, where=str(path)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError("the record of the training is damaged", where=str(path)) from error


def _facts(
    model_spec: str, data_spec: str, settings: TrainSettings, report: TrainReport
) -> dict[str, object]:
    return {
        "model": model_spec,
        "data": data_spec,
        "settings": settings.identity,
        "steps": report.steps,
        "seconds": report.seconds,
        "train_loss": report.train_loss,
        "precision": report.precision,
    }


def _write(
    out: Path, model: nn.Module, splits: DataSplits, task: Task, facts: dict[str, object]
) -> TrainedTeacher:
    with replacing(out / WEIGHTS) as temporary:
        # Clones, since safetensors refuses tensors that share memory, as tied weights do.
        order = torch.contiguous_format
        state = {key: value.clone(memory_format=order) for key, value in model.state_dict().items()}
        temporary.write_bytes(save(state))
    test_score, beside = scored(model, splits.test, task=task, precision="fp32")
    record = TrainedTeacher.model_validate(
        {
            **facts,
            "metric": task.metric,
            # In float32, as compress and ONNX files score them, whatever it was trained in.
            "validation_score": score(model, splits.validation, task=task, precision="fp32"),
            "test_score": test_score,
            "test_beside": beside,
            "weights_sha256": sha256_file(out / WEIGHTS),
            "versions": versions(),
        }
    )
    write_beside(splits.files, out)
    write_text(out / RECORD, record.model_dump_json(indent=2) + "\n")
    (out / CHECKPOINT).unlink(missing_ok=True)
    return record
