"""Whether a model says the same of a sample whatever else is in its batch.

What ships has batch 1. A model whose outputs depend on the batch would be trained and scored in
batches as one model, and shipped as another.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_leaves

from edgespiral.core.errors import ModelError
from edgespiral.core.nested import count, joined, leaves, mapped, rows
from edgespiral.models.calling import call
from edgespiral.models.example_inputs import made_up
from edgespiral.models.load import check_empty_samples, check_outputs, copied
from edgespiral.models.modes import evaluating

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.models.load import OutputCheck

    Values = Sequence[Tensor]

SAMPLES = 4
# Of the largest output: kernels are chosen by the size of the batch, and sum in other orders.
ALONE_SHARE = 1e-3
# Among batches of one size the kernels are the same.
SAME_SIZE_SHARE = 1e-4
# What is too little to matter in the outputs may be what a layer began with.
LAYER_SHARE = 0.1
# Neighbours that are made up are so many times as large as real ones, to sway what is taken over
# the batch.
LOUDER = 5.0
ON_BATCH = "what it says of a sample depends on the others in its batch"
ON_CHANCE = "it says something else when it is asked about the same batch again"
ON_FIRST = "what it says depends on what it was first asked about"
HINTS = {
    ON_BATCH: "the file that ships has batch 1; use what looks at one sample at a time",
    ON_CHANCE: "nothing may be drawn at random or kept from call to call in eval mode",
    ON_FIRST: "keep nothing from the first call; make it in __init__, as a buffer",
}


@dataclass(frozen=True)
class Trial:
    """A batch in which a sample of another one is, too.

    Attributes:
        batch: (M, ...).
        at: where the sample is in it.
        of: where it is in the first batch.
        share: of the largest output, what the sample's may differ by.
        problem: what it means if they do.
    """

    batch: Tensors
    at: int
    of: int
    share: float = SAME_SIZE_SHARE
    problem: str = ON_BATCH


@dataclass(frozen=True)
class Call:
    """One call of a layer: its name and kind, what went in and what came out."""

    name: str
    kind: str
    has_layers: bool
    inputs: Values
    outputs: Values

    def __str__(self) -> str:
        """The layer, as a message names it."""
        return f"{self.name} ({self.kind})" if self.name else self.kind


def check_answers(model: nn.Module, splits: DataSplits, check: OutputCheck) -> None:
    """Ask a model that was not called before about validation samples, in eval mode.

    Args:
        check: what the data is for says what outputs are to be, as `Task.check_outputs`.

    Raises:
        ModelError: as `models.load.check_outputs` and `check_independence`; or what it says depends
            on what it was asked about first, so that another process has another model.
        DataError: as `models.load.check_empty_samples`.
    """
    fresh = copied(model)
    check_outputs(model, splits, check)
    check_empty_samples(model, splits)
    check_independence(model, splits)
    if fresh is not None:
        _check_first_call(model, fresh, splits)


def check_independence(model: nn.Module, splits: DataSplits) -> None:
    """Ask about validation samples in eval mode alone, in another order and beside others.

    Raises:
        ModelError: what the model says of a sample depends on the batch, or on chance. The first
            layer is named whose outputs differ though its inputs do not.
    """
    first, strangers = _compared(splits)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), evaluating(model):
        together = _outputs(model, first, first)
        if not all(bool(leaf.isfinite().all()) for leaf in together):
            return  # which the comparison of the export with PyTorch says
        for trial in _trials(first, strangers):
            outputs = _outputs(model, trial.batch, first)
            if any(_differ(trial, *pair) for pair in zip(outputs, together, strict=True)):
                raise ModelError(
                    trial.problem,
                    where=_first_layer(model, first, trial),
                    hint=HINTS[trial.problem],
                )


def _check_first_call(model: nn.Module, fresh: nn.Module, splits: DataSplits) -> None:
    """Hold what `model`, asked about other samples before, says against what `fresh` does.

    Raises:
        ModelError: they differ, by something that a first call left there.
    """
    first, strangers = _compared(splits)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        with evaluating(fresh):
            _outputs(fresh, joined([rows(strangers, slice(SAMPLES - 1)), rows(first, [-1])]), first)
            with _calls(fresh) as there:
                other = _outputs(fresh, first, first)
        with evaluating(model), _calls(model) as here:
            own = _outputs(model, first, first)
    trial = Trial(first, 0, 0, problem=ON_FIRST)
    if any(_differ(trial, *pair) for pair in zip(own, other, strict=True)):
        where = next(
            (str(one) for one, two in zip(here, there, strict=False) if _began(one, two)), ""
        )
        raise ModelError(ON_FIRST, where=where or type(model).__name__, hint=HINTS[ON_FIRST])


def _began(one: Call, other: Call) -> bool:
    """Whether a layer's outputs differ in two calls and its inputs do not."""
    return _same(one.inputs, other.inputs) and not _same(one.outputs, other.outputs)


def _same(some: Values, others: Values) -> bool:
    pairs = zip(some, others, strict=False)
    return all(a.shape == b.shape and torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in pairs)


def _compared(splits: DataSplits) -> tuple[Tensors, Tensors]:
    """Samples (SAMPLES, ...) of the validation split as far as it goes, and as many strangers."""
    samples, _ = next(iter(splits.validation.epoch(batch_size=SAMPLES)))
    strangers = _strangers(samples, splits)
    return joined([samples, rows(strangers, slice(SAMPLES - count(samples)))]), strangers


def _differ(trial: Trial, outputs: Tensor, together: Tensor) -> bool:
    own, expected = outputs[trial.at].double(), together[trial.of].double()
    limit = trial.share * float(together.double().abs().max())
    return own.shape != expected.shape or float((own - expected).abs().max()) > limit


