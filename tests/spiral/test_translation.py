"""A model of parts through the whole job: trained, compressed, measured and gated."""

import json
import shutil

import onnx
import pytest
from command import command
from parallel_text import write_pairs
from quick_runs import PLAIN

import edgespiral
from edgespiral.core.errors import ModelError, UsageError
from edgespiral.core.records.events import Outcome
from edgespiral.core.records.parts import part_files, part_path
from edgespiral.data import load
from edgespiral.export.parity import file_score
from edgespiral.tasks.translation import PLUGIN

PARTS = ["encoder", "decoder_step"]
OPTIONS = {
    "task": "translation", "speedup": 1.3, "epochs": 1, "max_drop": 100, "turns": 1, **PLAIN,
}  # fmt: skip


def shown(*words):
    """What the command says."""
    done = command(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A finished run and its data."""
    folder = tmp_path_factory.mktemp("translation")
    data = f"translation:{write_pairs(folder / 'pairs.tsv', 500)}"
    about = {"data": data, "task": "translation"}
    edgespiral.train_teacher("gru-translation", out=folder / "teacher", epochs=12, **about)
    weights = folder / "teacher" / "weights.safetensors"
    out = folder / "run"
    done = edgespiral.compress("gru-translation", data, out=out, weights=weights, **OPTIONS)
    return done, data, weights


def test_what_ships_is_a_file_for_each_part(job):
    done, data, _ = job
    result, whole = done.result, done.folder / "model.onnx"
    assert result.outcome is Outcome.MET
    assert result.metric.name == "BLEU"
    parts = part_files(whole)
    assert [part.name for part in parts] == PARTS
    assert [part.count for part in parts] == [1, PLUGIN.fitted(load(data))[0].steps]
    files = [part_path(whole, part) for part in parts]
    assert {file.name for file in files} <= set(result.files)
    assert result.student.size_bytes == sum(file.stat().st_size for file in files)
    # A step is of one word.
    step = onnx.load(files[1]).graph
    token = next(given for given in step.input if given.name == "token")
    assert [d.dim_value for d in token.type.tensor_type.shape.dim] == [1, 1]


def test_the_budget_holds_for_the_sum_of_the_parts(job):
    done, _, _ = job
    [device] = done.result.devices
    for measured in (device.teacher, device.student):
        assert [part.name for part in measured.parts] == PARTS
        total = sum(part.count * part.p50_ms for part in measured.parts)
        # Medians do not add up exactly; those of parts that a busy machine slows, less so.
        assert measured.stats.p50_ms == pytest.approx(total, rel=0.3)


def test_what_is_scored_is_what_the_parts_say(job):
    done, data, _ = job
    task, splits = PLUGIN.fitted(load(data))
    told = done.result.student.test_score
    assert file_score(done.folder / "model.onnx", splits.test, task) == pytest.approx(
        told, abs=0.01
    )
    assert told > 20  # of 100; words that are guessed have less than 2
    assert [figure.metric.name for figure in done.result.student.beside] == ["chrF"]


def test_parts_that_do_not_belong_together_are_refused(job, tmp_path):
    done, _, _ = job
    for file in done.folder.glob("model*.onnx"):
        shutil.copy(file, tmp_path)
    step = tmp_path / "model.decoder_step.onnx"
    step.write_bytes(step.read_bytes() + b"\x00")
    with pytest.raises(ModelError, match=r"is not the part decoder_step that model\.onnx was wri"):
        edgespiral.measure_models([tmp_path / "model.onnx"])
    step.unlink()
    with pytest.raises(ModelError, match=r"its part decoder_step is missing"):
        edgespiral.measure_models([tmp_path / "model.onnx"])


def test_measure_report_and_gate_name_the_parts(job, tmp_path):
    out = job[0].folder
    measured = shown("measure", out)
    assert all(name in measured for name in PARTS)
    page = (out / "report.html").read_text()
    assert all(name in page for name in PARTS)
    # Sentences as both say them, with the lines that they are from.
    assert "What they say" in page
    assert "<td>pairs.tsv:" in page
    suite = tmp_path / "suite.toml"
    suite.write_text(f'schema = 1\n[[model]]\npath = "{out}"\nbudget_ms = 500\n')
    record = tmp_path / "gate.json"
    assert "decoder_step" in shown("bench", suite, "--out", record)
    [case] = json.loads(record.read_text())["cases"]
    assert [part["name"] for part in case["measurement"]["parts"]] == PARTS


def test_a_run_goes_on_and_a_lower_precision_is_refused(job, tmp_path):
    done, data, weights = job
    asked = OPTIONS | {"weights": weights}
    again = edgespiral.compress("gru-translation", data, out=done.folder, resume=True, **asked)
    assert again.result == done.result
    with pytest.raises(UsageError, match=r"encoder, decoder_step\) is exported in fp32 alone"):
        edgespiral.compress(
            "gru-translation", data, out=tmp_path / "other", precision="int8", **asked
        )
