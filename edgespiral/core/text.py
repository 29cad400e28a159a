"""Text from outside, written so that it can do nothing where it is shown."""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), marks that turn the direction of text, separators that some
# readers take for line breaks, and halves of surrogate pairs, which no encoding has.
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
LONGEST = 300
# Of what an exception says behind what it is told for.
LONGEST_REASON = 200


def printable(text: str, *, keep: str = "") -> str:
    r"""`text` with what is not printable written out: `\x1b`, `\n`, `\u202e`.

    Args:
        text: any text.
        keep: characters that stay as they are, such as the line breaks of a text of several lines.
    """
    return UNPRINTABLE.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def is_printable(text: str) -> bool:
    """Whether `printable` would leave `text` as it is."""
    return UNPRINTABLE.search(text) is None


def is_text(text: str) -> bool:
    r"""Whether it can be written: names of files and JSON may have half of a surrogate pair.

    Example:
        >>> is_text("b\u00fcro"), is_text("\udcff")
        (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_whole(text: str, least: int, most: int) -> bool:
    """Whether `text` is a whole number in these bounds, however many digits it has.

    Example:
        >>> is_whole("64", 8, 4096), is_whole("9" * 5000, 8, 4096)
        (True, False)
    """
    return text.isdecimal() and len(text) <= len(str(most)) and least <= int(text) <= most


def printable_json(document: str) -> str:
    """A JSON document that says the same, with nothing in it that is not printable but spaces."""
    return UNPRINTABLE.sub(
        lambda match: match[0] if match[0] in "\t\n\r" else f"\\u{ord(match[0]):04x}", document
    )


def shortened(text: str, most: int = LONGEST) -> str:
    """`text`, or where it is longer than `most` characters its beginning and end."""
    if len(text) <= most:
        return text
    return f"{text[: most * 2 // 3]} ... {text[-most // 4 :]}"


def words_of(error: BaseException) -> str:
    """The beginning of an exception's words, on one line; its kind where it has none."""
    return " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__


def described(error: BaseException) -> str:
    """An exception of anybody's on one line: its kind, and its words where it has some."""
    try:
        words = " ".join(str(error).split())
    except Exception:  # whatever an exception's own __str__ raises
        words = ""
    kind = type(error).__name__
    return shortened(printable(f"{kind}: {words}" if words else kind))


def _escape(character: str) -> str:
    named = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(character)
    code = ord(character)
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
