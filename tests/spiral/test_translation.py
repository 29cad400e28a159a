"""A model of parts through the whole job: trained, compressed, measured, gated, from the shell."""

import json
import shutil
import subprocess
import sys

import onnx
import pytest
from parallel_text import write_pairs

from edgespiral.core.records.parts import part_files, part_path
from edgespiral.data import load
from edgespiral.export.parity import file_score
from edgespiral.tasks.translation import PLUGIN

PARTS = ("encoder", "decoder_step")


def edgespiral(*words, status=0):
    command = [sys.executable, "-m", "edgespiral", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The folder of a finished run, and the words that made it."""
    folder = tmp_path_factory.mktemp("translation")
    data = f"translation:{write_pairs(folder / 'pairs.tsv', 300)}"
    about = ("--data", data, "--task", "translation")
    teacher, out = folder / "teacher", folder / "run"
    edgespiral("train", "gru-translation", *about, "--epochs", 12, "--out", teacher)
    words = ("compress", "gru-translation", *about, "--out", out, "--speedup", 1.3)
    words += ("--weights", teacher / "weights.safetensors", "--epochs", 1, "--max-drop", 100)
    words += ("--criterion", "l1", "--allocation", "uniform")
    edgespiral(*words)
    return out, data, words


def test_what_ships_is_a_file_for_each_part(job):
    out, data, _ = job
    result = json.loads((out / "result.json").read_text())
    assert result["outcome"] == "met"
    assert result["metric"]["name"] == "BLEU"
    parts = part_files(out / "model.onnx")
    assert tuple(part.name for part in parts) == PARTS
    assert [part.count for part in parts] == [1, PLUGIN.fitted(load(data))[0].steps]
    files = [part_path(out / "model.onnx", part) for part in parts]
    assert {file.name for file in files} <= set(result["files"])
    sizes = sum(file.stat().st_size for file in files)
    assert result["student"]["size_bytes"] == sizes
    # A step is of one word.
    step = onnx.load(files[1]).graph
    token = next(given for given in step.input if given.name == "token")
    assert [d.dim_value for d in token.type.tensor_type.shape.dim] == [1, 1]


def test_the_budget_holds_for_the_sum_of_the_parts(job):
    out, _, _ = job
    [device] = json.loads((out / "result.json").read_text())["devices"]
    for side in ("teacher", "student"):
        assert [part["name"] for part in device[side]["parts"]] == list(PARTS)
    events = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    turns = [event for event in events if event["kind"] == "turn-finished"]
    measured = turns[-1]["devices"][0]["measurement"]
    total = sum(part["count"] * part["p50_ms"] for part in measured["parts"])
    # Medians do not add up exactly; those of parts that a busy machine slows, less so.
    assert measured["stats"]["p50_ms"] == pytest.approx(total, rel=0.3)


def test_what_is_scored_is_what_the_parts_say(job, tmp_path):
    out, data, _ = job
    splits = load(data)
    task, splits = PLUGIN.fitted(splits)
    result = json.loads((out / "result.json").read_text())
    told = result["student"]["test_score"]
    assert file_score(out / "model.onnx", splits.test, task) == pytest.approx(told, abs=0.01)
    assert told > 50
    assert result["student"]["beside"][0]["metric"]["name"] == "chrF"
    # A step of other weights says something else.
    for file in out.glob("model*.onnx"):
        shutil.copy(file, tmp_path)
    step = tmp_path / "model.decoder_step.onnx"
    step.write_bytes(step.read_bytes() + b"\x00")
    said = edgespiral("measure", tmp_path / "model.onnx", status=3)
    assert "is not the part decoder_step that model.onnx was written with" in said
    step.unlink()
    said = edgespiral("measure", tmp_path / "model.onnx", status=3)
    assert "its part decoder_step is missing: model.decoder_step.onnx" in said


def test_measure_report_and_gate_name_the_parts(job, tmp_path):
    out, _, _ = job
    shown = edgespiral("measure", out)
    assert all(name in shown for name in PARTS)
    rows = json.loads(edgespiral("measure", out, "--json"))
    assert [part["name"] for part in rows[0]["parts"]] == list(PARTS)
    page = (out / "report.html").read_text()
    assert all(name in page for name in PARTS)
    # Sentences as both say them, with the lines that they are from.
    assert "What they say" in page
    assert "<td>pairs.tsv:" in page
    suite = tmp_path / "suite.toml"
    suite.write_text(f'schema = 1\n[[model]]\npath = "{out}"\nbudget_ms = 50\n')
    record = tmp_path / "gate.json"
    assert "decoder_step" in edgespiral("bench", suite, "--out", record)
    [case] = json.loads(record.read_text())["cases"]
    assert [part["name"] for part in case["measurement"]["parts"]] == list(PARTS)


def test_a_run_goes_on_and_a_lower_precision_is_refused(job, tmp_path):
    _, _, words = job
    edgespiral(*words, "--resume")
    other = [tmp_path / "other" if word == job[0] else word for word in words]
    said = edgespiral(*other, "--precision", "int8", status=2)
    assert "encoder, decoder_step) is exported in fp32 alone" in said
