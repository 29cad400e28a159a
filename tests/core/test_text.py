import json

import pytest

from edgespiral.core.text import (
    described,
    is_printable,
    printable,
    printable_json,
    shortened,
    words_of,
)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("one\ntwo\r\tthree", r"one\ntwo\r\tthree"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("a\u202eb\u2066c\u2028d", r"a\u202eb\u2066c\u2028d"),
        ("\udcff", r"\udcff"),
        ("größer [als] 日本", "größer [als] 日本"),
    ],
)
def test_what_is_not_printable_is_written_out(text, written):
    assert printable(text) == written
    assert is_printable(text) == (text == written)
    assert is_printable(printable(text))


def test_line_breaks_stay_where_they_are_wanted():
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_a_json_document_says_the_same():
    document = json.dumps({"name\x85": "\x9b \u202e \x7f"}, ensure_ascii=False, indent=1)
    safe = printable_json(document)
    assert is_printable(safe.replace("\n", ""))
    assert json.loads(safe) == json.loads(document)


class SilentError(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("a\n  b\x1b[2J"), r"ValueError: a b\x1b[2J"),
        (KeyError("label"), "KeyError: 'label'"),
        (SystemExit(), "SystemExit"),
        (SilentError(), "SilentError"),
    ],
)
def test_an_exception_is_told_on_one_line(error, words):
    assert described(error) == words


def test_long_text_keeps_its_beginning_and_end():
    assert shortened("short") == "short"
    text = shortened("a" * 5000 + "z" * 5000, most=100)
    assert len(text) <= 100
    assert (text[0], text[-1]) == ("a", "z")


def test_the_words_of_an_exception_are_a_line_and_its_kind_where_it_has_none():
    assert words_of(ValueError("no\n  such file")) == "no such file"
    assert words_of(ValueError()) == "ValueError"
    assert words_of(ValueError("x" * 300)) == "x" * 200
