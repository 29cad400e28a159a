import json
import re
import unicodedata

import pytest
import torch

from edgespiral import data
from edgespiral.core.errors import DataError

ROWS = [("turn the {} on", "on"), ("switch the {} off", "off"), ("how {} is it", "ask")]
THINGS = ("lamp", "fan", "heater", "radio", "oven", "screen", "pump", "door", "gate", "bell")


def table(count=10, separator=",", head="text,label"):
    rows = [(text.format(THINGS[n % 10]) + " now" * (n // 10), label)
            for n in range(count) for text, label in ROWS]  # fmt: skip
    return "\n".join([head.replace(",", separator), *(separator.join(row) for row in rows)]) + "\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "commands.csv"
    path.write_text(table(20))
    return path


def whole(source):
    return next(iter(source.epoch(batch_size=len(source))))


def test_a_table_makes_three_fixed_parts_of_token_ids(file):
    splits, again = (data.load(f"text:{file}") for _ in range(2))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [46, 5, 9]
    assert splits.class_names == ("ask", "off", "on")
    tokens, labels = whole(splits.train)
    assert (tokens.dtype, labels.dtype) == (torch.int64, torch.int64)
    assert splits.input_shape == tuple(tokens.shape[1:]) == (5,)
    assert (splits.padding, splits.token_count) == (0, int(tokens.max()) + 1)
    assert torch.equal(whole(again.train)[0], tokens)
    data.check(splits, batch_size=8)


def test_the_vocabulary_that_ships_turns_ids_back_into_the_text(file):
    splits = data.load(f"text:{file}?min_count=1")
    vocabulary = splits.files["vocabulary.txt"].splitlines()
    assert vocabulary[:2] == ["<pad>", "<unk>"]
    tokens, labels = whole(splits.validation)
    row = [vocabulary[token] for token in tokens[0].tolist() if token != splits.padding]
    text = " ".join(row)
    assert f"{text},{splits.class_names[int(labels[0])]}" in file.read_text()
    told = json.loads(splits.files["tokeniser.json"])
    assert (told["length"], told["classes"]) == (5, ["ask", "off", "on"])


def test_words_that_training_has_once_are_unknown(tmp_path):
    lines = table(20).splitlines()
    path = tmp_path / "a.csv"
    path.write_text("\n".join([lines[0], "turn the zeppelin on,on", *lines[1:]]) + "\n")
    assert "zeppelin" not in data.load(f"text:{path}").files["vocabulary.txt"]
    assert "lamp" in data.load(f"text:{path}").files["vocabulary.txt"]


def test_texts_that_are_the_same_stay_in_one_part(tmp_path):
    path = tmp_path / "a.csv"
    lines = table(20).splitlines()
    path.write_text("\n".join([lines[0], *lines[1:] * 3]) + "\n")
    splits = data.load(f"text:{path}?min_count=1")
    parts = [
        {tuple(row) for row in whole(part)[0].tolist()}
        for part in (splits.train, splits.validation, splits.test)
    ]
    assert sum(map(len, parts)) == 60
    assert len(set.union(*parts)) == 60


def test_a_folder_of_tables_is_taken_as_it_is(tmp_path):
    for name, count in (("train.tsv", 6), ("val.tsv", 2), ("test.tsv", 3)):
        (tmp_path / name).write_text(table(count, "\t", "Utterance,Intent"))
    splits = data.load(f"text:{tmp_path}")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [18, 6, 9]


def test_lengths_cut_and_fill_up(file):
    assert data.load(f"text:{file}?length=3").input_shape == (3,)
    tokens, _ = whole(data.load(f"text:{file}?length=30").train)
    assert not tokens[:, 5:].any()
    with pytest.raises(DataError, match="length must be a whole number from 1 to 16384, not '0'"):
        data.load(f"text:{file}?length=0")


def test_columns_may_be_named(tmp_path):
    path = tmp_path / "spam.tsv"
    path.write_text("".join(f"{label}\t{text}\n" for text, label in
                            (line.split(",") for line in table(20).splitlines()[1:])))  # fmt: skip
    assert data.load(f"text:{path}?columns=label,text").class_names == ("ask", "off", "on")
    with pytest.raises(DataError, match=r"which of its columns .* has the text is not known"):
        data.load(f"text:{path}")


def test_a_vocabulary_of_ones_own_is_taken_and_must_hold_every_word(file, tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("<pad>\n<unk>\nturn\nthe\n")
    splits = data.load(f"text:{file}?vocabulary={own}")
    assert (splits.token_count, splits.files["vocabulary.txt"]) == (4, own.read_text())
    own.write_text("<pad>\nturn\nthe\n")
    with pytest.raises(DataError, match=r"commands\.csv:\d+: '\w+' is not in the vocabulary"):
        data.load(f"text:{file}?vocabulary={own}")


@pytest.mark.parametrize(
    ("row", "message"),
    [(" ,on", "the text is empty"), ("turn it on, ", "the label is empty")],
)
def test_empty_texts_and_labels_are_told_by_their_line(tmp_path, row, message):
    path = tmp_path / "a.csv"
    path.write_text(f"{table(10)}{row}\n")
    with pytest.raises(DataError, match=rf"a\.csv:32: {message}; take the row away"):
        data.load(f"text:{path}")


def test_a_label_that_training_does_not_have_is_told_by_its_line(tmp_path):
    (tmp_path / "train.csv").write_text(table(10))
    (tmp_path / "test.csv").write_text(f"{table(2)}open the door,open\n")
    with pytest.raises(DataError, match=r"test\.csv:8: the label 'open' is never seen"):
        data.load(f"text:{tmp_path}")


def test_one_text_that_would_make_all_others_as_long_is_told(file):
    file.write_text(table(20) + "on " * 20000 + ",on\n")
    with pytest.raises(DataError, match=r"commands\.csv:62: has 20000 words, .*\?length=512"):
        data.load(f"text:{file}")
    assert data.load(f"text:{file}?length=8").input_shape == (8,)


def spelt(form, text):
    return unicodedata.normalize(form, text)


def test_marks_stay_in_their_words_however_these_are_spelt(tmp_path):
    """The pattern that ships, on text in the form that ships, cuts as the data were cut."""
    path = tmp_path / "a.csv"
    rows = ["हिन्दी भाषा। café,é", "สวัสดี ❤️ café!,é", "نمی\u200cدیدم İyi,b"]
    twins = [spelt("NFD" if n % 2 else "NFC", row) for n in range(10) for row in rows]
    path.write_text("\n".join(["text,label", *twins]) + "\n", encoding="utf-8")
    # The two spellings of one text are in one part, so another is needed for each label.
    others = [f"{thing} {row}" for thing in THINGS for row in rows]
    path.write_text(path.read_text("utf-8") + "\n".join(others) + "\n", encoding="utf-8")
    splits = data.load(f"text:{path}")
    assert splits.class_names == ("b", "é")
    vocabulary = splits.files["vocabulary.txt"].splitlines()
    assert {"हिन्दी", "भाषा", "।", "café", "สวัสดี", "❤️", "نمی\u200cدیدم", "i\u0307yi"} <= {
        *vocabulary
    }
    assert not any(unicodedata.category(word[0])[0] == "M" for word in vocabulary)
    told = json.loads(splits.files["tokeniser.json"])
    cut = re.findall(told["pattern"], spelt(told["normalisation"], twins[1][:-2].lower()))
    assert cut == ["สวัสดี", "❤️", "café", "!"]
    parts = (splits.train, splits.validation, splits.test)
    texts = [{tuple(row) for row in whole(part)[0].tolist()} for part in parts]
    assert len(set.union(*texts)) == sum(map(len, texts))


def test_a_vocabulary_of_before_loads_and_has_words_in_either_spelling(file, tmp_path):
    vocabulary = tmp_path / "words.txt"
    tokens = ["<pad>", "<unk>", "\u0301", "\u0340", "\u0300", spelt("NFD", "café")]
    vocabulary.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    rows = file.read_text().replace("lamp", "café")
    file.write_text(rows, encoding="utf-8")
    splits = data.load(f"text:{file}?vocabulary={vocabulary}")
    assert splits.files["vocabulary.txt"].splitlines() == tokens
    assert (whole(splits.train)[0] == 5).any()
