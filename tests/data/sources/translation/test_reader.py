"""Parallel text, in tables and in two files a part."""

import gzip
import json
import re
import unicodedata
from itertools import chain

import pytest

from edgespiral.core.errors import DataError, UsageError
from edgespiral.data import load
from edgespiral.data.check import check

PAIRS = [
    ("A cat.", "Eine Katze."), ("A dog.", "Ein Hund."), ("Don't run!", "Nicht rennen!"),
    ("A cat runs.", "Eine Katze rennt."), ("A dog runs.", "Ein Hund rennt."),
    ("The cat.", "Die Katze."), ("The dog.", "Der Hund."), ("A cat.", "Eine Katze!"),
]  # fmt: skip


def table(path, pairs, head="source\ttarget"):
    lines = [head, *("\t".join(pair) for pair in pairs)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def two_files(folder, **parts):
    for name, pairs in parts.items():
        for at, language in enumerate(("en", "de")):
            text = "".join(f"{pair[at]}\n" for pair in pairs)
            (folder / f"{name}.{language}.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def tokens_of(splits, ids):
    return [splits.class_names[i] for i in ids.tolist() if i >= 0]


def test_a_table_becomes_ids_of_two_vocabularies(tmp_path):
    splits = load(f"translation:{table(tmp_path / 'pairs.tsv', PAIRS * 3)}?min_count=1")
    check(splits, 2)
    inputs, said = next(iter(splits.train.epoch(batch_size=1)))
    assert set(inputs) == {"source", "target"}
    source = splits.files["source-vocabulary.txt"].splitlines()
    assert source[:2] == ["<pad>", "<unk>"]
    assert splits.class_names[:4] == ("<pad>", "<unk>", "<s>", "</s>")
    assert splits.files["target-vocabulary.txt"].splitlines() == list(splits.class_names)
    wanted = tokens_of(splits, said[0])
    assert wanted[-1] == "</s>"
    # What is given is what is to be said, one place later.
    given = [splits.class_names[i] for i in inputs["target"][0].tolist() if i]
    assert given == ["<s>", *wanted[:-1]]
    assert splits.specs["source"].token_count == len(source)


def test_what_has_the_same_source_is_in_one_part(tmp_path):
    splits = load(f"translation:{table(tmp_path / 'pairs.tsv', PAIRS * 3)}?min_count=1")
    parts = (splits.train, splits.validation, splits.test)
    sources = [
        {tuple(row) for inputs, _ in part.epoch(batch_size=99) for row in inputs["source"].tolist()}
        for part in parts
    ]
    assert sum(map(len, sources)) == len(set(chain(*sources)))
    assert sum(map(len, parts)) == 3 * len(PAIRS)


def test_a_folder_has_two_files_a_part(tmp_path):
    folder = two_files(tmp_path, train=PAIRS, val=PAIRS[:2], test=PAIRS[:3])
    splits = load(f"translation:{folder}?from=en&to=de")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [8, 2, 3]
    assert splits.test.place(1, None) == f"{folder / 'test.en.gz'}:2"
    assert "nicht" not in splits.class_names  # once in training
    _, said = next(iter(splits.train.epoch(batch_size=8)))
    assert said[2].tolist()[:2] == [1, 1]


def test_characters_of_chinese_are_words(tmp_path):
    pairs = [(f"word {n}", "我喜欢ABC") for n in range(20)]
    splits = load(f"translation:{table(tmp_path / 'zh.tsv', pairs)}?min_count=1")
    _, said = next(iter(splits.test.epoch(batch_size=1)))
    assert tokens_of(splits, said[0]) == ["我", "喜", "欢", "abc", "</s>"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("", "Nichts."), r"pairs\.tsv:10: the sentence is empty"),
        (("Nothing.", "  "), r"pairs\.tsv:10: the translation is empty"),
        (("a b c d e f g", "a"), r"pairs\.tsv:10: the sentence has 7 words, and 6 are the most"),
    ],
)
def test_a_bad_line_is_named(line, message, tmp_path):
    file = table(tmp_path / "pairs.tsv", [*PAIRS, line, *PAIRS])
    with pytest.raises(DataError, match=message):
        load(f"translation:{file}?length=6")


