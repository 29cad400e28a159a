import dataclasses
import json
from pathlib import Path

import pytest

from edgespiral import data, models
from edgespiral.core.errors import DataError, ModelError, RunFolderError
from edgespiral.core.system.files import sha256_file
from edgespiral.core.system.lock import locked
from edgespiral.distill.evaluate import score
from edgespiral.tasks.classification import CLASSIFICATION
from edgespiral.teacher import TeacherOptions, settings_of, train_teacher


class KilledError(Exception):
    """Stands for SIGKILL: nothing in the trainer may catch it."""


def kill_at(step):
    def heard(progress):
        if progress.step == step:
            raise KilledError

    return heard


def teach(out, model="resnet8", source="digits", **given):
    fields = {field.name for field in dataclasses.fields(TeacherOptions)}
    asked = {name: value for name, value in given.items() if name in fields}
    others = {name: value for name, value in given.items() if name not in fields}
    return train_teacher(model, source, TeacherOptions(**{"epochs": 2, **asked}), out=out, **others)


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_teacher_is_its_weights_and_their_record(tmp_path):
    record = teach(tmp_path / "t", epochs=4)
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == [
        "plan.json",
        "train.json",
        "weights.safetensors",
    ]
    weights = tmp_path / "t" / "weights.safetensors"
    splits = data.load("digits")
    model = models.load_model("resnet8", weights=weights, classes=10, input_shape=(1, 8, 8))
    assert (
        score(model, splits.test, precision="fp32", task=CLASSIFICATION) == record.test_score > 80
    )
    assert (
        score(model, splits.validation, precision="fp32", task=CLASSIFICATION)
        == record.validation_score
    )
    assert record.weights_sha256 == sha256_file(weights)
    written = json.loads((tmp_path / "t" / "train.json").read_text())
    assert written["settings"]["epochs"] == 4
    assert written["versions"]["torch"]
    assert written["seconds"] > 0


SEVEN = """
import torch
from edgespiral.data import load

def data():
    splits = load("digits")
    def part(source):
        inputs, labels = next(iter(source.epoch(batch_size=len(source))))
        return torch.utils.data.TensorDataset(inputs[labels < 7], labels[labels < 7])
    parts = {name: part(getattr(splits, name)) for name in ("train", "validation", "test")}
    return {**parts, "classes": list("0123456")}
"""


def test_a_network_trained_on_other_classes_begins_with_a_new_head(tmp_path):
    (tmp_path / "seven.py").write_text(SEVEN)
    source, told = f"{tmp_path / 'seven.py'}:data", []
    before = teach(tmp_path / "ten", epochs=4)
    weights = tmp_path / "ten" / "weights.safetensors"
    options = {"source": source, "epochs": 0.5, "say": told.append}
    begun = teach(tmp_path / "seven", weights=weights, **options)
    assert any("weights: new at random: fc.weight, fc.bias ((10, 64) there, (7, 64) here)" in line
               for line in told)  # fmt: skip
    assert begun.settings["learning_rate"] == pytest.approx(0.1 * before.settings["learning_rate"])
    fresh = teach(tmp_path / "fresh", **options)
    assert begun.test_score > fresh.test_score + 10, "the body knows digits"
    assert (fresh.begun_from_sha256, len(begun.begun_from_sha256)) == (None, 64)
    with pytest.raises(RunFolderError, match="begun_from_sha256"):
        teach(tmp_path / "seven", resume=True, **options)
    assert teach(tmp_path / "seven", weights=weights, resume=True, **options) == begun


def test_weights_of_another_network_are_refused_to_begin_from(tmp_path):
    teach(tmp_path / "resnet8", epochs=0.05)
    weights = tmp_path / "resnet8" / "weights.safetensors"
    with pytest.raises(ModelError, match="the weights do not fit the model: missing"):
        teach(tmp_path / "other", model="resnet20", weights=weights)
    with pytest.raises(ModelError, match="no such weights file"):
        teach(tmp_path / "other", weights=tmp_path / "nowhere.pt")
    assert not (tmp_path / "other").exists()


def test_a_killed_training_resumes_to_the_same_weights(tmp_path):
    whole = teach(tmp_path / "whole")
    with pytest.raises(KilledError):
        teach(tmp_path / "killed", progress=kill_at(50))
    resumed = teach(tmp_path / "killed", resume=True)
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.test_score == whole.test_score


def test_resume_of_a_finished_training_changes_nothing(tmp_path):
    first = teach(tmp_path / "t")
    before = snapshot(tmp_path / "t")
    assert teach(tmp_path / "t", resume=True) == first
    assert snapshot(tmp_path / "t") == before


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"another")])
def test_a_finished_training_whose_weights_are_gone_or_others_is_told(tmp_path, damage):
    teach(tmp_path / "t")
    damage(tmp_path / "t" / "weights.safetensors")
    with pytest.raises(RunFolderError, match=r"weights\.safetensors: is not the file that train\."):
        teach(tmp_path / "t", resume=True)


def test_resume_of_nothing_starts(tmp_path):
    assert teach(tmp_path / "t", resume=True, epochs=0.1).steps == 4


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "holds this training already; go on with --resume"),
        ({"seed": 1, "resume": True}, "another training: seed 0 there, 1 here"),
        ({"model": "resnet20", "resume": True}, "model resnet8 there, resnet20 here"),
    ],
)
def test_folders_of_other_trainings_are_refused_untouched(tmp_path, options, text):
    teach(tmp_path / "t", epochs=0.1)
    before = snapshot(tmp_path / "t")
    with pytest.raises(RunFolderError, match=text):
        teach(tmp_path / "t", **{"epochs": 0.1, **options})
    assert snapshot(tmp_path / "t") == before


