from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import to_tensor

from edgespiral import data
from edgespiral.core.batches import DataSplits, InputSpec
from edgespiral.core.errors import DataError
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.user import splits_of

HEAD = """
import torch
from torch.utils.data import TensorDataset
from edgespiral import data

def part(count=12):
    return TensorDataset(torch.randn(count, 3, 4, 5), torch.arange(count) % 2)

class Listed(list, torch.utils.data.Dataset):
    pass
"""


def load(tmp_path, body):
    file = tmp_path / "mine.py"
    file.write_text(f"{HEAD}\ndef load():\n    return {body}\n")
    return data.load(f"{file}:load")


def test_a_mapping_of_datasets(tmp_path):
    body = "dict(train=part(), validation=part(6), test=part(8), classes=['a', 'b'])"
    splits = load(tmp_path, body)
    assert isinstance(splits, DataSplits)
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [12, 6, 8]
    assert splits.input_shape == (3, 4, 5)
    assert splits.class_names == ("a", "b")
    data.check(splits, batch_size=4)


def test_ready_made_splits(tmp_path):
    assert load(tmp_path, "data.load('digits')").name == "digits"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("[part()]", "no splits, but a list"),
        ("dict(train=part())", "lacks validation, test"),
        ("dict(train=part(), validation=part(), test=part())", "class names are unknown"),
        ("dict(train=3, validation=part(), test=part(), classes='ab')", "train: a int is not"),
        ("dict(train=part(0), validation=part(), test=part(), classes='ab')", "part is empty"),
    ],
)
def test_other_things_are_refused(tmp_path, body, text):
    with pytest.raises(DataError, match=text) as caught:
        load(tmp_path, body)
    assert "mine.py:load" in str(caught.value)


@pytest.mark.parametrize("shape", [(16,), (7, 16), (3, 4, 5), (3, 2, 4, 5)])
def test_rows_sequences_images_and_videos_are_taken(tmp_path, shape):
    part = f"TensorDataset(torch.randn(8, *{shape}), torch.arange(8) % 2)"
    body = f"dict(train={part}, validation={part}, test={part}, classes='ab')"
    splits = load(tmp_path, body)
    assert splits.input_shape == shape
    data.check(splits, batch_size=4)


@pytest.mark.parametrize("shape", ["()", "(1, 1, 1, 1, 1)"])
def test_other_shapes_are_refused(tmp_path, shape):
    odd = f"TensorDataset(torch.randn(4, *{shape}), torch.arange(4))"
    with pytest.raises(DataError, match=r"not \(features,\), \(steps, features\)"):
        load(tmp_path, f"dict(train={odd}, validation=part(), test=part(), classes='ab')")


def load_several(folder, sample, more=""):
    """Splits of 8 samples; `sample` is the source of one's input."""
    several = f"Listed([({sample}, n % 2) for n in range(8)])"
    parts = ", ".join(f"{part}={several}" for part in ("train", "validation", "test"))
    return load(folder, f"dict({parts}, classes='ab'{more})")


def test_several_inputs_are_declared_by_the_first_sample(tmp_path):
    in_order = load_several(tmp_path, "(torch.zeros(3, 4), torch.zeros(8).bool())")
    assert in_order.specs == (InputSpec((3, 4), dtype="float32"), InputSpec((8,), dtype="bool"))
    assert in_order.input_shape == ()
    tokens = ", token_count={'word': 3}"
    by_name = load_several(tmp_path, "dict(age=torch.zeros(1), word=n % 3, length=n)", tokens)
    assert by_name.specs == {
        "age": InputSpec((1,), dtype="float32"),
        "word": InputSpec((), 3, "int64"),
        "length": InputSpec((), dtype="int64"),
    }
    data.check(by_name, batch_size=4)
    batch, _ = next(iter(by_name.train.epoch(batch_size=4)))
    assert {name: tuple(leaf.shape) for name, leaf in batch.items()} == {
        "age": (4, 1),
        "word": (4,),
        "length": (4,),
    }


@pytest.mark.parametrize(
    ("sample", "more", "told"),
    [
        ("dict(age=torch.zeros(1), name='x')", "", "has a tuple in it"),
        ("dict(age=torch.zeros(1).double(), b=n)", "", "input 'age' is float64"),
        ("dict(a=torch.zeros(1), b=n)", ", token_count={'c': 3}", "and the inputs are a, b"),
        ("dict(a=torch.zeros(1), b=n)", ", token_count=3", "it is a mapping"),
        ("dict(a=torch.zeros(1), b=n)", ", token_count={'a': 3}", "which is float32"),
        ("dict(a=torch.zeros(1), b=n)", ", token_count={'b': 0}", "a whole number from 1"),
    ],
)
def test_inputs_of_other_kinds_are_told(tmp_path, sample, more, told):
    with pytest.raises(DataError, match=told):
        load_several(tmp_path, sample, more)


@pytest.mark.parametrize(
    ("sample", "more", "told"),
    [
        ("(torch.zeros(1), torch.zeros(2 + (n > 5)))", "", "samples do not form a batch"),
        (
            "(torch.zeros(1), torch.zeros(2 + (n // 4)))",
            "",
            r"input '1' is \(3,\), declared as \(2,",
        ),
        (
            "dict(a=torch.zeros(1), b=n)",
            ", token_count={'b': 7}",
            "ids of input 'b' run from 4 to 7, declared as below 7, first at sample 7",
        ),
        ("(torch.zeros(1), torch.full((2,), torch.inf if n > 5 else 0.0))", "", "NaN or infinite"),
    ],
)
def test_several_inputs_are_looked_at_each_by_itself(tmp_path, sample, more, told):
    splits = load_several(tmp_path, sample, more)
    with pytest.raises(DataError, match=told):
        list(splits.validation.epoch(batch_size=4))


