"""Optimizers by name, which of them a network takes, and what of a network is trained."""

from __future__ import annotations

from bisect import bisect_left
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgespiral.core.errors import ModelError, UsageError, first_few
from edgespiral.core.factory import named_in_file
from edgespiral.core.user_code import user_code
from edgespiral.distill.settings import AUTO, defaults_of
from edgespiral.models.work import parameter_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from edgespiral.distill.settings import Resolved, TrainSettings

    Groups = list[dict[str, Any]]
    Tensors = tuple[Tensor, ...] | list[Tensor]

OF_GROUPS = "return a torch.optim.Optimizer of the student's own parameters"
NORMS = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


# Layers whose gradients differ from those of a network's others by more than one rate allows, and
# what has them.
ADAPTIVE: Mapping[str, tuple[type[nn.Module], ...]] = {
    "recurrent layers": (nn.RNNBase, nn.RNNCellBase),
    "attention": (nn.MultiheadAttention,),
}
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
RATE_WITHOUT_BOUNDS = 0.02
# AdamW's for recurrent networks of that width, and less in proportion in wider ones.
RATE_OF_RECURRENT, WIDTH = 0.01, 96


class Choice(NamedTuple):
    """An optimizer's name, and why it is that one."""

    name: str
    reason: str


def named_optimizer(name: str, model: nn.Module) -> Choice:
    """The optimizer that is asked for, or by default that of `default_optimizer`."""
    return default_optimizer(model) if name == AUTO else Choice(name, "asked for")


def default_optimizer(model: nn.Module) -> Choice:
    """By what a model is made of: embeddings, recurrence, attention or layer norms take `adamw`.

    SGD moves the layers of a network in proportion to their gradients. Batch norms keep these
    alike; in transformers they are not (Zhang et al. 2020, "Why are adaptive methods good for
    attention models?"), rows of an embedding get one only where they are looked up, and those of
    recurrent layers vary from batch to batch (Pascanu et al. 2013, "On the difficulty of training
    recurrent neural networks").

    Beside batch norms, embeddings count where they are most of the parameters, as in recommenders.

    Example:
        >>> default_optimizer(nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(8, 2)))
        Choice(name='adamw', reason='the model has embeddings')
        >>> default_optimizer(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))).name
        'sgd'
    """
    layers = list(model.modules())
    for what, kinds in ADAPTIVE.items():
        if any(isinstance(layer, kinds) for layer in layers):
            return Choice("adamw", f"the model has {what}")
    has_layer_norms = any(isinstance(layer, (nn.LayerNorm, nn.RMSNorm)) for layer in layers)
    has_batch_norms = any(isinstance(layer, _BatchNorm) for layer in layers)
    embedded = sum(parameter_count(layer) for layer in layers if isinstance(layer, EMBEDDINGS))
    if embedded and (not has_batch_norms or embedded > 0.5 * parameter_count(model)):
        return Choice("adamw", "the model has embeddings")
    if has_layer_norms and not has_batch_norms:
        return Choice("adamw", "the model has layer norms and no batch norm")
    why = "batch norms" if has_batch_norms else "no layers that need another"
    return Choice("sgd", f"the model has {why}")


def rate_from_scratch(optimizer: str, model: nn.Module) -> float:
    """The highest rate of a schedule for a model with random weights, where none is asked for.

    Example:
        >>> rate_from_scratch("sgd", nn.BatchNorm2d(8)), rate_from_scratch("sgd", nn.Linear(8, 2))
        (0.2, 0.02)
        >>> rate_from_scratch("adamw", nn.GRU(8, 8)), rate_from_scratch("adamw", nn.Linear(8, 2))
        (0.01, 0.002)
    """
    layers = list(model.modules())
    is_recurrent = any(isinstance(layer, nn.RNNBase) for layer in layers)
    usual = defaults_of(optimizer).teacher_rate
    if optimizer == "adamw":
        own = RATE_OF_RECURRENT * min(1.0, WIDTH / width_of(model)) if is_recurrent else usual
        return max(usual, own)
    # Batch norms and the gates of recurrent layers keep activations in bounds.
    is_bounded = is_recurrent or any(isinstance(layer, _BatchNorm) for layer in layers)
    return usual if is_bounded else RATE_WITHOUT_BOUNDS


def width_of(model: nn.Module) -> int:
    """How many terms the sums have that most of a network's weights belong to; at least 1.

    Embeddings do not count: nothing is summed there.

    Example:
        >>> width_of(nn.Sequential(nn.Embedding(1000, 8), nn.Linear(8, 64), nn.Linear(64, 32)))
        64
    """
    layers = [layer for layer in model.modules() if not isinstance(layer, nn.Embedding)]
    weights = [w for layer in layers for w in layer.parameters(recurse=False) if w.dim() > 1]
    terms = sorted((weight[0].numel(), weight.numel()) for weight in weights if weight.numel())
    so_far = list(accumulate(count for _, count in terms))
    return terms[bisect_left(so_far, so_far[-1] / 2)][0] if terms else 1


