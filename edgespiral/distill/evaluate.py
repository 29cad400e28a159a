"""The score of a model on a split."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch

from edgespiral.core.errors import ModelError
from edgespiral.core.nested import count, leaves, shapes
from edgespiral.core.records.parts import by_parts
from edgespiral.core.user_code import user_code
from edgespiral.distill import compute
from edgespiral.distill.fuse import for_inference
from edgespiral.distill.parallel.answers import in_order
from edgespiral.distill.parallel.world import present
from edgespiral.models.calling import call
from edgespiral.models.modes import evaluating
from edgespiral.tasks.base import BATCH_SIZE, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from edgespiral.core.batches import BatchSource
    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.parts import Part
    from edgespiral.distill.settings import Precision
    from edgespiral.tasks.base import Predict, Scored


def score(
    model: nn.Module,
    source: BatchSource,
    *,
    task: Task,
    batch_size: int = BATCH_SIZE,
    precision: Precision = "auto",
) -> float:
    """What `task` scores over one whole pass in stored order, in its metric's unit.

    In a run of several processes each has its share of the batches, where the task scores as tasks
    do; the figure is reckoned of all answers in order, and so the same as of one process.
    Runs in eval mode on the best device; the model's mode and place are put back.

    Raises:
        ModelError: it fails, or its outputs are not finite: no decision can be read of them.
        DataError: as `source` raises.
    """
    with _predicting_numbers(model, precision, task, source, batch_size) as predict:
        return task.score(predict, source, batch_size=batch_size)


def scored(
    model: nn.Module,
    source: BatchSource,
    *,
    task: Task,
    precision: Precision = "auto",
) -> Scored:
    """What `score` returns, and the figures that `task` reports beside it, of one pass.

    Raises:
        As `score`.
    """
    with _predicting_numbers(model, precision, task, source) as predict:
        return task.scored(predict, source)


@contextmanager
def _predicting_numbers(
    model: nn.Module,
    precision: Precision,
    task: Task,
    source: BatchSource,
    batch_size: int = BATCH_SIZE,
) -> Iterator[Predict]:
    """`predicting`, of a model's parts too, but an error at the end if an output was no number."""
    # Asked once, so that no batch waits for the one before.
    is_finite = torch.tensor(True)

    def watching(predict: Predict) -> Predict:
        def watched(inputs: Tensors) -> Tensors:
            nonlocal is_finite
            outputs = predict(inputs)
            for leaf in leaves(outputs).values():
                is_finite = is_finite.to(leaf.device) & leaf.isfinite().all()
            return outputs

        return watched

    taken_apart = _parts(model, task, source)
    with ExitStack() as opened:
        predict = _shared(model, precision, task, source, batch_size=batch_size, opened=opened)
        if predict is None:
            predict = opened.enter_context(predicting(model, precision=precision))
        parts = {
            part.name: watching(opened.enter_context(predicting(part.module, precision=precision)))
            for part in taken_apart
        }
        yield by_parts(watching(predict), parts)
    if not bool(is_finite):
        raise ModelError(
            "the model's outputs are NaN or infinite for some samples that it is scored on",
            hint="check its weights, and the scale of the inputs",
        )


def _shared(
    model: nn.Module,
    precision: Precision,
    task: Task,
    source: BatchSource,
    *,
    batch_size: int,
    opened: ExitStack,
) -> Predict | None:
    """Says what all processes together say, in the order of a pass; None: ask the model.

    A task that goes through the data in its own way may ask in another order.
    """
    if not task.asks_in_order:
        return None
    batches = in_order(present(), model, source, batch_size=batch_size, precision=precision)
    if batches is None:
        return None
    opened.push(partial(_take_the_rest, batches))
    return lambda _inputs: next(batches)


def _take_the_rest(
    batches: Iterator[Tensors], kind: type[BaseException] | None, *_: object
) -> None:
    """Have no process wait for its answers to be taken, unless all are about to end."""
    if kind is None or issubclass(kind, Exception):
        for _batch in batches:
            pass


def _parts(model: nn.Module, task: Task, source: BatchSource) -> tuple[Part, ...]:
    if not task.part_names:
        return ()
    inputs, _ = next(iter(source.epoch(batch_size=1)))
    home = next((value.device for value in model.parameters()), torch.device("cpu"))
    with torch.no_grad(), evaluating(model):
        return task.parts(model, compute.inputs_to(inputs, home))


@contextmanager
def predicting(model: nn.Module, *, precision: Precision = "auto") -> Iterator[Predict]:
    """What `model` says of a batch, in eval mode on the best device, while in the context.

    Its outputs stay on that device. The model's mode and place are put back.
    """
    device = compute.best_device()
    resolved = compute.resolved_precision(precision, device)
    with evaluating(model):
        network = for_inference(model)

        def predict(inputs: Tensors) -> Tensors:
            failed = f"the model fails on {count(inputs)} samples of {shapes(inputs)}"
            with user_code(ModelError, failed, where=type(model).__name__):
                return call(network, compute.inputs_to(inputs, device))

        with (
            compute.placed([network], device),
            torch.inference_mode(),
            compute.autocast(resolved, device),
        ):
            yield predict