def _strangers(samples: Tensors, splits: DataSplits) -> Tensors:
    """As many inputs as are compared, unlike any of `samples`."""

    def louder(stranger: Tensor, sample: Tensor) -> Tensor:
        if not stranger.is_floating_point():
            return stranger
        spread = float(sample.std()) if sample.numel() > 1 else 1.0
        return LOUDER * (spread or 1.0) * stranger

    strangers = made_up(splits.specs, SAMPLES, like=samples)
    return mapped(louder, strangers, samples)


def _trials(first: Tensors, strangers: Tensors) -> list[Trial]:
    last = count(first) - 1
    head, tail = rows(first, slice(1)), rows(first, slice(last, None))
    return [
        Trial(first, 0, 0, problem=ON_CHANCE),
        Trial(mapped(lambda leaf: leaf.flip(0), first), last, 0),
        Trial(joined([head, rows(strangers, slice(1, None))]), 0, 0),
        Trial(joined([rows(strangers, slice(last)), tail]), last, last),
        Trial(head, 0, 0, share=ALONE_SHARE),
        Trial(tail, 0, last, share=ALONE_SHARE),
    ]


def _outputs(model: nn.Module, batch: Tensors, first: Tensors) -> Values:
    """What the model says of `batch`, which has samples of `first`, on which it does not fail."""
    try:
        outputs = [*leaves(call(model, batch)).values()]
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        alone = "a sample alone" if count(batch) == 1 else f"a batch of {count(batch)}"
        raise ModelError(
            f"the model fails on {alone}: {reason}",
            where=_failing_layer(model, batch, first),
            hint=HINTS[ON_BATCH],
        ) from error
    return outputs


def _failing_layer(model: nn.Module, batch: Tensors, first: Tensors) -> str | None:
    """The layer that ends on `first` and not on `batch`."""
    with _calls(model) as whole, suppress(Exception):
        call(model, first)
    with _calls(model) as broken, suppress(Exception):
        call(model, batch)
    return str(whole[len(broken)]) if len(broken) < len(whole) else None


def _first_layer(model: nn.Module, first: Tensors, trial: Trial) -> str:
    """Where it begins: a layer, or the forward of one between the layers in it."""
    with _calls(model) as together:
        _outputs(model, first, first)
    with _calls(model) as apart:
        _outputs(model, trial.batch, first)
    with _calls(model) as alone:
        _outputs(model, rows(first, slice(1)), first)
    differ = _Differing(trial, count(first))
    reached: Call | None = None
    for here, there, single in zip(together, apart, alone, strict=False):
        inputs_differ = differ(here.inputs, there.inputs, single.inputs)
        if not inputs_differ and differ(here.outputs, there.outputs, single.outputs):
            inside = here.has_layers and reached is not None and reached.name.startswith(here.name)
            return f"{here}, before {reached.name}" if inside and reached else str(here)
        reached = here if inputs_differ and reached is None else reached
    return type(model).__name__


@contextmanager
def _calls(model: nn.Module) -> Iterator[list[Call]]:
    """Every layer's calls while in the context, in the order in which they end."""
    calls: list[Call] = []

    def heard(name: str) -> Any:  # noqa: ANN401 (torch's own type of hooks is Callable[..., Any])
        def hook(layer: nn.Module, args: object, kwargs: object, outputs: object) -> None:
            has_layers = next(layer.children(), None) is not None
            values = _values((args, kwargs)), _values(outputs)
            calls.append(Call(name, type(layer).__name__, has_layers, *values))

        return hook

    # What is compiled takes no hooks, and is then a part of what is around it.
    open_layers = [
        (name, layer)
        for name, layer in model.named_modules()
        if not isinstance(layer, torch.jit.ScriptModule)
    ]
    handles = [
        layer.register_forward_hook(heard(name), with_kwargs=True) for name, layer in open_layers
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _values(tree: object) -> list[Tensor]:
    """The tensors in any nesting, as they are now: a later layer may work in place."""
    return [leaf.clone() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


@dataclass(frozen=True)
class _Differing:
    """Tells whether what a layer has of the trial's sample differs between the two batches."""

    trial: Trial
    count: int

    def __call__(self, together: Values, apart: Values, alone: Values) -> bool:
        """Each the tensors of one call; those that do not tell their samples apart do not count."""
        return any(
            here.is_floating_point() and self._differ(here, there, single)
            for here, there, single in zip(together, apart, alone, strict=False)
        )

    def _differ(self, here: Tensor, there: Tensor, single: Tensor) -> bool:
        pairs = zip(
            _of_sample(here, single, self.trial.of, self.count),
            _of_sample(there, single, self.trial.at, count(self.trial.batch)),
            strict=False,
        )
        limit = LAYER_SHARE * self.trial.share * float(here.abs().max()) if here.numel() else 0.0
        # Of the ways to read one sample, the right one is among those that agree if any does.
        differences = [float((a - b).abs().max()) for a, b in pairs if a.numel()]
        return bool(differences) and min(differences) > limit


def _of_sample(value: Tensor, single: Tensor, at: int, count: int) -> list[Tensor]:
    """The part of `value` that is of the sample at `at` of `count`, as far as its shape tells.

    Args:
        single: the same of a batch of 1.

    Returns:
        One part for each way to read it: samples one after another, or their parts in turns.
    """
    if value.dim() != single.dim():
        return []
    sizes = [(dim, of_one) for dim, of_one in enumerate(single.shape) if value.shape[dim] != of_one]
    if not sizes:
        return [value] if count > 1 or value.shape == single.shape else []
    [(dim, size), *more] = sizes
    if more or value.shape[dim] != count * size:
        return []
    places = torch.arange(size)
    return [
        value.index_select(dim, at * size + places),
        value.index_select(dim, at + count * places),
    ]
