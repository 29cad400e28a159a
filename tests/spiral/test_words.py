"""The whole job on spoken and on written words, from the command line, on data made up here."""

from __future__ import annotations

import json

import onnxruntime
import pytest
import torch
from command import command
from quick_runs import PLAIN, QUICK, flags
from recordings import write_strings, write_words

import edgespiral
from edgespiral import data
from edgespiral.core.errors import ExitCode, ModelError, RunFolderError
from edgespiral.data.files.vocabulary import Vocabulary

PLACES = ("kitchen", "hall", "garden", "attic", "office", "garage", "cellar", "porch")
ASKED = {
    "on": ("turn the light in the {} on", "please switch the {} lamp on for me"),
    "off": ("turn the light in the {} off now", "no light in the {}"),
    "heat": ("it is so cold in the {}", "warm up the {} a little please"),
}
OPTIONS = {"target": QUICK, "speedup": 1.3, "epochs": 4, "max_drop": 70, "batch_size": 16}


def trained_and_compressed(model, source, task, folder, *, epochs, **options):
    """The run folder's result, after `train` and `compress`."""
    teacher, run = folder / "teacher", folder / "run"
    common = (model, "--data", source, "--task", task)
    trained = command("train", *common, "--out", teacher, "--epochs", epochs, "--batch-size", 16)
    assert trained.returncode == 0, trained.stderr
    weights = teacher / "weights.safetensors"
    done = command(
        "compress", *common, "--weights", weights, "--out", run, *flags(OPTIONS | options)
    )
    assert done.returncode == 0, done.stderr
    return json.loads((run / "result.json").read_text()), trained.stdout, done.stdout


def test_keywords_are_spotted_in_waveforms_by_what_ships(tmp_path):
    write_words(tmp_path / "words", 60)
    source = f"speech:{tmp_path / 'words'}?seconds=0.3"
    result, trained, told = trained_and_compressed(
        "ds-cnn", source, "keyword-spotting", tmp_path, epochs=4
    )
    assert result["outcome"] == "met"
    assert result["teacher"]["test_score"] > 90
    assert result["student"]["test_score"] > 60
    names = [figure["metric"]["name"] for figure in result["student"]["beside"]]
    assert names == ["macro F1", "false rejects at 1 % false accepts"]
    assert "false rejects at 1 % false accepts" in trained
    assert "test macro F1" in told
    # The front end is a part of what ships: it takes a waveform.
    session = onnxruntime.InferenceSession(tmp_path / "run" / "model.onnx")
    [given] = session.get_inputs()
    assert given.shape == [1, 1, data.load(source).input_shape[1]]
    features = json.loads((tmp_path / "run" / "features.json").read_text())
    assert (features["features"], features["sample_rate_hz"]) == ("waveform", 8000)


@pytest.fixture
def commands(tmp_path):
    rows = [f"{text.format(place)},{label}" for label, texts in ASKED.items()
            for text in texts for place in PLACES]  # fmt: skip
    path = tmp_path / "commands.csv"
    path.write_text("\n".join(["text,label", *rows * 3]) + "\n")
    return path


@pytest.mark.parametrize("name", ["gru-text", "transformer-text"])
def test_texts_are_classified_by_what_ships_with_its_vocabulary(name, commands, tmp_path):
    source = f"text:{commands}?length=14"
    options = PLAIN if name == "transformer-text" else {}
    result, _, _ = trained_and_compressed(
        name, source, "classification", tmp_path, epochs=40, **options
    )
    assert result["outcome"] == "met"
    assert result["teacher"]["test_score"] > 80
    run = tmp_path / "run"
    assert result["files"].keys() >= {"vocabulary.txt", "tokeniser.json", "model.onnx"}
    # A user's own text, by the files of the run folder alone.
    vocabulary = Vocabulary.read(run / "vocabulary.txt")
    ids = vocabulary.ids(["turn", "the", "light", "in", "the", "hall", "on"], "here")
    short, long = (torch.tensor([ids + [0] * n]) for n in (0, 14 - len(ids)))
    model = edgespiral.load_model(run)
    session = onnxruntime.InferenceSession(run / "model.onnx")
    [said] = session.run(None, {session.get_inputs()[0].name: long.numpy()})
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(said), model(long), rtol=1e-3, atol=1e-3)
        if name == "gru-text":
            # Cut and distilled, it still says the same however far a text is filled up.
            torch.testing.assert_close(model(short), model(long), rtol=1e-4, atol=1e-5)


def test_another_vocabulary_than_that_of_the_weights_or_the_run_is_refused(commands, tmp_path):
    source, run = f"text:{commands}?length=8", tmp_path / "run"
    edgespiral.train_teacher("gru-text", source, out=tmp_path / "teacher", epochs=0.5)
    weights = tmp_path / "teacher" / "weights.safetensors"
    asked = {"speedup": 1.1, "epochs": 0.5, "max_drop": 100, "batch_size": 16}
    plan = {"weights": weights, **asked, **PLAIN}
    edgespiral.compress("gru-text", source, out=run, **plan)
    (run / "vocabulary.txt").unlink()
    done = edgespiral.compress("gru-text", source, out=run, resume=True, **plan)
    assert (run / "vocabulary.txt").read_text() == data.load(source).files["vocabulary.txt"]
    assert done.result.exit_code == ExitCode.OK
    rows = commands.read_text().replace("garden", "meadow")
    commands.write_text(rows)
    with pytest.raises(ModelError, match=r"were trained with another vocabulary\.txt"):
        edgespiral.compress("gru-text", source, out=run, resume=True, **plan)
    for name, text in data.load(source).files.items():
        (tmp_path / "teacher" / name).write_text(text)
    with pytest.raises(RunFolderError, match=r"the data have another vocabulary\.txt than"):
        edgespiral.compress("gru-text", source, out=run, resume=True, **plan)


def test_spoken_strings_are_transcribed_by_what_ships(tmp_path):
    write_strings(tmp_path / "strings", {"train": 160, "val": 30, "test": 30})
    source = f"transcripts:{tmp_path / 'strings'}"
    result, trained, _ = trained_and_compressed(
        "ctc-gru", source, "speech-recognition", tmp_path, epochs=16, **PLAIN
    )
    assert result["outcome"] == "met"
    assert result["metric"] == {"name": "WER", "unit": "%", "higher_is_better": False}
    assert "CER" in trained
    assert result["teacher"]["test_score"] < 40
    assert result["student"]["test_score"] < 100
    symbols = json.loads((tmp_path / "run" / "symbols.json").read_text())
    assert symbols == ["<blank>", " ", "h", "l", "m"]
