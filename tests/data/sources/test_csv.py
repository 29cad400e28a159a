from __future__ import annotations

import json

import pytest
import torch

from edgespiral import data
from edgespiral.core.batches import InputSpec
from edgespiral.core.errors import DataError, UsageError

JOBS = ("baker", "smith", "poet")


def people(count=60, **changed):
    """Lines of a table; `changed` has other lines by number."""
    lines = ["id,age,job,town,rich"]
    for n in range(count):
        job = JOBS[n % 3]
        lines.append(f"{n},{20 + n % 17},{job},{n % 2},{'yes' if n % 4 == 0 else 'no'}")
    for line, text in changed.items():
        lines[int(line.removeprefix("line"))] = text
    return "\n".join(lines) + "\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(people())
    return path


def everything(source):
    return next(iter(source.epoch(batch_size=len(source))))


def test_numbers_and_categories_are_two_inputs(table):
    splits = data.load(f"csv:{table}?target=rich&positive=yes&ignore=id&categories=town")
    assert splits.class_names == ("no", "yes")
    assert splits.specs == {
        "numbers": InputSpec((1,)),
        "categories": InputSpec((2,), 4 + 3, "int64"),
    }
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [46, 5, 9]
    data.check(splits, batch_size=8)
    inputs, targets = everything(splits.train)
    assert float(inputs["numbers"].mean()) == pytest.approx(0, abs=1e-5)
    # Codes of a column follow those of the one before; the first of each is for the unseen.
    assert inputs["categories"][:, 0].unique().tolist() == [1, 2, 3]
    assert inputs["categories"][:, 1].unique().tolist() == [5, 6]
    assert 0.2 < float(targets.float().mean()) < 0.3
    facts = json.loads(splits.files["columns.json"])
    assert facts["categories"][1] == {"column": "town", "other": 4, "from": 5, "values": ["0", "1"]}
    assert facts["classes"] == ["no", "yes"]


def test_columns_of_one_kind_are_one_input(table):
    numbers = data.load(f"csv:{table}?target=rich&ignore=id,job")
    assert (numbers.input_shape, numbers.token_count, numbers.inputs) == ((2,), None, None)
    codes = data.load(f"csv:{table}?target=rich&ignore=id,age&categories=town")
    assert (codes.input_shape, codes.token_count) == ((2,), 7)


def test_a_target_of_numbers_is_one(table):
    ages = data.load(f"csv:{table}?target=age&is=number&ignore=id")
    assert (ages.class_names, ages.target_shape) == ((), None)
    _, targets = everything(ages.train)
    assert (tuple(targets.shape), targets.dtype) == ((46, 1), torch.float32)
    towns = data.load(f"csv:{table}?target=town&ignore=id")
    assert (towns.class_names, towns.target_shape) == (("0", "1"), ())


def test_splits_are_the_same_each_time_and_take_files(table, tmp_path):
    spec = f"csv:{table}?target=rich&ignore=id"
    first, second = (everything(data.load(spec).test) for _ in range(2))
    assert torch.equal(first[0]["numbers"], second[0]["numbers"])
    other = tmp_path / "others.csv"
    other.write_text(people(12))
    assert len(data.load(f"{spec}&test={other}").test) == 12
    folder = tmp_path / "parts"
    folder.mkdir()
    for name in ("train", "val", "test"):
        (folder / f"{name}.csv").write_text(people(24))
    with pytest.raises(UsageError, match="is a folder, which has its test rows in a file"):
        data.load(f"csv:{folder}?target=rich&test={other}")
    ready = data.load(f"csv:{folder}?target=rich&ignore=id")
    assert [len(part) for part in (ready.train, ready.validation, ready.test)] == [24] * 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("5,,smith,1,no", "line_: age is missing"),
        ("5,old,smith,1,no", "line_: age is 'old', not a number"),
        ("5,30,smith,1", "line_: has 4 fields, and there are 5 columns"),
    ],
)
def test_a_bad_value_is_told_with_file_line_and_column(table, line, told):
    table.write_text(people(line7=line))
    with pytest.raises(DataError, match=told.replace("line_", r"people\.csv:8")):
        data.load(f"csv:{table}?target=rich&ignore=id")


