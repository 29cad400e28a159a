"""A batch source over a torch `Dataset`, with deterministic order and augmentation."""

from __future__ import annotations

import copy
import random
import signal
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from edgespiral.core.errors import DataError, first_few
from edgespiral.core.nested import plain
from edgespiral.core.seeds import derived_seed
from edgespiral.core.system.stopping import SIGNALS
from edgespiral.core.text import described
from edgespiral.core.user_code import user_code
from edgespiral.data.guard import NO_LABELS, UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from edgespiral.core.nested import Tensors

Sample = Any
Batch = tuple["Tensors", "Tensors"]


class DatasetSource:
    """Samples `(input (C, H, W) float32, label)` of a map-style torch data set.

    An input may be a tuple or a dict of tensors, and so may a label, see `core.batches`.

    Args:
        plain: seen in stored order, so without random transforms.
        shuffled: seen in shuffled passes; may draw from torch's, numpy's and Python's global
            generators, which are seeded for each batch. `plain` itself if not given.
        workers: processes that load batches; 0 loads in this one.
        fixed: a sample is the same each time that it is read.
        where: what errors call it.
        names: what errors call each sample, such as its file; its index if not given.
        is_labelled: samples are pairs; else each is an input by itself, or a pair with None.
    """

    def __init__(
        self,
        plain: Dataset[Sample],
        shuffled: Dataset[Sample] | None = None,
        *,
        workers: int = 0,
        fixed: bool = False,
        where: str | None = None,
        names: Sequence[str] | None = None,
        is_labelled: bool = True,
    ) -> None:
        self._plain = plain
        self._shuffled = plain if shuffled is None else shuffled
        self._is_labelled = is_labelled
        self._rows: Tensor | None = None
        self._workers = workers
        self._fixed = fixed and shuffled is None
        self._where = where
        self._names = names

    def __len__(self) -> int:
        return len(self._plain)  # type: ignore[arg-type]

    @property
    def dataset(self) -> Dataset[Sample]:
        """The samples in stored order; called as torch's `Subset` calls what it is of."""
        return self._plain

    def unaugmented(self) -> DatasetSource:
        """See `core.batches.AugmentedSource`; transforms inside the data set are its own."""
        fixed = self._fixed or self._shuffled is not self._plain
        return DatasetSource(
            self._plain,
            workers=self._workers,
            fixed=fixed,
            where=self._where,
            names=self._names,
            is_labelled=self._is_labelled,
        )

    def order(self, seed: int) -> Tensor | None:
        """See `core.batches.StoredSource`."""
        return self._order(seed) if self._fixed else None

    def share(self, rows: Tensor) -> DatasetSource:
        """See `core.batches.SharedSource`; random transforms draw otherwise in each share."""
        own = copy.copy(self)
        own._rows = rows
        return own

    def place(self, position: int, seed: int | None) -> str:
        """See `core.batches.NamedSource`."""
        index = position if seed is None else int(self._order(seed)[position])
        return f"sample {index}" if self._names is None else self._names[index]

    def _order(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(derived_seed(seed))
        return torch.randperm(len(self), generator=generator)

    def epoch(
        self, *, batch_size: int, seed: int | None = None, first_batch: int = 0
    ) -> Iterator[Batch]:
        """See `core.batches.BatchSource`."""
        if seed is None:
            order = torch.arange(len(self))
        else:
            order = self._order(seed)[: len(self) // batch_size * batch_size]
        index_batches = [
            order[at : at + batch_size].tolist() for at in range(0, len(order), batch_size)
        ]
        if seed is not None and self._rows is not None:
            rows = self._rows.tolist()
            index_batches = [[batch[row] for row in rows] for batch in index_batches]
        dataset = self._plain if seed is None else self._shuffled
        loader = DataLoader(
            _Batches(
                dataset,
                index_batches,
                self._stream(seed),
                self._where,
                self._names,
                is_labelled=self._is_labelled,
            ),
            batch_size=None,
            sampler=range(first_batch, len(index_batches)),
            num_workers=min(self._workers, max(0, len(index_batches) - first_batch)),
            # A generator of its own, so that starting a pass draws nothing from the global one.
            generator=torch.Generator().manual_seed(0),
            worker_init_fn=_leave_interrupts_to_parent,
        )
        for batch in loader:
            if isinstance(batch, DataError):
                raise batch
            yield batch

    def _stream(self, seed: int | None) -> int | None:
        """What random transforms draw from: another stream in each share but the first."""
        if seed is None or self._rows is None or int(self._rows[0]) == 0:
            return seed
        return derived_seed(seed, int(self._rows[0]))


class _Batches(Dataset["Batch | DataError"]):
    """A data set whose items are whole batches, each with its own random state.

    An error is an item, too: raised in a process that loads data, it would come with a traceback
    for its words and without its place.
    """

    def __init__(
        self,
        dataset: Dataset[Sample],
        index_batches: Sequence[Sequence[int]],
        seed: int | None,
        where: str | None,
        names: Sequence[str] | None,
        *,
        is_labelled: bool,
    ) -> None:
        self._dataset = dataset
        self._index_batches = index_batches
        self._seed = seed
        self._where = where
        self._names = names
        self._is_labelled = is_labelled

    def __len__(self) -> int:
        return len(self._index_batches)

    def __getitem__(self, index: int) -> Batch | DataError:
        try:
            with _seeded(derived_seed(self._seed or 0, index)):
                samples = [self._sample(sample) for sample in self._index_batches[index]]
            return self._collated(samples, self._index_batches[index])
        except DataError as error:
            return error

    def _sample(self, index: int) -> Sample:
        named = self._names[index] if self._names else None
        failed = f"sample {index} cannot be read" if named is None else "cannot be read"
        with user_code(DataError, failed, where=named or self._where):
            return self._dataset[index]

    def _collated(self, samples: list[Sample], indices: Sequence[int]) -> Batch:
        if not self._is_labelled:
            return self._inputs([_input_of(sample) for sample in samples]), None
        for index, sample in zip(indices, samples, strict=True):
            if isinstance(sample, Mapping):
                keys = first_few([str(key) for key in sample])
                what = f"sample {index} is a mapping of {keys}, not (input, label)"
                raise DataError(what, where=self._where, hint="return a pair, (input, label)")
        if _lack_labels(samples):
            raise DataError(NO_LABELS, where=self._where, hint=UNLABELLED)
        inputs, targets = self._inputs(samples)
        return inputs, targets

    def _inputs(self, samples: list[Sample]) -> Tensors:
        try:
            return plain(default_collate(samples))
        except Exception as error:
            raise DataError(
                f"samples do not form a batch: {described(error)}",
                where=self._where,
                hint="each sample is (input, label), every input a tensor of the same shape",
            ) from error


def _lack_labels(samples: Sequence[Sample]) -> bool:
    pairs = [isinstance(sample, (tuple, list)) and len(sample) > 1 for sample in samples]
    return not all(pairs) or any(sample[1] is None for sample in samples)


def _input_of(sample: Sample) -> Sample:
    """The input of a sample that has no label: itself, or what is in a pair with None."""
    is_pair = isinstance(sample, (tuple, list)) and len(sample) == 2 and sample[1] is None
    return sample[0] if is_pair else sample


def _leave_interrupts_to_parent(_worker: int) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the three global generators inside, and put them back after."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        # Not `torch.manual_seed`, which notes the stack for each kind of device that is not there.
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
