"""Texts with a label each, in CSV, TSV or JSON Lines files, as token ids."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import TensorDataset

from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import DataError
from edgespiral.data.argument import Argument
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.files.marks import FORM, normal
from edgespiral.data.files.parts import TEST_PART, VALIDATION_PART
from edgespiral.data.files.tables import column, rows_of_table, three_tables, value
from edgespiral.data.files.vocabulary import (
    PADDING,
    PATTERN,
    UNKNOWN,
    VOCABULARY,
    Vocabulary,
    words,
)
from edgespiral.data.holdout import hold_out
from edgespiral.data.sources.base import FileSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgespiral.data.files.tables import Row

OPTIONS = ("text", "label", "columns", "length", "min_count", "vocabulary")
# What the columns are called where nothing is said.
TEXT_NAMES = ("text", "sentence", "utterance", "message", "query", "sms")
LABEL_NAMES = ("label", "category", "class", "intent", "target")
# Words that are met once teach what an unknown one is like.
LEAST_COUNT = 2
TOKENISER = "tokeniser.json"
# Every sequence is as long as the longest: one file pasted into a field would fill the memory.
MOST_TOKENS = 2**14


@dataclass(frozen=True)
class Labelled:
    """The words of a text, its label and its place."""

    words: tuple[str, ...]
    label: str
    where: str


def load_text(argument: str) -> DataSplits:
    """`text:FILE.csv` or `text:FOLDER`, with options such as `?text=query&label=intent&length=24`.

    A folder has a file each for train, val (or validation) and test, or for train and one of the
    others. Of a single file 15 % are the test and a tenth of the rest the validation, each label in
    proportion; texts that are the same stay together.

    Words are lower case. The vocabulary has those that the training part has twice (`min_count`),
    or is `vocabulary`, a file with a token a line. Sequences are `length` tokens, if not given as
    long as the longest text, and filled up with token 0.

    Raises:
        DataError: a file is missing or damaged, has no such column, an empty text or label, a label
            that training does not have, or a word that the vocabulary has no token for; or one text
            would make all sequences longer than `MOST_TOKENS`.
    """
    spec = Argument("text", argument, OPTIONS)
    train, validation, test = parts = _parts(spec)
    vocabulary = _vocabulary(spec, train)
    classes = sorted({text.label for text in train})
    length = _length(spec, parts)
    sources = [_source(part, vocabulary, classes, length) for part in (train, validation, test)]
    return DataSplits(
        name=f"text:{spec.path}",
        train=sources[0],
        validation=sources[1],
        test=sources[2],
        class_names=tuple(classes),
        input_shape=(length,),
        token_count=len(vocabulary.tokens),
        padding=0,
        files={VOCABULARY: vocabulary.text, TOKENISER: _description(length, classes)},
    )


def _length(spec: Argument, parts: Sequence[Sequence[Labelled]]) -> int:
    """Of all sequences, in tokens."""
    longest = max((text for part in parts for text in part), key=lambda text: len(text.words))
    if "length" not in spec.options and len(longest.words) > MOST_TOKENS:
        raise DataError(
            f"has {len(longest.words)} words, and all texts would be made as long",
            where=longest.where,
            hint="?length=512 takes the first 512 of each",
        )
    return spec.whole_number("length", default=len(longest.words), least=1, most=MOST_TOKENS)


def _parts(spec: Argument) -> tuple[Sequence[Labelled], Sequence[Labelled], Sequence[Labelled]]:
    if not spec.path.is_dir():
        rest, test = _split(_read(spec.path, spec), TEST_PART)
        return (*_split(rest, VALIDATION_PART), test)
    train, *others = (_read(file, spec) for file in three_tables(spec.path).values())
    if len(others) == 1:
        return (*_split(train, VALIDATION_PART), others[0])
    return train, others[0], others[-1]


def _read(path: Path, spec: Argument) -> list[Labelled]:
    table_rows = rows_of_table(path, spec)
    text = spec.options.get("text") or column(table_rows[0], TEXT_NAMES, "text")
    label = spec.options.get("label") or column(table_rows[0], LABEL_NAMES, "label")
    return [_labelled(row, text, label) for row in table_rows]


def _labelled(row: Row, text: str, label: str) -> Labelled:
    sample = Labelled(tuple(words(value(row, text))), normal(value(row, label)), row.where)
    if not sample.words:
        raise DataError("the text is empty", where=row.where, hint="take the row away")
    if not sample.label:
        raise DataError("the label is empty", where=row.where, hint="take the row away")
    return sample


def _split(texts: Sequence[Labelled], part: float) -> tuple[list[Labelled], list[Labelled]]:
    """(the rest, about `part` of the texts); those that are the same are on one side."""
    first: dict[tuple[str, ...], int] = {}
    groups = [first.setdefault(text.words, len(first)) for text in texts]
    labels = [""] * len(first)
    for text, group in zip(texts, groups, strict=True):
        labels[group] = labels[group] or text.label
    classes = sorted(set(labels))
    numbers = np.array([classes.index(label) for label in labels], np.int64)
    where = texts[0].where.rpartition(":")[0]
    _, held = hold_out(numbers, max(len(classes), round(part * len(labels))), where=where)
    is_held = set(held.tolist())
    sides: tuple[list[Labelled], list[Labelled]] = ([], [])
    for text, group in zip(texts, groups, strict=True):
        sides[group in is_held].append(text)
    return sides


def _vocabulary(spec: Argument, train: Sequence[Labelled]) -> Vocabulary:
    if "vocabulary" in spec.options:
        return Vocabulary.read(Path(spec.options["vocabulary"]).expanduser())
    least = spec.whole_number("min_count", default=LEAST_COUNT, least=1, most=10**9)
    return Vocabulary.of((text.words for text in train), least)


def _source(
    texts: Sequence[Labelled], vocabulary: Vocabulary, classes: Sequence[str], length: int
) -> DatasetSource:
    tokens = torch.zeros(len(texts), length, dtype=torch.int64)
    labels = torch.zeros(len(texts), dtype=torch.int64)
    numbers = {name: number for number, name in enumerate(classes)}
    for index, text in enumerate(texts):
        if text.label not in numbers:
            what = f"the label {text.label!r} is never seen in training"
            raise DataError(what, where=text.where)
        ids = vocabulary.ids(text.words[:length], text.where)
        tokens[index, : len(ids)] = torch.tensor(ids)
        labels[index] = numbers[text.label]
    names = [text.where for text in texts]
    return DatasetSource(TensorDataset(tokens, labels), fixed=True, names=names)


def _description(length: int, classes: Sequence[str]) -> str:
    """How who runs the model makes tokens of a text, and what its outputs are."""
    facts = {
        "lowercase": True,
        "normalisation": FORM,
        "pattern": PATTERN,
        "length": length,
        "padding": PADDING,
        "unknown": UNKNOWN,
        "classes": list(classes),
    }
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


PLUGIN = FileSource(load_text, order=20, columns=(TEXT_NAMES, LABEL_NAMES))
