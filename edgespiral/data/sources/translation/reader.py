"""Pairs of sentences, in a table or in two files of the same number of lines."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.utils.data import Dataset

from edgespiral.core.batches import NO_SYMBOL, DataSplits, InputSpec
from edgespiral.core.errors import DataError, UsageError
from edgespiral.core.text import described
from edgespiral.data.argument import Argument
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.files import packed
from edgespiral.data.files.marks import FORM, MARK, MARKS, normal
from edgespiral.data.files.parts import TEST_PART, VALIDATION_NAMES, VALIDATION_PART
from edgespiral.data.files.tables import column, is_table, rows, rows_of_table, three_tables, value
from edgespiral.data.files.vocabulary import PADDING, UNKNOWN, Vocabulary
from edgespiral.data.holdout import drawn_apart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from edgespiral.data.files.tables import Row

OPTIONS = (
    *("source", "target", "from", "to", "columns", "length", "min_count", "longer"),
    *("source_vocabulary", "target_vocabulary"),
)
SOURCE_NAMES, TARGET_NAMES = ("source", "src", "from"), ("target", "tgt", "to", "translation")
BEGIN, END = "<s>", "</s>"
SOURCE_VOCABULARY, TARGET_VOCABULARY = "source-vocabulary.txt", "target-vocabulary.txt"
TOKENISER = "tokeniser.json"
LEAST_COUNT = 2
# A character of Chinese or Japanese is a word; so are words with an apostrophe, and other signs.
HAN_AND_KANA = r"\u3040-\u30ff\u3400-\u9fff"
PATTERN = (
    rf"[{HAN_AND_KANA}](?:{MARK})*|(?:[^\W{HAN_AND_KANA}]|{MARK})+(?:'[\w{MARKS}]+)*"
    rf"|[^\w\s{MARKS}](?:{MARK})*"
)
WORDS = re.compile(PATTERN)
MOST_BYTES = 2**30


@dataclass(frozen=True)
class Pair:
    """The words of a sentence and of its translation, and their place."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    where: str


class Pairs(Dataset[tuple[dict[str, "Tensor"], "Tensor"]]):
    """Samples `({"source": (S,), "target": (T,)}, (T,))` of ids, in memory."""

    def __init__(self, source: Tensor, target: Tensor, references: Tensor) -> None:
        self._source, self._target, self._references = source, target, references

    def __len__(self) -> int:
        return len(self._references)

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], Tensor]:
        inputs = {"source": self._source[index], "target": self._target[index]}
        return inputs, self._references[index]


def load_translation(argument: str) -> DataSplits:
    """`translation:FILE.tsv`, or `translation:FOLDER?from=en&to=de`; see docs/data.md.

    A table has a column each for the source and its translation; a folder has tables train, val
    (or validation) and test, or with `from` and `to` two files a part: `train.en` and `train.de`,
    whose lines belong together. `translation:TEXT?from=en&to=de` is `TEXT.en` and `TEXT.de`. Of
    what is not a folder 15 % are the test and a tenth of the rest the validation; sentences with
    the same source stay together.

    Words are lower case. Each language has a vocabulary of its own, of the words that the training
    part has twice (`min_count`), or of a file (`source_vocabulary`, `target_vocabulary`).
    Sentences have at most `length` words, if not given as many as the longest; a longer one is
    refused, cut off (`longer=cut`) or left out (`longer=skip`, in training alone).

    Raises:
        DataError: a file is missing or damaged, two files have different numbers of lines, a
            sentence is empty or too long, or has a word that a vocabulary has no token for.
    """
    spec = Argument("translation", argument, OPTIONS)
    train, validation, test = _within_lengths(spec, _parts(spec))
    if not (train and validation and test):
        raise DataError("has too few sentences to hold some out", where=str(spec.path))
    everything = (*train, *validation, *test)
    # The end is a word, too.
    lengths = (
        max(len(pair.source) for pair in everything),
        1 + max(len(pair.target) for pair in everything),
    )
    source = _vocabulary(spec, "source_vocabulary", [pair.source for pair in train])
    target = _vocabulary(spec, "target_vocabulary", [pair.target for pair in train], BEGIN, END)
    parts = [_ids(part, source, target, lengths) for part in (train, validation, test)]
    return DataSplits(
        name=f"translation:{spec.path}",
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        class_names=target.tokens,
        input_shape=(),
        target_shape=None,
        padding=0,
        inputs={
            "source": InputSpec((lengths[0],), len(source.tokens)),
            "target": InputSpec((lengths[1],), len(target.tokens)),
        },
        files={
            SOURCE_VOCABULARY: source.text,
            TARGET_VOCABULARY: target.text,
            TOKENISER: _description(lengths),
        },
    )