def test_a_long_sentence_is_cut_or_left_out_where_that_is_asked_for(tmp_path):
    long = ("a b c d e f g", "a b c d e f g")
    folder = two_files(tmp_path, train=[*PAIRS, long], val=PAIRS, test=PAIRS)
    asked = f"translation:{folder}?from=en&to=de&length=6"
    assert len(load(f"{asked}&longer=skip").train) == 8
    cut = load(f"{asked}&longer=cut")
    assert len(cut.train) == 9
    assert cut.specs["source"].shape == (6,)
    two_files(folder, test=[*PAIRS, long])
    with pytest.raises(DataError, match=r"test\.en\.gz:9: the sentence has 7 words"):
        load(f"{asked}&longer=skip")


def test_files_that_do_not_go_together_are_told(tmp_path):
    folder = two_files(tmp_path, train=PAIRS, val=PAIRS)
    (folder / "val.de.gz").write_bytes(gzip.compress(b"Eins.\n"))
    with pytest.raises(DataError, match=r"val\.en\.gz: has 8 lines, and val\.de\.gz has 1"):
        load(f"translation:{folder}?from=en&to=de")
    (folder / "val.de.gz").unlink()
    with pytest.raises(DataError, match=r"val\.en\.gz has no file of the other language"):
        load(f"translation:{folder}?from=en&to=de")
    with pytest.raises(UsageError, match="names one language of two"):
        load(f"translation:{folder}?from=en")


def test_two_files_alone_are_divided(tmp_path):
    two_files(tmp_path, corpus=PAIRS * 3)
    splits = load(f"translation:{tmp_path / 'corpus'}?from=en&to=de&min_count=1")
    assert sum(map(len, (splits.train, splits.validation, splits.test))) == 3 * len(PAIRS)
    with pytest.raises(DataError, match=r"there is no file corpus\.fr"):
        load(f"translation:{tmp_path / 'corpus'}?from=en&to=fr")


def test_a_word_without_a_token_is_told(tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("<pad>\na\ncat\n.\n", encoding="utf-8")
    file = table(tmp_path / "pairs.tsv", PAIRS)
    asked = f"translation:{file}?source_vocabulary={own}"
    with pytest.raises(DataError, match=r"pairs\.tsv:3: 'dog' is not in the vocabulary"):
        load(asked)
    with pytest.raises(DataError, match=r"own\.txt: has no <s>"):
        load(f"translation:{file}?target_vocabulary={own}")


def test_marks_stay_in_their_words_and_twins_in_one_part(tmp_path):
    pairs = [(unicodedata.normalize(form, f"{name} café हिन्दी"), "葛\U000e0100 é東 भाषा।")
             for form in ("NFC", "NFD") for name in "abcdefghijklmnop"]  # fmt: skip
    path = table(tmp_path / "pairs.tsv", pairs)
    splits = load(f"translation:{path}?min_count=1")
    source = splits.files["source-vocabulary.txt"].splitlines()
    assert {*source[2:]} <= {"café", "हिन्दी", *"abcdefghijklmnop"}
    assert {*splits.class_names[4:]} == {"葛\U000e0100", "é", "東", "भाषा", "।"}
    told = json.loads(splits.files["tokeniser.json"])
    assert re.findall(told["pattern"], "हिन्दी!") == ["हिन्दी", "!"]
    assert told["normalisation"] == "NFC"
    seen = [
        {tuple(row) for inputs, _ in part.epoch(batch_size=99) for row in inputs["source"].tolist()}
        for part in (splits.train, splits.test)
    ]
    assert not seen[0] & seen[1]
