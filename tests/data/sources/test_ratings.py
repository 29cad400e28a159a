from __future__ import annotations

import json

import pytest
import torch

from edgespiral import data, tasks
from edgespiral.core.errors import DataError

ITEMS, USERS = 35, 6


def ratings(users=USERS, each=5):
    lines = ["userId,movieId,rating,timestamp"]
    lines += [
        f"u{user},{7 * user + step},4.0,{1000 * user + step}"
        for user in range(users)
        for step in range(each)
    ]
    # Items that only one user has met, so that there are enough to draw from.
    return lines + [f"u0,{item},3.0,{item}" for item in range(20, 40)]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(ratings()) + "\n")
    return path


def everything(source):
    return next(iter(source.epoch(batch_size=len(source))))


def pairs_of(source, kind):
    """Users and items of one label."""
    pair, told = everything(source)
    chosen = told["label"] == kind
    return set(zip(pair["user"][chosen].tolist(), pair["item"][chosen].tolist(), strict=True))


def test_the_last_item_of_each_user_is_to_be_found_among_others(file):
    splits = data.load(f"ratings:{file}?candidates=10")
    data.check(splits, batch_size=8)
    assert {name: spec.token_count for name, spec in splits.specs.items()} == {
        "user": USERS,
        "item": ITEMS,
    }
    ids = json.loads(splits.files["ids.json"])
    inputs, targets = everything(splits.test)
    assert len(splits.test) == USERS * 11
    assert targets["label"].view(USERS, 11).tolist() == [[1, *[0] * 10]] * USERS
    assert torch.equal(targets["query"], inputs["user"])
    found = [ids["item"][item] for item in inputs["item"][targets["label"] == 1]]
    # Of the first user the last in time is item 4 of his five, since the others are older.
    assert found[1:] == [str(7 * user + 4) for user in range(1, USERS)]
    before = everything(splits.validation)
    held = [ids["item"][item] for item in before[0]["item"][before[1]["label"] == 1]]
    assert held[1:] == [str(7 * user + 3) for user in range(1, USERS)]


def test_no_negative_was_met_and_none_is_drawn_twice_for_a_query(file):
    splits = data.load(f"ratings:{file}?candidates=10&negatives=3")
    _, targets = everything(splits.train)
    positives = int((targets["label"] == 1).sum())
    assert len(splits.train) == 4 * positives
    trained = pairs_of(splits.train, 1)
    held = pairs_of(splits.validation, 1) | pairs_of(splits.test, 1)
    assert not pairs_of(splits.train, 0) & trained
    for part in (splits.validation, splits.test):
        assert not pairs_of(part, 0) & (trained | held)
    candidates = everything(splits.test)[0]["item"].view(USERS, 11)
    assert all(len(set(row.tolist())) == 11 for row in candidates)


def test_what_is_held_back_is_drawn_in_training_as_often_as_what_nobody_met(file):
    splits = data.load(f"ratings:{file}?candidates=10&negatives=200")
    # By their absence among so many, held-out items would be known.
    held = pairs_of(splits.validation, 1) | pairs_of(splits.test, 1)
    drawn = pairs_of(splits.train, 0)
    assert held <= drawn
    everyone = {(user, item) for user in range(USERS) for item in range(ITEMS)}
    assert drawn == everyone - pairs_of(splits.train, 1)


def test_what_is_drawn_is_the_same_each_time(file):
    first, second = (everything(data.load(f"ratings:{file}?candidates=5").train) for _ in "ab")
    assert torch.equal(first[0]["item"], second[0]["item"])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("u9,3,4.0,7", r"ratings\.csv:2: user u9 has met 1 items, and 3 are needed"),
        (",3,4.0,7", r"ratings\.csv:2: userId is missing"),
        ("u0,3,4.0,yesterday", r"ratings\.csv:2: timestamp is 'yesterday', not a number"),
    ],
)
def test_bad_rows_are_told_with_their_line(file, line, told):
    lines = ratings()
    file.write_text("\n".join([lines[0], line, *lines[1:]]) + "\n")
    with pytest.raises(DataError, match=told):
        data.load(f"ratings:{file}?candidates=5")


def test_too_few_items_to_draw_from_are_told(file):
    with pytest.raises(DataError, match=r"35 items are too few: a user has met 25 of them"):
        data.load(f"ratings:{file}")


@pytest.fixture
def others(tmp_path):
    """Makes a file of test rows."""
    path = tmp_path / "others.csv"

    def write(*lines):
        path.write_text("\n".join(["userId,movieId,rating", *lines]) + "\n")
        return path

    return write


def test_another_file_may_be_the_test(file, others):
    path = others("u1,4,5.0", "u1,0,5.0", "u5,2,1.0")
    splits = data.load(f"ratings:{file}?candidates=8&test={path}")
    aim = tasks.load("recommendation")
    aim.check_data(splits)
    data.check(splits, batch_size=8)
    ids = json.loads(splits.files["ids.json"])
    inputs, targets = everything(splits.test)
    items = [ids["item"][item] for item in inputs["item"][targets["label"] == 1]]
    assert items == ["4", "0", "2"]
    assert targets["query"].view(3, 9)[:, 0].tolist() == [0, 1, 2]
    # Neither of the two that the first user is to be given is a candidate beside the other.
    beside = {ids["item"][item] for item in inputs["item"][:18][targets["label"][:18] == 0]}
    assert not beside & {"0", "4", *map(str, range(7, 12))}
    # The last of each user is for validation now, and the one before is trained on.
    whole = data.load(f"ratings:{file}?candidates=8")
    held = [
        part["item"][told["label"] == 1]
        for part, told in map(everything, (splits.validation, whole.test))
    ]
    assert torch.equal(*held)
    assert len(splits.train) == len(whole.train) + 5 * USERS


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("u77,4,5.0", "userId is 'u77', of which ratings.csv has no row"),
        ("u1,99,5.0", "movieId is '99', of which ratings.csv has no row"),
        ("u1,,5.0", "movieId is missing"),
        ("u1,8,5.0", "u1 has met 8 in another row"),
        ("u2,0,5.0", "u2 has met 0 in another row"),
    ],
)
def test_users_and_items_of_the_test_are_known_and_pairs_are_new(file, others, line, told):
    path = others("u2,0,1.0", line)
    with pytest.raises(DataError, match=rf"others\.csv:3: {told}"):
        data.load(f"ratings:{file}?candidates=8&test={path}")
