"""Words of texts as token ids, by a vocabulary that ships with the model."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from edgespiral.core.errors import DataError
from edgespiral.core.system.files import read_text
from edgespiral.core.user_code import user_code
from edgespiral.data.files.marks import MARK, MARKS, normal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PADDING, UNKNOWN = "<pad>", "<unk>"
# The file of a token a line that ships.
VOCABULARY = "vocabulary.txt"
# Words with an apostrophe inside, numbers, and every other sign by itself.
PATTERN = rf"[\w{MARKS}]+(?:'[\w{MARKS}]+)*|[^\w\s{MARKS}](?:{MARK})*"
WORDS = re.compile(PATTERN)
MOST_BYTES = 2**27


def words(text: str) -> list[str]:
    """The words of a text in lower case, NFC, and its punctuation marks.

    Example:
        >>> words("Don't move: 2 cats!")
        ["don't", 'move', ':', '2', 'cats', '!']
    """
    return WORDS.findall(normal(text.lower()))


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in the order of their ids; the first fills sequences up.

    Example:
        >>> vocabulary = Vocabulary.of([["a", "cat"], ["a", "dog"]], least_count=2)
        >>> vocabulary.tokens, vocabulary.ids(["a", "bird"], "here")
        (('<pad>', '<unk>', 'a'), [2, 1])
    """

    tokens: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[Sequence[str]], least_count: int) -> Vocabulary:
        """All words that `texts` have at least so often, the commonest first."""
        counts = Counter(word for text in texts for word in text)
        common = [word for word, count in counts.items() if count >= least_count]
        return cls((PADDING, UNKNOWN, *sorted(common, key=lambda word: (-counts[word], word))))

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """That of a file with a token a line.

        Raises:
            DataError: it cannot be read, has a token twice, or does not begin with `<pad>`.
        """
        with user_code(DataError, "cannot be read", where=str(path), hint="write a token a line"):
            tokens = tuple(read_text(path, MOST_BYTES).splitlines())
        twice = [token for token, count in Counter(tokens).items() if count > 1]
        if twice:
            raise DataError(f"has {twice[0]!r} twice", where=str(path))
        if tokens[:1] != (PADDING,):
            raise DataError(f"does not begin with {PADDING}", where=str(path))
        return cls(tokens)

    @property
    def text(self) -> str:
        """What `read` reads."""
        return "".join(f"{token}\n" for token in self.tokens)

    def ids(self, text: Sequence[str], where: str) -> list[int]:
        """Token ids of words.

        Raises:
            DataError: one is not in the vocabulary, which has no `<unk>` for it.
        """
        unknown = self._ids.get(UNKNOWN)
        strange = [word for word in text if unknown is None and word not in self._ids]
        if strange:
            raise DataError(
                f"{strange[0]!r} is not in the vocabulary, which has no {UNKNOWN}", where=where
            )
        return [self._ids.get(word, unknown or 0) for word in text]

    @cached_property
    def _ids(self) -> dict[str, int]:
        exact = {token: index for index, token in enumerate(self.tokens)}
        # A file may spell accented letters in two characters, which the words of texts never do.
        return {**{normal(token): index for token, index in exact.items()}, **exact}
