"""Batches looked at as they pass, so that no sample counts for what it is not.

Before a run a thousand samples of each split are looked at (`data.check`). What is beyond them is
met when it is used: every batch of validation and test as it is scored, and of training as it is
trained on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgespiral.core.batches import (
    AugmentedSource,
    BatchSource,
    DataSplits,
    InputSpec,
    NamedSource,
    SharedSource,
    StoredSource,
)
from edgespiral.core.errors import DataError, first_few
from edgespiral.core.nested import count, leaves, plain, shapes, template
from edgespiral.core.text import is_text
from edgespiral.core.user_code import user_code
from edgespiral.data.passes import PassDigest, Passes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from edgespiral.core.nested import Tensors

# Of a batch's targets and its data: the first sample that is wrong, and what is wrong with it.
Judge = Callable[["Tensors", DataSplits], "tuple[int, str] | None"]
PASS_BATCH = 250
NO_LABELS = "samples have no labels"
UNLABELLED = (
    "data without targets says labelled=False, and its students learn from the teacher alone"
)


def guarded(splits: DataSplits) -> DataSplits:
    """`splits` whose parts look at every batch that they hand on; guarded ones are as they are.

    Raises:
        DataError: the name of a class is no text.
    """

    odd = next((name for name in splits.class_names if not is_text(str(name))), None)
    if odd is not None:
        what = f"the name of a class is not UTF-8, and could not be written down: {odd!r}"
        raise DataError(what, where=splits.name, hint="rename it")

    def part(source: BatchSource, name: str, passes: Passes | None) -> Guarded:
        return source if isinstance(source, Guarded) else Guarded(source, name, splits, passes)

    return replace(
        splits,
        train=part(splits.train, "train", None),
        validation=part(splits.validation, "validation", Passes()),
        test=part(splits.test, "test", Passes()),
    )


def watched(splits: DataSplits, judge: Judge) -> DataSplits:
    """`splits`, guarded, of which every batch is also shown to `judge`, as tasks have one."""
    whole = guarded(splits)
    parts = {name: getattr(whole, name) for name in ("train", "validation", "test")}
    return replace(whole, **{name: replace(part, judge=judge) for name, part in parts.items()})


def sha256_of(source: BatchSource) -> str:
    """Of all samples in stored order, which are read for it unless they were read before."""
    if isinstance(source, Guarded) and source.passes and source.passes.sha256:
        return source.passes.sha256
    digest = PassDigest()
    for inputs, targets in source.epoch(batch_size=PASS_BATCH):
        digest.add(inputs, targets)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Guarded:
    """A supply of batches that stops at the first one which is not what was declared.

    Attributes:
        source: where the batches come from.
        part: what the split is called.
        splits: what its batches are to be like.
        passes: what whole passes in stored order have shown; None where they may differ.
        judge: says what is wrong with the targets of a batch, by what they are for.
        rows: the places (n,) of each batch of a shuffled pass that `source` loads, if not all.
    """

    source: BatchSource
    part: str
    splits: DataSplits
    passes: Passes | None = None
    judge: Judge | None = None
    rows: Tensor | None = None

    def __len__(self) -> int:
        with user_code(DataError, "its length cannot be told", where=self._where):
            return len(self.source)

    def unaugmented(self) -> Guarded:
        """See `core.batches.AugmentedSource`; the same where the source knows no other view."""
        if not isinstance(self.source, AugmentedSource):
            return self
        with user_code(DataError, "unaugmented() failed", where=self._where):
            return replace(self, source=self.source.unaugmented())

    def order(self, seed: int) -> Tensor | None:
        """See `core.batches.StoredSource`; None where the source does not know."""
        if not isinstance(self.source, StoredSource):
            return None
        with user_code(DataError, f"order({seed}) failed", where=self._where):
            return self.source.order(seed)

    def share(self, rows: Tensor) -> Guarded | None:
        """See `core.batches.SharedSource`."""
        own = self.source.share(rows) if isinstance(self.source, SharedSource) else None
        return None if own is None else replace(self, source=own, rows=rows)

    def epoch(
        self, *, batch_size: int, seed: int | None = None, first_batch: int = 0
    ) -> Iterator[tuple[Tensors, Tensors]]:
        """See `core.batches.BatchSource`.

        Raises:
            DataError: the source fails, a batch is not what was declared or has not as many samples
                as were asked for, a pass in stored order has not as many samples as the source
                says or shows others than before, or a shuffled one has fewer whole batches; the
                place is named.
        """
        digest = PassDigest() if self.passes and seed is None and not first_batch else None
        with user_code(DataError, "cannot be read", where=self._where):
            batches = iter(
                self.source.epoch(batch_size=batch_size, seed=seed, first_batch=first_batch)
            )
        seen, declared = first_batch * batch_size, len(self)
        for number in itertools.count(first_batch):
            failed = f"cannot be read at batch {number}, from sample {seen} of the pass on"
            with user_code(DataError, failed, where=self._where):
                batch = next(batches, None)
            if batch is None:
                break
            checked = self._checked(batch, seen, seed)
            size = count(checked[0])
            if seed is None or self.rows is None:
                self._require_count(size, batch_size)
            else:
                self._require_count(size, len(self.rows))
                size = batch_size
            if digest is not None:
                digest.add(*checked)
            yield checked
            seen += size
            if seed is None and seen > declared:
                break
        self._require_pass(
            seen, declared, first_batch * batch_size, None if seed is None else batch_size
        )
        if digest is not None and self.passes is not None:
            self.passes.add(digest, self._where)

    def _require_count(self, size: int, batch_size: int) -> None:
        if not 1 <= size <= batch_size:
            what = f"a batch has {size} samples, and 1 to {batch_size} were asked for"
            raise DataError(what, where=self._where)

    def _require_pass(self, seen: int, declared: int, first: int, dropping: int | None) -> None:
        """Refuse a pass of another length; what is shuffled may drop the rest of a batch."""
        wanted = max(declared, first)
        is_whole = seen == wanted if dropping is None else seen > wanted - dropping
        if not is_whole:
            amount = "more" if seen > declared else seen
            raise DataError(
                f"a pass has {amount} samples, and its length is {declared}", where=self._where
            )

    def _checked(
        self, batch: tuple[Tensors, Tensors], seen: int, seed: int | None
    ) -> tuple[Tensors, Tensors]:
        with user_code(DataError, "its batches are not (inputs, labels)", where=self._where):
            inputs, targets = (plain(part) for part in batch)
            problem = _problem(inputs, targets, self.splits)
        if problem is None:
            self._require_right(targets, seen, seed)
            return inputs, targets
        row = "" if problem.row is None else f", first at {self._place_of(problem.row, seen, seed)}"
        raise DataError(f"{problem.what}{row}{problem.why}", where=self._where)

    def _require_right(self, targets: Tensors, seen: int, seed: int | None) -> None:
        judge = self.judge if self.splits.is_labelled else None
        wrong = judge(targets, self.splits) if judge else None
        if wrong is not None:
            row, what = wrong
            raise DataError(f"{self._place_of(row, seen, seed)}: {what}", where=self._where)

    def _place_of(self, row: int, seen: int, seed: int | None) -> str:
        if seed is not None and self.rows is not None:
            row = int(self.rows[row])
        return self.place(seen + row, seed)

    def place(self, position: int, seed: int | None) -> str:
        """See `core.batches.NamedSource`; by its number where the source knows no name."""
        if isinstance(self.source, NamedSource):
            return self.source.place(position, seed)
        return f"sample {position}{'' if seed is None else ' of a shuffled pass'}"

    @property
    def _where(self) -> str:
        return f"{self.splits.name}: {self.part}"


@dataclass(frozen=True)
class _Problem:
    """What is wrong with a batch, and its first row where it is."""

    what: str
    row: int | None = None
    why: str = ""


def _problem(inputs: Tensors, targets: Tensors, splits: DataSplits) -> _Problem | None:
    if template(inputs) != template(splits.specs):
        return _Problem(f"inputs are {_form(inputs)}, declared as {_form(splits.specs)}")
    specs, size = leaves(splits.specs), None
    for name, tensor in leaves(inputs).items():
        what = f"input {name!r}" if name else "inputs"
        problem = _wrong_input(tensor, specs[name], what)
        if problem:
            return problem
        if size is not None and len(tensor) != size:
            return _Problem(f"{what} has {len(tensor)} samples, others have {size}")
        size = len(tensor)
    if not splits.is_labelled:
        return None if targets is None else _Problem("samples have targets, and none are declared")
    return _wrong_targets(targets, count(inputs), splits)


def _form(value: Tensors) -> str:
    """What inputs, or their specs, are, in words."""
    if isinstance(value, (dict, tuple)):
        named = value.items() if isinstance(value, dict) else (("", entry) for entry in value)
        entries = [f"{name} {_sizes(entry)}".lstrip() for name, entry in named]
        return f"a {type(value).__name__} of {len(value)}: {first_few(entries)}"
    return f"a {type(value).__name__}" if _sizes(value) == "?" else "one tensor"


def _sizes(value: object) -> str:
    """Of a tensor without the batch, or as its spec has them."""
    shape = getattr(value, "shape", None)
    if shape is None:
        return "?"
    return str(shape if isinstance(value, InputSpec) else tuple(shape[1:]))


def _wrong_input(tensor: Tensor, spec: InputSpec, what: str) -> _Problem | None:
    import torch

    verb = "are" if what == "inputs" else "is"
    if not isinstance(tensor, torch.Tensor):
        return _Problem(f"{what} {verb} of type {type(tensor).__name__}, not a tensor")
    if tuple(tensor.shape[1:]) != spec.shape:
        return _Problem(f"{what} {verb} {tuple(tensor.shape[1:])}, declared as {spec.shape}")
    if 0 in spec.shape:
        return _Problem(f"{what} {verb} {spec.shape}, which holds no value at all")
    return _wrong_values(tensor, spec, what)


def _wrong_targets(targets: Tensors, size: int, splits: DataSplits) -> _Problem | None:
    import torch

    ends = [*leaves(targets).values()]
    if not ends or not all(isinstance(leaf, torch.Tensor) for leaf in ends):
        why = "; training, scores and criteria that use gradients need them"
        return _Problem(NO_LABELS, why=why)
    if splits.target_shape is None:
        return _wrong_number(targets, size)
    shape = (size, *splits.target_shape)
    if not isinstance(targets, torch.Tensor):
        return _Problem(f"targets are {shapes(targets)}, not one tensor of classes")
    if targets.dtype != torch.int64 or targets.shape != shape:
        declared = ", ".join(map(str, ("samples", *splits.target_shape)))
        declared += "" if splits.target_shape else ","
        name = "masks" if splits.target_shape else "labels"
        return _Problem(
            f"{name} are {targets.dtype} {tuple(targets.shape)}, not torch.int64 ({declared})"
        )
    return _wrong_classes(targets, splits)


def _wrong_number(targets: Tensors, size: int) -> _Problem | None:
    for name, leaf in leaves(targets).items():
        if leaf.ndim == 0 or len(leaf) != size:
            named = f" {name!r}" if name else ""
            amount = "no" if leaf.ndim == 0 else len(leaf)
            return _Problem(f"{amount} targets{named} for {size} inputs")
    return None


def _wrong_classes(targets: Tensor, splits: DataSplits) -> _Problem | None:
    classes, ignored = len(splits.class_names), splits.ignored_class
    outside = (targets < 0) | (targets >= classes)
    if ignored is not None:
        outside &= targets != ignored
    if not bool(outside.any()):
        return None
    strange = targets if ignored is None else targets[targets != ignored]
    low, high = int(strange.min()), int(strange.max())
    name = "masks have classes" if targets.ndim > 1 else "labels run"
    besides = "" if ignored is None else f", and {ignored} for what does not count"
    allowed = f"but {classes} classes allow 0 to {classes - 1}{besides}"
    rows = outside.flatten(1).any(dim=1) if targets.ndim > 1 else outside
    return _Problem(f"{name} from {low} to {high}, {allowed}", _first(rows))


def _wrong_values(inputs: Tensor, spec: InputSpec, what: str) -> _Problem | None:
    verb, have = ("are", "have") if what == "inputs" else ("is", "has")
    if inputs.dtype != spec.torch_dtype:
        return _Problem(f"{what} {verb} {inputs.dtype}, not {spec.torch_dtype}")
    # A sum is finite only if all are, and takes a fifth of the time; it may overflow all the same.
    if not bool(inputs.sum().isfinite()) and not bool(inputs.isfinite().all()):
        rows = ~inputs.isfinite().flatten(1).all(dim=1) if inputs.ndim > 1 else ~inputs.isfinite()
        return _Problem(f"{what} {have} NaN or infinite values", _first(rows))
    ids = spec.token_count
    if ids is not None and inputs.numel() and not 0 <= int(inputs.min()) <= int(inputs.max()) < ids:
        outside = (inputs < 0) | (inputs >= ids)
        rows = outside.flatten(1).any(dim=1) if inputs.ndim > 1 else outside
        span = f"run from {inputs.min()} to {inputs.max()}"
        named = "token ids" if what == "inputs" else f"ids of {what}"
        return _Problem(f"{named} {span}, declared as below {ids}", _first(rows))
    return None


def _first(rows: Tensor) -> int:
    return int(rows.nonzero()[0])