def test_folders_of_other_things_are_refused_untouched(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(RunFolderError, match=r"no readable plan\.json; choose another --out"):
        teach(tmp_path, resume=True)
    assert snapshot(tmp_path) == {"thesis.txt": b"precious"}


def test_nothing_is_written_for_data_or_models_that_cannot_be(tmp_path):
    with pytest.raises(DataError, match="fewer than a batch of 5000"):
        teach(tmp_path / "t", batch_size=5000)
    file = tmp_path / "mine.py"
    file.write_text("from torch import nn\ndef net(): return nn.Flatten()\n")
    with pytest.raises(ModelError, match="not logits"):
        teach(tmp_path / "t", model=f"{file}:net")
    assert not (tmp_path / "t").exists()


def test_seeds_give_other_weights(tmp_path):
    first, second = (teach(tmp_path / str(seed), seed=seed, epochs=0.1) for seed in (0, 1))
    assert first.weights_sha256 != second.weights_sha256


def test_defaults_follow_the_data_and_the_model():
    def settings(name, samples, **given):
        model = models.build(name, classes=10, input_shape=(3, 32, 32))
        return settings_of(TeacherOptions(**given), model, samples)

    large, small = settings("resnet8", 55_000), settings("resnet8", 1_167)
    assert (large.epochs, large.batch_size, large.learning_rate) == (8, 128, 0.2)
    assert small.batch_size == 32
    assert round(small.epochs * (1_167 // 32)) == 400
    assert settings("squeezenet1_1", 55_000).learning_rate == 0.02
    recurrent = settings("gru-sound", 55_000)
    # 0.01 for a width of 96, and less in proportion for its 256.
    assert (recurrent.optimizer, recurrent.learning_rate) == ("adamw", 0.01 * 96 / 256)
    assert settings("resnet8", 55_000, epochs=0.5, learning_rate=1.0).learning_rate == 1.0


def test_few_samples_are_many_steps_at_a_lower_rate():
    model = models.build("resnet8", classes=10, input_shape=(3, 32, 32))
    few = settings_of(TeacherOptions(), model, 46)
    assert (few.batch_size, few.learning_rate) == (8, pytest.approx(0.2 / 4))
    assert round(few.epochs * (46 // 8)) == 400
    asked = settings_of(TeacherOptions(batch_size=8), model, 46)
    assert (asked.batch_size, asked.learning_rate) == (8, 0.2)
    # Halves that do not go through the model in as many parts are no batches.
    parts = settings_of(TeacherOptions(others={"accumulate": 8}), model, 46)
    assert parts.batch_size == 16


FEW = """
import torch
from torch.utils.data import TensorDataset

PARTS = slice(36), slice(36, 41), slice(41, 46)

def few():
    inputs, labels = torch.randn(46, 1, 8, 8), torch.arange(46) % 2
    parts = [TensorDataset(inputs[at], labels[at]) for at in PARTS]
    return {**dict(zip(("train", "validation", "test"), parts)), "classes": ["a", "b"]}
"""


def test_what_a_training_will_be_is_said_before_it_begins(tmp_path):
    (tmp_path / "data.py").write_text(FEW)
    said, steps = [], []
    source = f"{tmp_path}/data.py:few"
    heard = {"say": said.append, "progress": lambda at: steps.append((at.steps, len(said)))}
    teach(tmp_path / "t", source=source, **heard)
    assert said[-3:] == [
        "36 training samples are few: 8 a step, where nothing else is asked",
        "8 steps of 8 samples: 2 times the 36 to train on, at a rate of at most 0.05",
        "warning: validation has 5 samples: one is 20 points of accuracy, and less cannot be told "
        "apart",
    ]
    assert steps == [(8, len(said))]


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "t").write_text("a file")
    with pytest.raises(RunFolderError, match="cannot create the folder") as caught:
        teach(tmp_path / "t" / "below")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "t").read_text() == "a file"


def test_two_trainings_do_not_share_a_folder(tmp_path):
    (tmp_path / "t").mkdir()
    with locked(tmp_path / "t"), pytest.raises(RunFolderError, match="is working in this folder"):
        teach(tmp_path / "t", epochs=0.1, resume=True)
    assert snapshot(tmp_path / "t") == {}


LATE = """
import torch
from torch.utils.data import Dataset, TensorDataset

INPUTS, LABELS = torch.randn(1600, 1, 8, 8), torch.arange(1600) % 10

class Late(Dataset):
    def __len__(self):
        return 1600
    def __getitem__(self, index):
        if index == 1500:
            raise OSError("image file is truncated (3 bytes not processed)")
        return INPUTS[index], int(LABELS[index])

def parts(**other):
    few = TensorDataset(INPUTS[:200], LABELS[:200])
    whole = {"train": TensorDataset(INPUTS, LABELS), "validation": few, "test": few}
    return {**whole, "classes": list("abcdefghij"), **other}

def error():
    return parts(train=Late())

def error_in_validation():
    return parts(validation=Late())

def label_in_test():
    labels = LABELS.clone()
    labels[1500] = 10
    return parts(test=TensorDataset(INPUTS, labels))
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("error", "train: sample 1500 cannot be read: OSError: image file is truncated"),
        ("error_in_validation", "validation: sample 1500 cannot be read: OSError: image file"),
        ("label_in_test", "test: labels run from 0 to 10, .*, first at sample 1500"),
    ],
)
def test_a_late_sample_ends_a_training_with_its_place(tmp_path, name, words):
    (tmp_path / "late.py").write_text(LATE)
    source = f"{tmp_path}/late.py:{name}"
    with pytest.raises(DataError, match=words):
        teach(tmp_path / "t", source=source, epochs=1, batch_size=400)