def optimizer_for(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimizer that `settings` name, over all parameters of `model` that are trained.

    Weights decay, and norms and biases do not. One of the user's own is called with these groups of
    parameters and `lr`, as the classes of `torch.optim` are.

    Raises:
        UsageError: the user's file, its function or what it returns is wrong.
        ModelError: nothing is trained.
    """
    groups = parameter_groups(model, settings.weight_decay)
    rate = settings.learning_rate
    fused = all(p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=rate, momentum=settings.momentum, nesterov=True, fused=fused
        )
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, fused=fused)
    return _of_the_user(settings.optimizer, model, groups, rate)


def parameter_groups(model: nn.Module, weight_decay: float) -> Groups:
    """What is trained: weights, which decay, and vectors, which do not.

    Raises:
        ModelError: nothing is.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ModelError(
            "all of its parameters are frozen",
            where=type(model).__name__,
            hint="leave some out of --freeze",
        )
    groups: Groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return groups


def _of_the_user(spec: str, model: nn.Module, groups: Groups, rate: float) -> torch.optim.Optimizer:
    make = named_in_file(spec)
    with user_code(UsageError, "the optimizer cannot be made", where=spec):
        optimizer = make([group for group in groups if group["params"]], lr=rate)
    return require_optimizer(optimizer, spec, model)


def require_optimizer(optimizer: object, where: str, model: nn.Module) -> torch.optim.Optimizer:
    """`optimizer`, if it is one, and one of weights of `model`.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UsageError(
            f"a {type(optimizer).__name__} is no optimizer",
            where=where,
            hint=OF_GROUPS,
        )
    own = set(model.parameters())
    if not any(p in own for group in optimizer.param_groups for p in group["params"]):
        raise UsageError(
            "its optimizer changes no weight of the student", where=where, hint=OF_GROUPS
        )
    return optimizer


def check_freezing(model: nn.Module, patterns: Sequence[str]) -> None:
    """Refuse patterns of names by which nothing of `model` goes.

    Raises:
        UsageError: one matches no parameter.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(_matches(name, [pattern]) for name in names):
            raise UsageError(
                f"no parameter goes by {pattern!r}",
                where="--freeze",
                hint=f"its names are like {first_few(names)}; * stands for any letters",
            )


@contextmanager
def training(model: nn.Module, freeze: Sequence[str] = ()) -> Iterator[None]:
    """Inside, `model` is in training mode but for what is frozen; afterwards in eval mode, and what
    was trained before can be trained again, whatever was frozen inside.

    Args:
        freeze: patterns of parameter names such as `stem.*`; a layer's name stands for all of it.
            Norms of which nothing else is trained keep their statistics.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    model.train()
    for path, layer in model.named_modules():
        names = [f"{path}.{name}" for name, _ in layer.named_parameters(recurse=False)] or [path]
        if isinstance(layer, NORMS) and all(_matches(name, freeze) for name in names):
            layer.eval()
    for name, parameter in trained.items():
        parameter.requires_grad_(not _matches(name, freeze))
    try:
        yield
    finally:
        for parameter in trained.values():
            parameter.requires_grad_(True)
        model.eval()


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, p) or fnmatchcase(name, f"{p}.*") for p in patterns)


class WeightUpdate:
    """What is done with the gradients of a batch: scaled back, clipped, applied and averaged.

    Args:
        model: the student, on its device.
        optimizer: over its parameters; groups of other rates keep their ratio to the rate asked.
        settings: of which clipping, averaging and the highest rate are read.
        precision: of the forward passes; fp16 needs its loss scaled (Micikevicius et al. 2018,
            "Mixed precision training", section 3.2).
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: TrainSettings,
        *,
        precision: Resolved,
    ) -> None:
        device = next(p.device for p in model.parameters())
        self._model, self._optimizer, self._settings = model, optimizer, settings
        self._rates = [group["lr"] for group in optimizer.param_groups]
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self._average = _average(model, settings.ema_decay) if settings.ema_decay else None

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss` to those of the batch's other parts."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def apply(self, rate: float) -> None:
        """Change the weights at the learning rate `rate`."""
        highest = self._settings.learning_rate
        for group, own in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate if own == highest else own * rate / highest
        if self._settings.clip_norm is not None:
            self._scaler.unscale_(self._optimizer)
            trained = [p for group in self._optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, self._settings.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)

    def average(self) -> None:
        """Let the weights as they are now count in their mean."""
        if self._average is not None:
            self._average.update_parameters(self._model)

    def finish(self) -> None:
        """Give the model the mean of its weights, if that is to come out."""
        if self._average is not None:
            self._model.load_state_dict(self._average.module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs beside the model's weights."""
        average = None if self._average is None else self._average.state_dict()
        return {
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "average": average,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        if "optimizer" not in state:  # a checkpoint from before there was more
            state = {"optimizer": state, "scaler": {}, "average": None}
        self._optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])


def _average(model: nn.Module, decay: float) -> AveragedModel:
    """A running mean of all weights and statistics, in which early steps weigh little."""

    def mean(averages: Tensors, present: Tensors, count: Tensor | int) -> None:
        steps = float(count)
        average = get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))  # type: ignore[no-untyped-call]
        average(averages, present, count)

    return AveragedModel(model, multi_avg_fn=mean, use_buffers=True)
