import json
import wave

import numpy as np
import pytest
import torch
from recordings import RATE_HZ, write, write_words

from edgespiral import data
from edgespiral.core import audio
from edgespiral.core.errors import DataError, UsageError


@pytest.fixture
def root(tmp_path):
    write_words(tmp_path, 20)
    return tmp_path


def first(source, count=4):
    return next(iter(source.epoch(batch_size=count)))


def test_folders_of_words_make_three_fixed_parts(root):
    splits, again = (data.load(f"speech:{root}") for _ in range(2))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [46, 5, 9]
    assert splits.class_names == ("high", "low", "middle")
    inputs, labels = first(splits.test)
    samples = splits.input_shape[1]
    assert (splits.input_shape[0], samples % 128, splits.sample_rate_hz) == (1, 0, RATE_HZ)
    assert inputs.shape == (4, 1, samples)
    assert torch.equal(first(again.test)[0], inputs)
    assert labels.dtype == torch.int64
    data.check(splits, batch_size=8)


def test_features_of_the_data_are_those_of_its_waveforms(root):
    waves, features = data.load(f"speech:{root}"), data.load(f"speech:{root}?features=logmel")
    inputs, _ = first(waves.validation)
    shown, _ = first(features.validation)
    assert features.input_shape == tuple(shown.shape[1:]) == (1, 40, inputs.shape[2] // 128 - 1)
    expected = audio.log_mel(inputs[1, 0].numpy(), RATE_HZ)
    np.testing.assert_allclose(shown[1, 0].numpy(), expected, atol=1e-5)
    told = json.loads(features.files["features.json"])
    assert (told["features"], told["window"], told["hop"]) == ("logmel", 256, 128)
    # Features have no sample rate, so that no model makes features of features.
    assert features.sample_rate_hz is None


def test_training_samples_begin_now_earlier_now_later_and_the_stored_ones_do_not(root):
    train = data.load(f"speech:{root}").train
    seen = [next(iter(train.epoch(batch_size=46, seed=seed)))[0] for seed in (1, 1, 2)]
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0].sort(0).values, seen[2].sort(0).values)
    stored = train.unaugmented()
    assert torch.equal(first(stored)[0], first(stored)[0])
    assert stored.order(3) is not None


def test_clips_are_cut_to_the_seconds_asked_for(root):
    splits = data.load(f"speech:{root}?seconds=0.15")
    assert splits.input_shape == (1, 10 * 128)
    data.check(splits, batch_size=8)


def test_ready_made_parts_and_lists_are_taken(tmp_path):
    for name, count in (("train", 4), ("val", 2), ("test", 3)):
        write_words(tmp_path / "parts" / name, count)
    splits = data.load(f"speech:{tmp_path / 'parts'}")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [12, 6, 9]
    root = tmp_path / "listed"
    write_words(root, 5)
    write(root / "_background_noise_" / "noise.wav", np.zeros(80_000))
    (root / "validation_list.txt").write_text("low/001.wav\nhigh/001.wav\n")
    (root / "testing_list.txt").write_text("low/002.wav\n")
    splits = data.load(f"speech:{root}")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [12, 2, 1]
    assert "_background_noise_" not in splits.class_names
    assert splits.input_shape[1] < 80_000
    (root / "testing_list.txt").write_text("low/099.wav\n")
    with pytest.raises(DataError, match=r"testing_list\.txt: lists low/099\.wav, which is not"):
        data.load(f"speech:{root}")


def test_what_is_wrong_with_a_folder_is_told(root, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        data.load(f"speech:{tmp_path / 'nowhere'}")
    with pytest.raises(UsageError, match="unknown features 'mfcc'"):
        data.load(f"speech:{root}?features=mfcc")
    (root / "nothing").mkdir()
    with pytest.raises(DataError, match="nothing: no WAV files"):
        data.load(f"speech:{root}")
    (root / "nothing" / "a.mp3").touch()
    with pytest.raises(DataError, match=r"nothing/a\.mp3: is no WAV file; convert it"):
        data.load(f"speech:{root}")
    with pytest.raises(DataError, match="no WAV files in one subfolder a class"):
        data.load(f"speech:{root / 'low'}")


def test_another_rate_is_told_by_its_file(root):
    write(root / "low" / "000.wav", np.zeros(4000), rate_hz=16_000)
    with pytest.raises(DataError, match=r"has \d+ samples a second, .* has \d+; bring all"):
        data.load(f"speech:{root}")
    with wave.open(str(root / "low" / "000.wav"), "rb") as file:
        assert file.getframerate() == 16_000


@pytest.mark.parametrize(
    ("validation", "test", "told"),
    [
        ("high/0.wav", "high/0.wav", "high/0.wav: is in validation and in test"),
        ("high/0.wav\nhigh/0.wav", "low/0.wav", "high/0.wav: is twice in validation"),
        ("/etc/passwd", "low/0.wav", "validation_list.txt: lists /etc/passwd, which is not there"),
    ],
)
def test_lists_that_overlap_or_lead_elsewhere_are_told(root, validation, test, told):
    names = {"0": sorted(path.name for path in (root / "high").iterdir())[0]}
    for file, text in (("validation_list.txt", validation), ("testing_list.txt", test)):
        (root / file).write_text(text.replace("0.wav", names["0"]))
    with pytest.raises(DataError, match=told.replace("0.wav", names["0"])):
        data.load(f"speech:{root}")


def test_a_link_that_leads_nowhere_is_told(root):
    (root / "high" / "gone.wav").symlink_to(root / "nowhere.wav")
    with pytest.raises(DataError, match=r"gone\.wav: cannot be read"):
        data.load(f"speech:{root}")
