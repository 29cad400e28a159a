"""Runs that ship in another precision, and what is asked of a target before one begins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import onnx
import pytest
import torch
from torch import nn

from edgespiral import api
from edgespiral.core.errors import DataError, UsageError
from edgespiral.core.journal import read
from edgespiral.core.plan import load_plan
from edgespiral.core.profile import TargetProfile, load_profile
from edgespiral.core.recipe import load_recipe
from edgespiral.core.records import Candidate, PrecisionChosen, TurnFinished
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import train
from edgespiral.export.parity import file_accuracy
from edgespiral.spiral.precision import Precisions, measuring, supported

if TYPE_CHECKING:
    from pathlib import Path

JETSON = {"schema": 1, "name": "board", "transport": {"kind": "local"}}


def board(**runtime: object) -> TargetProfile:
    return TargetProfile.model_validate({**JETSON, "runtime": {"kind": "tensorrt", **runtime}})


def gpu(**runtime: object) -> TargetProfile:
    runtime |= {"kind": "onnxruntime", "provider": "CUDAExecutionProvider"}
    return TargetProfile.model_validate({**JETSON, "runtime": runtime})


def precisions(profile: TargetProfile, **plan: object) -> Precisions:
    asked = load_plan(None, {"model": "m", "data": "digits", "speedup": 2.0, **plan})
    return Precisions.of(asked, profile, load_recipe("default"))


def events_of(folder: Path, kind: type) -> list:
    return [event for event in read(folder / "journal.jsonl") if isinstance(event, kind)]


@pytest.fixture(scope="module")
def wide(digits):
    """A small net, wide enough to gain from int8, that knows digits."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU()),
        *(nn.Conv2d(48, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1024, 10)),
    )
    train(model, digits, TrainSettings(epochs=3.0))
    return model


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Of a run that measures in short rounds."""
    file = tmp_path_factory.mktemp("targets") / "quick.toml"
    host = load_profile("host-cpu").model_dump(mode="json", by_alias=True, exclude_none=True)
    host["measure"] |= {"round_ms": 2, "warmup_ms": 2, "min_samples": 5}
    sections = "".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(v)}\n" for key, v in section.items())
        for name, section in host.items()
        if isinstance(section, dict)
    )
    file.write_text(f'schema = 1\nname = "quick"\n{sections}')
    recipe = file.with_name("few.toml")
    recipe.write_text('schema = 1\nname = "few"\nsamples = 64\n')
    known = {"target": str(file), "recipe": str(recipe), "pruner": "depgraph"}
    return known | {"speedup": 2.5, "epochs": 0.5, "max_drop": 40.0}


@pytest.fixture(scope="module")
def mixed(wide, digits, options, tmp_path_factory):
    """One run that chooses its precision itself."""
    out = tmp_path_factory.mktemp("auto") / "run"
    return api.compress(wide, digits, out=out, precision="auto", **options)


def test_auto_takes_what_loses_least_at_the_budget(mixed):
    done = mixed
    (chosen,) = events_of(done.folder, PrecisionChosen)
    assert [trial.precision for trial in chosen.trials] == ["int8"]
    assert chosen.trials[0].rounding_nats > 0
    accepted = [trial for trial in chosen.trials if trial.refused is None]
    if not accepted:
        assert (chosen.precision, chosen.mixes) == ("fp32", ())
        return
    assert [mix.precision for mix in chosen.mixes] == ["fp32", "int8"]
    lost = {m.precision: m.lost_nats for m in chosen.mixes if m.lost_nats is not None}
    assert chosen.precision == min(lost, key=lost.__getitem__)
    assert {c.precision for c in events_of(done.folder, Candidate)} == {"fp32", "int8"}


def test_auto_shows_its_comparison(mixed):
    done = mixed
    (chosen,) = events_of(done.folder, PrecisionChosen)
    assert done.result.precision == chosen.precision
    assert done.result.precision_trials == chosen.trials
    assert done.result.precision_mixes == chosen.mixes
    page = (done.folder / "report.html").read_text()
    assert chosen.reason in page


def test_a_finished_choice_is_not_made_again(mixed, wide, digits, options):
    done = mixed
    again = api.compress(wide, digits, out=done.folder, resume=True, precision="auto", **options)
    assert again.result == done.result
    assert len(events_of(done.folder, PrecisionChosen)) == 1


@pytest.fixture(scope="module")
def rounded(wide, digits, options, tmp_path_factory):
    """One run to int8, whatever that is worth on this machine."""
    out = tmp_path_factory.mktemp("int8") / "run"
    return api.compress(wide, digits, out=out, precision="int8", **options)


def test_int8_ships_what_was_measured(rounded, digits):
    folder = rounded.folder
    assert "QuantizeLinear" in {
        node.op_type for node in onnx.load(folder / "model.onnx").graph.node
    }
    turn = events_of(folder, TurnFinished)[-1]
    assert (turn.student.precision, turn.student.latency.fingerprint.precision) == ("int8", "int8")
    assert turn.student.float_accuracy is not None
    measured = file_accuracy(folder / "model.onnx", digits.validation)
    assert turn.student.validation_accuracy == measured
    assert {"model.onnx", "model.float.onnx", "model.json"} <= set(turn.files)
    assert rounded.result.student.test_accuracy == file_accuracy(folder / "model.onnx", digits.test)


def test_candidates_were_measured_in_int8(rounded):
    found = events_of(rounded.folder, Candidate)
    assert {c.measurement.fingerprint.precision for c in found} == {"int8"}
    assert rounded.result.teacher.latency.fingerprint.precision == "fp32"


def test_what_a_target_gains_nothing_by_is_refused(wide, digits, tmp_path):
    with pytest.raises(UsageError, match=r"--precision: fp16 is not to be had on host-cpu; .*int8"):
        api.compress(wide, digits, out=tmp_path / "run", speedup=2.0, precision="fp16")
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_asks_too_much_ends_the_run(wide, digits, options, tmp_path):
    recipe = tmp_path / "much.toml"
    recipe.write_text('schema = 1\nname = "much"\nsamples = 100000\n')
    options = options | {"precision": "int8", "recipe": str(recipe)}
    with pytest.raises(DataError, match="100000 samples are asked for, there are"):
        api.compress(wide, digits, out=tmp_path / "run", **options)


def test_a_profile_says_the_precision_where_the_plan_does_not():
    host = load_profile("host-cpu")
    assert precisions(host).wanted == "fp32"
    int8 = host.model_copy(
        update={"runtime": host.runtime.model_copy(update={"precision": "int8"})}
    )
    assert precisions(int8).candidates() == ("int8",)
    assert precisions(int8, precision="fp32").candidates() == ()
    fp16 = host.model_copy(
        update={"runtime": host.runtime.model_copy(update={"precision": "fp16"})}
    )
    with pytest.raises(UsageError, match=r"host-cpu:runtime\.precision: fp16 is not to be had"):
        precisions(fp16)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (board(), ("fp16", "int8")),
        (board(precision="int8"), ("fp16", "int8")),
        (board(precision="fp32"), ("fp32", "int8")),
        (gpu(), ("fp32", "fp16", "int8")),
    ],
)
def test_a_runtime_has_its_precisions(profile, expected):
    assert supported(profile) == expected


def test_tensorrt_makes_fp16_of_fp32_files():
    found = precisions(board(), precision="auto")
    assert (found.written("fp16"), found.written("int8"), found.form) == (
        "fp32",
        "int8",
        "tensorrt",
    )
    assert found.candidates() == ("int8",)


def test_the_teacher_is_measured_in_float_where_int8_is_the_targets_own():
    assert measuring(board(precision="int8")).runtime.precision == "fp16"
    assert measuring(board(precision="fp32")).runtime.precision == "fp32"