@pytest.mark.parametrize(
    ("target", "line", "told"),
    [
        ("rich", "5,30,smith,1,", "rich is missing"),
        ("town", "5,30,smith,,no", "town is missing"),
        ("town", "5,30,smith,nan,no", "town is missing"),
        ("id", "5 a,30,smith,1,no", "id is '5 a', not a number"),
    ],
)
def test_a_bad_target_is_told_and_is_no_class_of_its_own(table, target, line, told):
    table.write_text(people(line7=line))
    with pytest.raises(DataError, match=rf"people\.csv:8: {told}"):
        data.load(f"csv:{table}?target={target}")


def test_none_may_be_the_name_of_a_class(table):
    table.write_text(people().replace(",no\n", ",none\n"))
    assert data.load(f"csv:{table}?target=rich&ignore=id").class_names == ("none", "yes")


def test_what_training_has_not_seen_is_told_or_allowed(table, tmp_path):
    other = tmp_path / "others.csv"
    other.write_text(people(12, line3="2,30,king,1,no"))
    spec = f"csv:{table}?target=rich&ignore=id&test={other}"
    with pytest.raises(DataError, match=r"others\.csv:4: job is 'king', which no training row has"):
        data.load(spec)
    inputs, _ = everything(data.load(f"{spec}&unseen=other").test)
    assert inputs["categories"].flatten().tolist().count(0) == 1
    other.write_text(people(12, line3="2,30,smith,1,perhaps"))
    with pytest.raises(DataError, match=r"others\.csv:4: rich is 'perhaps'"):
        data.load(spec)


def test_missing_numbers_may_be_filled(table):
    table.write_text(people(line7="5,,smith,1,no"))
    data.load(f"csv:{table}?target=rich&ignore=id&missing=mean")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("", "does not say which column is to be told"),
        ("?target=wealth", "has no column 'wealth'"),
        ("?target=rich&ignore=idx", "has no column 'idx'"),
        ("?target=rich&positive=maybe", "rich is none of two with 'maybe', but no, yes"),
        ("?target=rich&ignore=id,age,job,town", "has no column beside rich"),
        ("?target=rich&unseen=others", "unknown unseen 'others'"),
        ("?targets=rich", "unknown csv option 'targets'"),
    ],
)
def test_wrong_options_are_told(table, options, told):
    with pytest.raises((DataError, UsageError), match=told):
        data.load(f"csv:{table}{options}")


def test_a_class_written_in_two_ways_is_told(table):
    table.write_text(people(line7="6,26,baker,1.0,yes"))
    with pytest.raises(DataError, match=r"town is '1' in some rows and '1\.0' in others"):
        data.load(f"csv:{table}?target=town")


def test_a_column_that_the_first_row_has_not_is_told(tmp_path):
    lines = [json.dumps({"x": n, "y": "ab"[n % 2]} | ({"z": 1} if n else {})) for n in range(60)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"t\.jsonl:\d+: has (a|no) column 'z'"):
        data.load(f"csv:{tmp_path}/t.jsonl?target=y")


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "Unnamed: 0.1"])
def test_a_column_without_a_name_that_numbers_the_rows_is_left_out(table, name):
    table.write_text(people().replace("id,", f"{name},", 1))
    splits = data.load(f"csv:{table}?target=rich&ignore=job,town")
    assert splits.input_shape == (1,)
    assert [c["column"] for c in json.loads(splits.files["columns.json"])["numbers"]] == ["age"]
    told = f"column {name!r} numbers the rows, as pandas writes them, and is left out"
    assert splits.notes == (told,)


@pytest.mark.parametrize(("name", "value"), [("id", "{n}"), ("", "{n}.5"), ("", "{half}")])
def test_other_columns_are_features_whatever_they_are_called(table, name, value):
    rows = [f"{value.format(n=n, half=n // 2)},{n % 7},{n % 2}" for n in range(60)]
    table.write_text("\n".join([f"{name},age,rich", *rows]) + "\n")
    splits = data.load(f"csv:{table}?target=rich")
    assert (splits.input_shape, splits.notes) == ((2,), ())
