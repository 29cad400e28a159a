import gzip

import pytest

from edgespiral.core.errors import DataError
from edgespiral.data.files.packed import read_packed
from edgespiral.data.files.tables import column, rows, three_tables, value


def test_the_same_rows_come_from_every_form(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\n"one, two",x\nthree,y\n', encoding="utf-8-sig")
    (tmp_path / "a.tsv").write_text("text\tlabel\none, two\tx\nthree\ty\n")
    (tmp_path / "a.jsonl").write_text(
        '{"text": "one, two", "label": "x"}\n\n{"text": "three", "label": "y"}\n'
    )
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    for name in ("a.csv", "a.tsv", "a.jsonl", "b.csv.gz"):
        found = rows(tmp_path / name)
        assert [dict(row.values) for row in found] == [
            {"text": "one, two", "label": "x"},
            {"text": "three", "label": "y"},
        ]
        assert found[1].where.endswith(f"{name}:3")


def test_columns_are_named_where_there_is_no_head_line(tmp_path):
    (tmp_path / "a.tsv").write_text('spam\twin "now\n')
    [row] = rows(tmp_path / "a.tsv", ["label", "text"])
    assert value(row, "text") == 'win "now'
    assert column(row, ("text",), "text") == "text"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv: has no rows"),
        ("a.csv", b"text,label\n", "a.csv: has no rows"),
        ("a.csv", b"text,label\na,b,c\n", "a.csv:2: has 3 fields, and there are 2 columns"),
        ("a.csv", b"text, text\na,b\n", "a.csv:1: has two columns called 'text'"),
        ("a.csv", b'text,label\n"a,b\n', "a.csv:2: unexpected end of data"),
        ("a.csv", b"text,label\n\xff\xfe,b\n", "a.csv: is not text in UTF-8"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl:2: is no JSON"),
        ("a.jsonl", b"[1, 2]\n", "a.jsonl:1: is a list, not an object"),
        ("a.csv.gz", b"text,label\n", "a.csv.gz: cannot be read"),
        ("a.csv.gz", gzip.compress(b"text,label\n" * 99, mtime=0)[:-9], "a.csv.gz: cannot be read"),
        ("a.txt", b"x", "is none of .csv, .tsv, .jsonl"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        rows(tmp_path / name)


def test_missing_files_and_columns_are_told(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv: cannot be read: No such file"):
        rows(tmp_path / "nowhere.csv")
    (tmp_path / "a.csv").write_text("said,kind\na,b\n")
    [row] = rows(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"which of its columns \(said, kind\) has the label"):
        column(row, ("label",), "label")
    with pytest.raises(DataError, match=r"a\.csv:2: has no column 'text', but said, kind"):
        value(row, "text")


def test_a_folder_has_a_table_for_train_and_another(tmp_path):
    with pytest.raises(DataError, match="has no train file"):
        three_tables(tmp_path)
    for name in ("train.csv", "test.jsonl.gz"):
        (tmp_path / name).touch()
    assert list(three_tables(tmp_path)) == ["train", "test"]
    (tmp_path / "valid.tsv").touch()
    assert list(three_tables(tmp_path)) == ["train", "valid", "test"]


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(ValueError, match=r"unpacks to more than 0\.1 MB"):
        read_packed(tmp_path / "a.gz", 10**5)
    assert len(read_packed(tmp_path / "a.gz", 10**6)) == 10**6
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(2**26 + 1)))
    with pytest.raises(ValueError, match="unpacks to more than 200 times its own size"):
        read_packed(tmp_path / "a.gz", 2**30)


def test_half_a_pair_of_surrogates_is_no_text(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": "x"}\n{"a": "\\ud800"}\n')
    with pytest.raises(DataError, match=r"t\.jsonl:2: has half of a pair of surrogates"):
        rows(path)


def test_what_is_not_there_is_no_other_form(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        rows(tmp_path / "nowhere")
