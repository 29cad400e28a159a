"""Single-label classification: logits (N, C), one class a sample, top-1 accuracy in percent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from edgespiral.core.errors import ModelError
from edgespiral.core.records.metric import Metric
from edgespiral.core.stages.graph import Postprocessing
from edgespiral.tasks.base import Task, share_error
from edgespiral.tasks.shared.checks import described, require_target_shape

if TYPE_CHECKING:
    from torch import Tensor

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.core.stages.graph import StageGraph
    from edgespiral.tasks.base import Pairs


OF_SEVERAL = "give the task of all of them, as --task my_task.py:Mine (docs/guides/own-task.md)"
MACRO_F1 = Metric(name="macro F1")


class Classification(Task):
    """One class a sample: outputs are logits (N, C), targets labels (N,), int64."""

    metric = Metric(name="accuracy")
    # As Hugging Face's models call it, beside other outputs.
    main_output = output_name = "logits"
    beside: tuple[Metric, ...] = (MACRO_F1,)

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy, in nats."""
        return F.cross_entropy(outputs.float(), targets, label_smoothing=label_smoothing)

    def sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each sample, in nats."""
        return F.cross_entropy(outputs.float(), targets, reduction="none")

    def distance(self, student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """See `kl_distance`."""
        return kl_distance(student, teachers, temperature)

    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Kullback-Leibler divergence of each sample's softmax from the reference's, in nats."""
        log_outputs, log_reference = outputs.log_softmax(1), reference.log_softmax(1)
        return F.kl_div(log_outputs, log_reference, log_target=True, reduction="none").sum(1)

    def agreement(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """1 where both name the same class, else 0."""
        return (outputs.argmax(1) == reference.argmax(1)).float()

    def rightness(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """1 where the label has the largest logit, else 0."""
        return (outputs.argmax(1) == targets).float()

    @property
    def scores_rightness(self) -> bool:
        """Whether it is scored by accuracy; a task that derives from it may have another metric."""
        return self.metric == Classification.metric

    def targets_of(self, outputs: Tensor) -> Tensor:
        """The class that the teacher names."""
        return outputs.argmax(1)

    def chance(self, targets: Tensor) -> float:
        """The share of the commonest class."""
        return int(targets.bincount().max()) / len(targets)

    def score_of(self, pairs: Pairs) -> float:
        """Top-1 accuracy, in percent."""
        correct: Tensor | int = 0
        samples = 0
        for logits, labels in pairs:
            # Counted where the logits are, so that no batch waits for the one before.
            correct = correct + correct_count(logits, labels.to(logits.device))
            samples += len(labels)
        return 100.0 * int(correct) / samples

    def scores_beside(self, pairs: Pairs) -> tuple[float, ...]:
        """The mean over classes of F1, in percent, however rare a class is."""
        from sklearn.metrics import f1_score

        decided = [(logits.argmax(1).cpu(), labels.cpu()) for logits, labels in pairs]
        named, labels = (torch.cat(parts).numpy() for parts in zip(*decided, strict=True))
        return (100.0 * float(f1_score(labels, named, average="macro", zero_division=0.0)),)

    def texts(
        self, answers: Tensor, targets: Tensor, splits: DataSplits
    ) -> list[tuple[str, str]] | None:
        """The names of each sample's class, and of that which is said.

        None for outputs of a task that derives from this one, and are not a logit a class.
        """
        names = splits.class_names
        if not isinstance(answers, torch.Tensor) or answers.shape[1:] != (len(names),):
            return None
        pairs = zip(targets.tolist(), answers.argmax(1).tolist(), strict=True)
        return [(names[meant], names[answer]) for meant, answer in pairs]

    def postprocessing(self) -> Postprocessing:
        """The likeliest class, and its probability."""
        return Postprocessing("softmax and arg-max", _likeliest, _add_likeliest)

    def standard_error(self, score: float, source: BatchSource) -> float:
        """That of a share of the samples, in points."""
        return share_error(score, len(source))

    def check_data(self, splits: DataSplits) -> None:
        """One class a sample.

        Raises:
            DataError: targets are masks or the like.
        """
        hint = "name what the data is for, as --task segmentation, regression or multilabel"
        require_target_shape(splits, 0, "one class a sample", hint)

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:
        """Finite logits (samples, classes).

        Raises:
            ModelError: anything else.
        """
        expected = (samples, len(splits.class_names))
        if not isinstance(outputs, torch.Tensor):
            what, hint = described(outputs), _way_to_logits(outputs)
        elif tuple(outputs.shape) != expected or not outputs.is_floating_point():
            hint = "return one tensor of (samples, classes); its classes must be those of the data"
            kind = str(outputs.dtype).removeprefix("torch.")
            what = f"a {kind} tensor {tuple(outputs.shape)}"
            if samples == 1 and outputs.is_floating_point():
                what = f"{tuple(outputs.shape)} for a batch of one"
        elif not bool(outputs.isfinite().all()):
            raise ModelError("the model returns NaN or infinite logits", hint="check its weights")
        else:
            return
        raise ModelError(f"the model returns {what}, not logits of shape {expected}", hint=hint)


def kl_distance(student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
    """tau^2 * KL(softmax(z_t/tau) || softmax(z_s/tau)), a mean over samples.

    Source: Hinton et al. 2015, section 2. Shapes: (N, C) and (T, N, C).
    """
    soft = F.softmax(teachers / temperature, dim=-1).mean(dim=0)
    log_student = F.log_softmax(student / temperature, dim=-1)
    return temperature**2 * F.kl_div(log_student, soft, reduction="batchmean")


def correct_count(logits: Tensor, labels: Tensor) -> Tensor:
    """How many of N samples have their label as the largest logit; a scalar int64 tensor."""
    return (logits.argmax(dim=1) == labels).sum()


def _way_to_logits(outputs: object) -> str:
    """How to get a tensor of what is none."""
    if isinstance(outputs, Mapping):
        best = "logits" if "logits" in outputs else next(iter(outputs), "...")
        return f"wrap it so that it returns outputs[{best!r}] alone, or {OF_SEVERAL}"
    if isinstance(outputs, (tuple, list)):
        return f"wrap it so that it returns the logits alone, or {OF_SEVERAL}"
    return "return one tensor of (samples, classes)"


def _likeliest(logits: Tensor) -> dict[str, Tensor]:
    probability, place = logits.float().softmax(1).max(1)
    return {"class": place, "probability": probability}


def _add_likeliest(graph: StageGraph, logits: str) -> dict[str, str]:
    single = graph.constant(np.array([1], np.int64))
    probabilities = graph.add("Softmax", logits, axis=1)
    values, places = graph.add_several("TopK", probabilities, single, count=2, axis=1)
    place, value = (graph.add("Squeeze", name, single) for name in (places, values))
    return {"class": place, "probability": value}


CLASSIFICATION = PLUGIN = Classification()
