"""Losses that bench/distillation.py compares and the package has not: none has won."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgespiral.distill.losses import DISTANCES
from edgespiral.tasks.classification import kl_distance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STAGES = ("layer1.2.relu", "layer2.2.relu", "layer3.2.relu")
DKD_BETA = 8.0
ATTENTION_WEIGHT = 100.0
# Sun et al. 2024 weigh their term 9 against 0.1 of cross-entropy.
STANDARDISED_WEIGHT = 9.0
TINY = 1e-7
_maps: dict[str, list[Tensor]] = {"student": [], "teacher": []}


def decoupled_distance(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float
) -> Tensor:
    """tau^2 * (KL of the top class against the rest + 8 * KL among the rest).

    Source: Zhao et al. 2022 (DKD), equation 7; the teacher's top class stands for the label, which
    a distance does not see.
    """
    teacher = teacher_logits.mean(dim=0) / temperature
    student = student_logits / temperature
    top = F.one_hot(teacher.argmax(dim=-1), teacher.shape[-1]).bool()
    split = [torch.stack([p[top], 1 - p[top]], dim=-1) for p in (_soft(student), _soft(teacher))]
    target = F.kl_div(split[0].clamp_min(1e-7).log(), split[1], reduction="batchmean")
    rest = [logits.masked_fill(top, -1e4) for logits in (student, teacher)]
    others = F.kl_div(F.log_softmax(rest[0], -1), _soft(rest[1]), reduction="batchmean")
    return temperature**2 * (target + DKD_BETA * others)


def standardised_distance(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float
) -> Tensor:
    """9 * `kl_distance` of logits standardised per sample to zero mean and unit deviation.

    Source: Sun et al. 2024 (logit standardisation), section 4, with their weight, so that
    alpha = 0.9 is close to their 0.1 * cross-entropy + 9 * distance.
    """
    student, teacher = standardised(student_logits), standardised(teacher_logits)
    return STANDARDISED_WEIGHT * kl_distance(student, teacher, temperature)


def relation_distance(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """tau^2 * (1 - mean correlation per sample) + tau^2 * (1 - mean correlation per class).

    Source: Huang et al. 2022 (DIST), equations 5 to 10, inter-class and intra-class relations
    with equal weight; correlations are Pearson's, of the softened outputs.
    """
    student = F.softmax(student_logits / temperature, dim=-1)
    teacher = F.softmax(teacher_logits / temperature, dim=-1).mean(dim=0)
    inter = 1 - _correlation(student, teacher).mean()
    intra = 1 - _correlation(student.T, teacher.T).mean()
    return temperature**2 * (inter + intra)


def hinted_distance(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """`kl_distance` and the squared distance of each stage's attention map.

    Source: Zagoruyko and Komodakis 2017, equation 2: maps are mean squares over channels, so
    stages of other widths compare. Works within `hints`.
    """
    pairs = zip(_maps["student"], _maps["teacher"], strict=True)
    apart = [(student - teacher).square().mean() for student, teacher in pairs]
    for maps in _maps.values():
        maps.clear()
    kl = kl_distance(student_logits, teacher_logits, temperature)
    return kl + ATTENTION_WEIGHT * torch.stack(apart).sum()


@contextmanager
def hints(student: nn.Module, teacher: nn.Module) -> Iterator[None]:
    """Keep the attention maps of both networks' stages while they are trained."""
    models = {"student": student, "teacher": teacher}
    handles = [
        model.get_submodule(stage).register_forward_hook(_keeping(_maps[name]))
        for name, model in models.items()
        for stage in STAGES
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keeping(maps: list[Tensor]) -> Callable[[nn.Module, object, Tensor], None]:
    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        attention = output.float().square().mean(dim=1).flatten(1)
        maps.append(F.normalize(attention.clone(), dim=1))

    return keep


def _soft(logits: Tensor) -> Tensor:
    return logits.softmax(dim=-1)


def standardised(logits: Tensor) -> Tensor:
    """Logits (..., C) with zero mean and unit deviation over the classes of each sample."""
    centred = logits - logits.mean(dim=-1, keepdim=True)
    return centred / (logits.std(dim=-1, keepdim=True) + TINY)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson correlation along the last dimension."""
    first = first - first.mean(dim=-1, keepdim=True)
    second = second - second.mean(dim=-1, keepdim=True)
    return F.cosine_similarity(first, second, dim=-1, eps=TINY)


DISTANCES.update(
    {
        "dkd": decoupled_distance,
        "standardised": standardised_distance,
        "dist": relation_distance,
        "kd and hints": hinted_distance,
    }
)