def test_samples_without_labels_are_taken_where_that_is_said(tmp_path):
    part = "Listed(torch.randn(8, 3))"
    body = f"dict(train={part}, validation={part}, test={part}, labelled=False)"
    splits = load(tmp_path, body)
    assert not splits.is_labelled
    batch, targets = next(iter(splits.train.epoch(batch_size=4)))
    assert (tuple(batch.shape), targets) == ((4, 3), None)
    data.check(splits, batch_size=4)
    with pytest.raises(DataError, match=r"samples have no labels.*labelled=False"):
        load(tmp_path, body.replace(", labelled=False", ""))


TOKENS = "TensorDataset(torch.arange(60).view(12, 5) % 7, torch.arange(12) % 2)"
FRAMES = "TensorDataset(torch.randn(12, 9, 4), torch.arange(12) % 2)"


def test_token_ids_and_frames(tmp_path):
    parts = "dict(train={0}, validation={0}, test={0}, classes='ab'{1})"
    text = load(tmp_path, parts.format(TOKENS, ", token_count=7"))
    assert (text.input_shape, text.token_count, text.input_dtype) == ((5,), 7, torch.int64)
    data.check(text, batch_size=4)
    frames = load(tmp_path, parts.format(FRAMES, ""))
    assert (frames.input_shape, frames.token_count) == ((9, 4), None)
    data.check(frames, batch_size=4)


@pytest.mark.parametrize(
    ("count", "problem"),
    [
        ("None", "their range is unknown; for token ids add token_count"),
        ("0", "token_count is 0, not a whole number from 1"),
        ("'7'", "token_count is '7', not a whole number"),
    ],
)
def test_token_ids_of_unknown_range_are_refused(tmp_path, count, problem):
    body = (
        f"dict(train={TOKENS}, validation=part(), test=part(), classes='ab', token_count={count})"
    )
    with pytest.raises(DataError, match=problem):
        load(tmp_path, body)


class Endless(IterableDataset):
    def __iter__(self):
        yield torch.zeros(1, 8, 8), 0


class Keyed(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        return {"pixel_values": torch.zeros(1, 8, 8), "labels": index % 2}


class Sized(Dataset):
    def __len__(self):
        raise RuntimeError("the index is gone")


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (Endless(), "mine: train: an iterable data set"),
        (Keyed(), "mine: train: sample 0 is a mapping of pixel_values, labels, not .input, label."),
        (Sized(), "mine.*RuntimeError: the index is gone"),
    ],
)
def test_data_sets_of_other_kinds_are_told_apart(train, words):
    good = TensorDataset(torch.zeros(40, 1, 8, 8), torch.arange(40) % 2)
    mapping = {"train": train, "validation": good, "test": good, "classes": ["a", "b"]}
    with pytest.raises(DataError, match=words):
        splits_of(mapping, "mine")


def test_class_names_that_cannot_be_listed_are_one_line():
    good = TensorDataset(torch.zeros(40, 1, 8, 8), torch.arange(40) % 2)
    mapping = {"train": good, "validation": good, "test": good, "classes": 3}
    with pytest.raises(DataError, match="mine: cannot be used: TypeError"):
        splits_of(mapping, "mine")


@pytest.mark.parametrize("field", ["class_names", "input_shape"])
def test_splits_without_a_field_are_one_line(field):
    splits = replace(data.load("digits"), **{field: None})
    with pytest.raises(DataError, match="mine: cannot be used: TypeError"):
        splits_of(splits, "mine")


@pytest.fixture
def folders(tmp_path):
    """Makes a data set of pictures in folders of so many classes; each shows its class."""

    def make(name, classes, **more):
        for label in classes:
            folder = tmp_path / name / label
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8), (10 * ord(label) % 256,) * 3).save(folder / "0.png")
        return ImageFolder(tmp_path / name, to_tensor, **more)

    return make


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda part: part,
        lambda part: Subset(part, [0, 1]),
        lambda part: ConcatDataset([part, part]),
        lambda part: DatasetSource(Subset(part, [1, 0])),
    ],
)
def test_parts_that_number_their_classes_in_different_ways_are_refused(folders, wrapped):
    whole, lacking = folders("train", "abc"), folders("test", "bc")
    parts = {"train": wrapped(whole), "validation": wrapped(whole), "classes": ["x", "y", "z"]}
    with pytest.raises(DataError, match="mine: test: class 'b' is number 0 here and number 1 in"):
        splits_of(parts | {"test": wrapped(lacking)}, "mine")
    splits = splits_of(parts | {"test": wrapped(folders("whole", "abc"))}, "mine")
    data.check(splits, batch_size=2)


def test_labels_that_are_numbered_anew_are_taken(folders):
    whole = folders("train", "abc")
    moved = folders("test", "bc", target_transform=lambda label: label + 1)
    splits = splits_of({"train": whole, "validation": whole, "test": moved}, "mine")
    assert next(iter(splits.test.epoch(batch_size=2)))[1].tolist() == [1, 2]
