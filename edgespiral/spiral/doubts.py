"""What speaks against a run's figures before anything is cut: each a line that is said once.

A teacher that was trained on the validation split has no score there to lose, so `max_drop` of
it means nothing; one at chance has nothing to hand on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgespiral.core.nested import joined, mapped
from edgespiral.data.stratified import parts_of
from edgespiral.distill.evaluate import predicting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import nn

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.tasks.base import Predict, Task

# At most as many of each split, in parts from all over it: data sets lie sorted by class.
SAMPLES = 1000
PARTS = 40
# Below it a teacher errs often enough on what it knows that it may well err no more on the rest.
NEAR_PERFECT_PERCENT = 99.0
# How sure it is to be that losses on validation are larger, to take the split for unseen.
LEVEL = 0.05
SHUFFLES = 1000
# Standard deviations above what guessing gets right, and of two splits' scores apart.
SIGMAS, SIGMAS_APART = 2.0, 3.0
UNSEEN = "give it a validation split that it was not trained on"


@dataclass(frozen=True)
class Answers:
    """What a model says of some samples: losses, how right it is (0 to 1), and the targets."""

    losses: NDArray[np.float64]
    right: NDArray[np.float64]
    targets: Tensors

    @property
    def percent(self) -> float:
        """How right it is in the mean."""
        return 100.0 * float(self.right.mean())


def doubts_about(model: nn.Module, splits: DataSplits, task: Task, score: float) -> tuple[str, ...]:
    """What speaks against `model` as a teacher on this data, each in one line; mostly nothing.

    Asks about samples as they are stored, of the training split only where validation gives reason
    to, and of none where its score says that it is neither near perfect nor at chance. The test
    split is not looked at.

    Args:
        score: of the model, on validation.
    """
    if task.scores_rightness and _is_ordinary(score, splits.validation, task):
        return ()
    with predicting(model, precision="fp32") as predict:
        validation = _answers(predict, splits.validation, task)
        doubt = _at_chance(validation, task)
        if doubt is None and validation.percent >= NEAR_PERFECT_PERCENT:
            doubt = _has_seen(_answers(predict, splits.train, task), validation)
    return (doubt,) if doubt else ()


def _is_ordinary(percent: float, validation: BatchSource, task: Task) -> bool:
    """Whether a share that is right leaves nothing to ask."""
    targets = joined([part for _, part in _parts(validation)])
    share = task.chance(targets)
    if share is None or percent >= NEAR_PERFECT_PERCENT:
        return False
    return percent / 100 > _explained_by_chance(share, targets, task)


def _explained_by_chance(share: float, targets: Tensors, task: Task) -> float:
    """The largest share of right answers that chance, which gives `share`, would explain."""
    return share + SIGMAS * math.sqrt(share * (1 - share) / task.decisions(targets))


def _at_chance(validation: Answers, task: Task) -> str | None:
    count, share = len(validation.right), task.chance(validation.targets)
    if share is None:
        return None
    bound = count * _explained_by_chance(share, validation.targets, task)
    if validation.right.sum() > bound or validation.right.min() == 1:
        return None
    return (
        f"the teacher is right on {validation.percent:.1f} % of {_counted(task, count)}, always "
        f"giving the commonest answer would be on {100 * share:.1f} %: was it trained too little? "
        "If not, look for another normalisation, other weights or another order of the targets "
        "than it was trained with"
    )


def _counted(task: Task, count: int) -> str:
    samples = f"{count} validation samples"
    return samples if task.counted == "samples" else f"the {task.counted} of {samples}"


def _has_seen(train: Answers, validation: Answers) -> str | None:
    """Samples that were trained on have smaller losses than others, however well all are told."""
    if _share_as_far_apart(validation.losses, train.losses) < LEVEL:
        return None
    return (
        f"the teacher is as sure of validation samples ({validation.percent:.1f} % right of "
        f"{len(validation.right)}) as of training samples ({train.percent:.1f} % of "
        f"{len(train.right)}), as if it had been trained on both: --max-drop then means nothing; "
        f"{UNSEEN}"
    )


def _share_as_far_apart(larger: NDArray[np.float64], smaller: NDArray[np.float64]) -> float:
    """Of random splits of all values into two such parts, how many have means as far apart.

    Of means and not of ranks: what tells the two apart is a few samples of large loss.
    """
    values = np.concatenate([larger, smaller])
    generator, least = np.random.default_rng(0), larger.mean()
    # With the sum of all fixed, the mean of one part says how far apart the two are.
    means = [generator.permutation(values)[: len(larger)].mean() for _ in range(SHUFFLES)]
    return (1 + int(np.sum(np.asarray(means) >= least))) / (1 + SHUFFLES)


def doubts_after(
    on_validation: float, on_test: float, splits: DataSplits, task: Task
) -> tuple[str, ...]:
    """What the teacher's score on the test split says of that on validation.

    Args:
        on_validation, on_test: scores on validation and test.
        splits: the data.
        task: which says what chance does to its scores, if it knows.
    """
    metric, parts = task.metric, (splits.validation, splits.test)
    sizes = [len(part) for part in parts]
    # As if both had the same score: the error of a perfect one would be 0.
    both = (on_validation * sizes[0] + on_test * sizes[1]) / sum(sizes)
    errors = [task.standard_error(both, part) for part in parts]
    apart = metric.lost(on_validation, on_test)
    if None in errors or apart <= SIGMAS_APART * math.hypot(*filter(None, errors)):
        return ()
    return (
        f"the teacher has {metric.text(on_validation)} on validation and {metric.text(on_test)} "
        f"on test: if it was trained on the validation split, --max-drop meant nothing; {UNSEEN}",
    )


def _answers(predict: Predict, source: BatchSource, task: Task) -> Answers:
    losses, right, targets = [], [], []
    for inputs, expected in _parts(source):
        outputs = mapped(torch.Tensor.cpu, predict(inputs))
        losses.append(task.sample_losses(outputs, expected).double())
        right.append(task.rightness(outputs, expected).double())
        targets.append(expected)
    return Answers(torch.cat(losses).numpy(), torch.cat(right).numpy(), joined(targets))


def _parts(source: BatchSource) -> Iterator[tuple[Tensors, Tensors]]:
    """Inputs and targets of some samples, in batches from all over a split."""
    for part in parts_of(source, SAMPLES, parts=PARTS):
        inputs, targets = (joined(side) for side in zip(*part, strict=True))
        yield inputs, targets