def _parts(spec: Argument) -> tuple[Sequence[Pair], Sequence[Pair], Sequence[Pair]]:
    languages = [spec.options.get(name) for name in ("from", "to")]
    if any(languages) and not all(languages):
        raise UsageError("names one language of two", where=spec.where, hint="?from=en&to=de")
    source, target = (language or "" for language in languages)
    if not spec.path.is_dir():
        whole = _two_files(spec.path, source, target) if source else _table(spec.path, spec)
        rest, test = _apart(whole, TEST_PART)
        return (*_apart(rest, VALIDATION_PART), test)
    if source:
        read = _files(spec.path, source, target)
    else:
        read = {name: _table(path, spec) for name, path in three_tables(spec.path).items()}
    train, *others = read.values()
    if len(others) == 1:
        return (*_apart(train, VALIDATION_PART), others[0])
    return train, others[0], others[-1]


def _files(folder: Path, source: str, target: str) -> dict[str, list[Pair]]:
    """The parts of a folder that has two files a part."""
    read = {}
    for name in ("train", *VALIDATION_NAMES, "test"):
        sides = [_language_file(folder, name, language) for language in (source, target)]
        there = [side for side in sides if side is not None]
        if len(there) == 2:
            read[name] = _lines(there[0], there[1])
        elif there:
            what = f"{there[0].name} has no file of the other language beside it"
            raise DataError(what, where=str(folder))
    if "train" not in read or len(read) < 2:
        what = f"has no train.{source} and train.{target} with val or test files beside them"
        raise DataError(what, where=str(folder))
    return read


def _two_files(stem: Path, source: str, target: str) -> list[Pair]:
    """The pairs of `STEM.en` and `STEM.de`."""
    sides = [_language_file(stem.parent, stem.name, language) for language in (source, target)]
    if sides[0] is None or sides[1] is None:
        lacking = source if sides[0] is None else target
        raise DataError(f"there is no file {stem.name}.{lacking}", where=str(stem.parent))
    return _lines(sides[0], sides[1])


def _language_file(folder: Path, name: str, language: str) -> Path | None:
    files = (folder / f"{name}.{language}{packing}" for packing in ("", packed.SUFFIX))
    return next((file for file in files if file.is_file()), None)


def _lines(source: Path, target: Path) -> list[Pair]:
    sides = [_text(path).split("\n") for path in (source, target)]
    for side in sides:
        if side and not side[-1]:
            side.pop()
    if len(sides[0]) != len(sides[1]):
        raise DataError(
            f"has {len(sides[0])} lines, and {target.name} has {len(sides[1])}",
            where=str(source),
            hint="line n of one is the translation of line n of the other",
        )
    pairs = enumerate(zip(*sides, strict=True), 1)
    return [_pair(read, meant, f"{source}:{number}") for number, (read, meant) in pairs]


