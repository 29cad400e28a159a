import json
import unicodedata

import pytest
import torch
from recordings import write, write_strings

from edgespiral import data
from edgespiral.core.errors import DataError


@pytest.fixture
def root(tmp_path):
    write_strings(tmp_path, {"train": 8, "val": 3, "test": 4})
    return tmp_path


def whole(source):
    return next(iter(source.epoch(batch_size=len(source))))


def test_tables_of_files_and_texts_make_sounds_and_symbols(root):
    splits = data.load(f"transcripts:{root}")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [8, 3, 4]
    assert splits.class_names == ("<blank>", " ", "h", "l", "m")
    inputs, targets = whole(splits.validation)
    assert tuple(inputs.shape[1:]) == splits.input_shape
    assert splits.input_shape[:2] == (1, 40)
    said = ["".join(splits.class_names[s] for s in row if s >= 0) for row in targets.tolist()]
    lines = (root / "val.tsv").read_text().splitlines()[1:]
    assert said == [line.partition("\t")[2] for line in lines]
    assert json.loads(splits.files["symbols.json"]) == list(splits.class_names)
    data.check(splits, batch_size=4)


def test_waveforms_are_shown_on_request(root):
    splits = data.load(f"transcripts:{root}?features=waveform")
    inputs, _ = whole(splits.test)
    assert inputs.shape == (4, *splits.input_shape)
    assert splits.sample_rate_hz == 8000


def test_one_table_is_divided_once_and_for_all(root):
    first, again = (data.load(f"transcripts:{root / 'train.tsv'}") for _ in range(2))
    assert [len(part) for part in (first.train, first.validation, first.test)] == [6, 1, 1]
    assert torch.equal(whole(first.test)[1], whole(again.test)[1])


def test_a_table_that_is_too_short_to_divide_is_told(root):
    table = root / "train.tsv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(DataError, match=r"train\.tsv: has too few rows to hold some out"):
        data.load(f"transcripts:{table}")


def test_what_is_wrong_is_told_with_its_line(root):
    train, test = root / "train.tsv", root / "test.tsv"
    rows = test.read_text()
    test.write_text(f"{rows}test/0.wav\tx\n")
    with pytest.raises(DataError, match=r"test\.tsv:6: the character 'x' is never seen"):
        data.load(f"transcripts:{root}")
    test.write_text(f"{rows}test/0.wav\t  \n")
    with pytest.raises(DataError, match=r"test\.tsv:6: the transcript is empty"):
        data.load(f"transcripts:{root}")
    test.write_text(f"{rows}test/99.wav\th\n")
    with pytest.raises(DataError, match=r"test\.tsv:6: there is no file .*test/99\.wav"):
        data.load(f"transcripts:{root}")
    test.write_text(rows)
    write(root / "train" / "0.wav", [])
    with pytest.raises(DataError, match=r"train/0\.wav: has no samples"):
        data.load(f"transcripts:{root}")
    train.unlink()
    with pytest.raises(DataError, match="has no train file"):
        data.load(f"transcripts:{root}")


def test_a_sound_in_two_parts_and_a_name_that_no_file_can_have_are_told(root):
    lines = (root / "train.tsv").read_text().splitlines()
    (root / "test.tsv").write_text("\n".join(lines[:3]))
    with pytest.raises(DataError, match="is in train and in test"):
        data.load(f"transcripts:{root}")
    (root / "test.tsv").write_text("\n".join([lines[0], "x" * 400 + "\thl"]))
    with pytest.raises(DataError, match=r"test\.tsv:2: there is no file"):
        data.load(f"transcripts:{root}")


def test_two_spellings_of_an_accented_letter_are_one_symbol(root):
    for name, form in (("train", "NFD"), ("val", "NFC"), ("test", "NFD")):
        table = root / f"{name}.tsv"
        head, *rows = table.read_text().splitlines()
        rows = [unicodedata.normalize(form, row.rstrip() + "é") for row in rows]
        table.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    assert data.load(f"transcripts:{root}").class_names == ("<blank>", " ", "h", "l", "m", "é")
