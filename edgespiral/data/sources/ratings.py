"""Ratings of items by users: who has met what, one item a user held back to be found again."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgespiral.core.batches import DataSplits, InputSpec
from edgespiral.core.errors import DataError
from edgespiral.data.argument import Argument
from edgespiral.data.files.columns import is_number
from edgespiral.data.files.tables import column, rows_of_table, value
from edgespiral.data.sources.base import FileSource
from edgespiral.data.tensors import StoredRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgespiral.data.files.tables import Row

    Numbers = NDArray[np.int64]

OPTIONS = ("user", "item", "time", "columns", "test", "negatives", "candidates")
USER_NAMES, ITEM_NAMES = ("user", "userid", "user_id"), ("item", "itemid", "item_id", "movieid")
TIME_NAMES = ("time", "timestamp", "date")
# Pairs that were not met, for each that was, and candidates beside each that is to be found.
NEGATIVES, CANDIDATES = 4, 99
MOST_DRAWN = 10_000
SEED = 0
DESCRIPTION = "ids.json"


@dataclass(frozen=True)
class Met:
    """Which user met which item, by numbers (N,), in the order of time for each user."""

    users: Sequence[str]
    items: Sequence[str]
    user: Numbers
    item: Numbers

    @property
    def codes(self) -> Numbers:
        """A number for each pair."""
        return self.user * len(self.items) + self.item

    def only(self, chosen: NDArray[np.bool_]) -> Met:
        """The chosen ones (N,) among the pairs."""
        return replace(self, user=self.user[chosen], item=self.item[chosen])


def load_ratings(argument: str) -> DataSplits:
    """`ratings:FILE`: pairs of a user and an item, whatever the rating.

    Each user's last item is the test's, the one before the validation's, all others are trained on,
    with `negatives` pairs (4) beside each that the user has not met in the rows trained on. The
    item that is held back is to be found among `candidates` others (99) that the user has met in
    no row. All are drawn once and for all. Columns are `user`, `item` and `time`, or options name
    them. With `test`, another file of such rows, its pairs are the test's, and each user's last
    item in the first is the validation's.

    Raises:
        DataError: a file cannot be read, a value is missing, a user has too few items, there are
            too few items to draw from, or the test has a user or an item that is not known, or
            what the user has met before; file and line are named.
    """
    spec = Argument("ratings", argument, OPTIONS)
    negatives = spec.whole_number("negatives", default=NEGATIVES, least=1, most=MOST_DRAWN)
    candidates = spec.whole_number("candidates", default=CANDIDATES, least=1, most=MOST_DRAWN)
    has_test = "test" in spec.options
    met = _met(rows_of_table(spec.path, spec), spec, held=1 if has_test else 2)
    last = _places_from_the_end(met.user)
    tested, chosen = met, last == 0
    if has_test:
        tested = _tested(met, spec)
        chosen = np.ones(len(tested.user), np.bool_)
    every = [met, tested] if has_test else [met]
    most = int(np.bincount(np.concatenate([part.user for part in every])).max())
    if len(met.items) - most < candidates:
        what = f"{len(met.items)} items are too few: a user has met {most} of them"
        raise DataError(what, where=str(spec.path), hint="lower ?candidates=")
    generator = np.random.default_rng(SEED)
    unmet = _Unmet(every, generator)
    validation = _queries(met, last == (0 if has_test else 1), unmet, candidates)
    test = _queries(tested, chosen, unmet, candidates)
    facts = {"user": list(met.users), "item": list(met.items)}
    return DataSplits(
        name=f"ratings:{spec.path}",
        train=_training(met.only(last > (0 if has_test else 1)), generator, negatives),
        validation=validation,
        test=test,
        class_names=(),
        input_shape=(),
        target_shape=None,
        inputs={
            "user": InputSpec((), len(met.users), "int64"),
            "item": InputSpec((), len(met.items), "int64"),
        },
        files={DESCRIPTION: json.dumps(facts, ensure_ascii=False) + "\n"},
    )


def _pair_columns(row: Row, spec: Argument) -> tuple[str, str]:
    """What the columns of users and of items are called."""
    user = spec.options.get("user") or column(row, USER_NAMES, "user")
    return user, spec.options.get("item") or column(row, ITEM_NAMES, "item")


def _met(ratings: Sequence[Row], spec: Argument, held: int) -> Met:
    """Those of whom each user has one to learn from, and so many to be held back."""
    user, item = _pair_columns(ratings[0], spec)
    time = spec.options.get("time") or column(ratings[0], TIME_NAMES, "time")
    first: dict[tuple[str, str], tuple[float, int]] = {}
    for place, row in enumerate(ratings):
        pair = _given(row, user), _given(row, item)
        moment = value(row, time)
        if not is_number(moment):
            raise DataError(f"{time} is {moment!r}, not a number", where=row.where)
        first[pair] = min(first.get(pair, (float(moment), place)), (float(moment), place))
    users, items = (sorted({pair[side] for pair in first}, key=_order) for side in (0, 1))
    user_of, item_of = ({name: n for n, name in enumerate(side)} for side in (users, items))
    ordered = sorted(first, key=lambda pair: (user_of[pair[0]], *first[pair]))
    met = Met(
        users,
        items,
        np.array([user_of[pair[0]] for pair in ordered], np.int64),
        np.array([item_of[pair[1]] for pair in ordered], np.int64),
    )
    counts = np.bincount(met.user)
    if counts.min() <= held:
        few = users[int(counts.argmin())]
        row = next(row for row in ratings if value(row, user) == few)
        raise DataError(
            f"user {few} has met {counts.min()} items, and {held + 1} are needed",
            where=row.where,
            hint="leave such users out: nothing is known of them",
        )
    return met


def _tested(met: Met, spec: Argument) -> Met:
    """The pairs of the file that is the test.

    Raises:
        DataError: a user or an item is not known, or a pair was there before.
    """
    ratings = rows_of_table(Path(spec.options["test"]).expanduser(), spec)
    columns = _pair_columns(ratings[0], spec)
    sides = [{name: number for number, name in enumerate(s)} for s in (met.users, met.items)]
    before = set(met.codes.tolist())
    pairs = []
    for row in ratings:
        pair = []
        for name, numbers in zip(columns, sides, strict=True):
            text = _given(row, name)
            if text not in numbers:
                what = f"{name} is {text!r}, of which {spec.path.name} has no row"
                raise DataError(what, where=row.where, hint="nothing is known of it")
            pair.append(numbers[text])
        code = pair[0] * len(met.items) + pair[1]
        if code in before:
            what = f"{met.users[pair[0]]} has met {met.items[pair[1]]} in another row"
            raise DataError(what, where=row.where, hint="an item is to be found that was not met")
        before.add(code)
        pairs.append(pair)
    user, item = np.array(pairs, np.int64).T
    return Met(met.users, met.items, user, item)


def _given(row: Row, name: str) -> str:
    text = value(row, name)
    if not text:
        raise DataError(f"{name} is missing", where=row.where)
    return text


def _order(name: str) -> tuple[float, str]:
    return (float(name) if is_number(name) else np.inf, name)


def _places_from_the_end(user: Numbers) -> Numbers:
    """Of each pair how many of the same user come after it."""
    ends = np.cumsum(np.bincount(user))
    places: Numbers = ends[user] - 1 - np.arange(len(user))
    return places


class _Unmet:
    """Draws items that a user has not met in `every` set of pairs."""

    def __init__(self, every: Sequence[Met], generator: np.random.Generator) -> None:
        self._items, self._generator = len(every[0].items), generator
        self._codes = np.sort(np.concatenate([met.codes for met in every]))

    def __call__(self, user: Numbers) -> Numbers:
        """One for each user (N,); what was drawn and is known is drawn anew."""
        item = self._generator.integers(self._items, size=len(user))
        while True:
            is_known = self._knows(user, item)
            if not is_known.any():
                return item
            item[is_known] = self._generator.integers(self._items, size=int(is_known.sum()))

    def several(self, user: int, count: int) -> Numbers:
        """`count` different ones of one user."""
        order = self._generator.permutation(self._items)
        unmet: Numbers = order[~self._knows(np.full(self._items, user), order)]
        return unmet[:count]

    def _knows(self, user: Numbers, item: Numbers) -> NDArray[np.bool_]:
        codes = user * self._items + item
        at = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        is_known: NDArray[np.bool_] = self._codes[at] == codes
        return is_known


def _training(met: Met, generator: np.random.Generator, negatives: int) -> StoredRows:
    """Each pair of the training, and others of its user.

    What is held back may be among these: were it never, its absence would tell which it is.
    """
    others = np.repeat(met.user, negatives)
    drawn = _Unmet([met], generator)(others)
    users, items = np.concatenate([met.user, others]), np.concatenate([met.item, drawn])
    labels = np.concatenate([np.ones_like(met.user), np.zeros_like(others)])
    return _source(users, items, labels, users)


def _queries(met: Met, chosen: NDArray[np.bool_], unmet: _Unmet, candidates: int) -> StoredRows:
    """One a pair: the item to be found first, then the others."""
    user = np.repeat(met.user[chosen], 1 + candidates)
    query = np.repeat(np.arange(chosen.sum()), 1 + candidates)
    pairs = zip(met.user[chosen], met.item[chosen], strict=True)
    item = np.concatenate(
        [[positive, *unmet.several(person, candidates)] for person, positive in pairs]
    )
    labels = (np.arange(len(user)) % (1 + candidates) == 0).astype(np.int64)
    return _source(user, item.astype(np.int64), labels, query)


def _source(user: Numbers, item: Numbers, label: Numbers, query: Numbers) -> StoredRows:
    inputs = {"user": torch.from_numpy(user), "item": torch.from_numpy(item)}
    targets = {"label": torch.from_numpy(label), "query": torch.from_numpy(query)}
    return StoredRows(inputs, targets)


PLUGIN = FileSource(
    load_ratings, task="recommendation", order=30, columns=(USER_NAMES, ITEM_NAMES, TIME_NAMES)
)