def _text(path: Path) -> str:
    try:
        return packed.read_packed(path, MOST_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError("is not text in UTF-8", where=str(path)) from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or described(error)
        raise DataError(f"cannot be read: {reason}", where=str(path)) from error


def _table(path: Path, spec: Argument) -> list[Pair]:
    if not is_table(path):
        rows(path)  # which says what it is not
    read = rows_of_table(path, spec)
    source = spec.options.get("source") or column(read[0], SOURCE_NAMES, "source")
    target = spec.options.get("target") or column(read[0], TARGET_NAMES, "target")
    return [_row_pair(row, source, target) for row in read]


def _row_pair(row: Row, source: str, target: str) -> Pair:
    return _pair(value(row, source), value(row, target), row.where)


def _pair(source: str, target: str, where: str) -> Pair:
    read, meant = (tuple(WORDS.findall(normal(side.lower()))) for side in (source, target))
    pair = Pair(read, meant, where)
    for name, words in (("sentence", pair.source), ("translation", pair.target)):
        if not words:
            raise DataError(f"the {name} is empty", where=where, hint="take the line away")
    return pair


def _apart(pairs: Sequence[Pair], part: float) -> tuple[list[Pair], list[Pair]]:
    """(the rest, about `part`): what has the same source is on one side."""
    sources = list(dict.fromkeys(pair.source for pair in pairs))
    _, held = drawn_apart(sources, part)
    is_held = set(held)
    sides: tuple[list[Pair], list[Pair]] = ([], [])
    for pair in pairs:
        sides[pair.source in is_held].append(pair)
    return sides


def _within_lengths(
    spec: Argument, parts: tuple[Sequence[Pair], Sequence[Pair], Sequence[Pair]]
) -> list[list[Pair]]:
    """The parts with no sentence longer than what is asked for, if anything is."""
    longer = spec.one_of("longer", ("refuse", "cut", "skip"))
    if "length" not in spec.options:
        return [list(part) for part in parts]
    most = spec.whole_number("length", default=1, least=1)
    parts_kept = []
    for number, part in enumerate(parts):
        # What is scored is the whole of it: what it leaves out would be nobody's loss.
        is_skipping = longer == "skip" and number == 0
        short = [pair for pair in part if max(len(pair.source), len(pair.target)) <= most]
        if len(short) < len(part) and not is_skipping and longer != "cut":
            first = next(p for p in part if max(len(p.source), len(p.target)) > most)
            raise DataError(
                f"the sentence has {max(len(first.source), len(first.target))} words, and "
                f"{most} are the most",
                where=first.where,
                hint="raise ?length=, or ?longer=cut; training alone may do without: longer=skip",
            )
        cut = [Pair(pair.source[:most], pair.target[:most], pair.where) for pair in part]
        parts_kept.append(short if is_skipping else cut)
    return parts_kept


def _vocabulary(
    spec: Argument, option: str, train: Sequence[Sequence[str]], *marks: str
) -> Vocabulary:
    """That of a file, or of what training has; `marks` are tokens that are no words."""
    if option in spec.options:
        path = Path(spec.options[option]).expanduser()
        read = Vocabulary.read(path)
        lacking = [mark for mark in marks if mark not in read.tokens]
        if lacking:
            raise DataError(f"has no {lacking[0]}", where=str(path), hint="add it as a line")
        return read
    vocabulary = Vocabulary.of(train, spec.whole_number("min_count", default=LEAST_COUNT, least=1))
    return Vocabulary((*vocabulary.tokens[:2], *marks, *vocabulary.tokens[2:]))


def _ids(
    pairs: Sequence[Pair], source: Vocabulary, target: Vocabulary, lengths: tuple[int, int]
) -> DatasetSource:
    begin, end = (target.tokens.index(mark) for mark in (BEGIN, END))
    read = torch.zeros(len(pairs), lengths[0], dtype=torch.int64)
    before = torch.zeros(len(pairs), lengths[1], dtype=torch.int64)
    targets = torch.full((len(pairs), lengths[1]), NO_SYMBOL, dtype=torch.int64)
    for index, pair in enumerate(pairs):
        words = source.ids(pair.source, pair.where)
        wanted = [*target.ids(pair.target, pair.where), end]
        read[index, : len(words)] = torch.tensor(words)
        targets[index, : len(wanted)] = torch.tensor(wanted)
        before[index, : len(wanted)] = torch.tensor([begin, *wanted[:-1]])
    names = [pair.where for pair in pairs]
    return DatasetSource(Pairs(read, before, targets), fixed=True, names=names)


def _description(lengths: tuple[int, int]) -> str:
    """How who runs the model makes tokens of a sentence, and what it says."""
    facts = {
        "lowercase": True,
        "normalisation": FORM,
        "pattern": PATTERN,
        "source_length": lengths[0],
        "target_length": lengths[1],
        "padding": PADDING,
        "unknown": UNKNOWN,
        "begin": BEGIN,
        "end": END,
    }
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
