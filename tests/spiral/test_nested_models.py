"""The whole job for models of several inputs and outputs, for real."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from quick_runs import PLAIN, QUICK

import edgespiral
from edgespiral import tasks
from edgespiral.core.errors import DataError, ModelError, UsageError
from edgespiral.core.nested import rows
from edgespiral.data import load
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.export.parity import file_score
from edgespiral.models import load_model
from edgespiral.models.calling import call

FILE = Path(__file__).with_name("several.py")
TASK = f"{FILE}:KindAndAmount"
OPTIONS = {
    "target": QUICK,
    "speedup": 1.5,
    "epochs": 2.0,
    "max_drop": 1.0,
    "learning_rate": 0.005,
    "batch_size": 32,
}
NAMES = ["image", "numbers", "word"]


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    model = load_model(f"{FILE}:Net", classes=0, input_shape=())
    settings = TrainSettings(epochs=8.0, batch_size=32, learning_rate=0.02)
    train(model, load(f"{FILE}:by_name"), settings, Objective(tasks.load(TASK)))
    return model


def imported(file: Path):
    spec = importlib.util.spec_from_file_location(f"{file.stem}_of_{__name__}", file)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shipped(folder: Path):
    """The run folder's `model.py` as a user imports it."""
    return imported(folder / "model.py").load()


@pytest.mark.parametrize("data", ["by_name", "in_order"])
def test_inputs_by_name_and_in_order_go_through_to_what_ships(teacher, data, tmp_path):
    done = edgespiral.compress(
        teacher,
        f"{FILE}:{data}",
        task=TASK,
        out=tmp_path / "run",
        precision="fp32",
        **OPTIONS | PLAIN,
    )
    splits, task = load(f"{FILE}:{data}"), tasks.load(TASK)
    graph = onnx.load(done.folder / "model.onnx").graph
    assert [value.name for value in graph.input] == NAMES
    assert [value.name for value in graph.output] == ["kind", "amount"]
    scored = file_score(done.folder / "model.onnx", splits.validation, task)
    assert done.result.student.validation_score == pytest.approx(scored)
    inputs, _ = next(iter(splits.test.epoch(batch_size=4)))
    said = call(shipped(done.folder), inputs)
    assert {name: tuple(leaf.shape) for name, leaf in said.items()} == {
        "kind": (4, 3),
        "amount": (4, 1),
    }
    # As somebody runs the file who has nothing but it.
    session = onnxruntime.InferenceSession(done.folder / "model.onnx")
    values = inputs if isinstance(inputs, dict) else dict(zip(NAMES, inputs, strict=True))
    fed = {name: leaf.numpy() for name, leaf in rows(values, slice(1)).items()}
    kind, amount = session.run(["kind", "amount"], fed)
    assert torch.allclose(torch.from_numpy(kind), said["kind"][:1], atol=1e-4)
    assert torch.allclose(torch.from_numpy(amount), said["amount"][:1], atol=1e-4)
    sizes = [sum(p.numel() for p in m.parameters()) for m in (shipped(done.folder), teacher)]
    assert sizes[0] < sizes[1]
    (check,) = done.result.device_checks
    assert check.parity.max_abs_difference < 1e-3


def test_int8_of_several_inputs_and_outputs_is_calibrated_and_compared_on_its_device(
    teacher, tmp_path
):
    done = edgespiral.compress(
        teacher,
        f"{FILE}:by_name",
        task=TASK,
        out=tmp_path / "run",
        precision="int8",
        **OPTIONS | PLAIN,
    )
    graph = onnx.load(done.folder / "model.onnx")
    assert "QuantizeLinear" in {node.op_type for node in graph.graph.node}
    scored = file_score(
        done.folder / "model.onnx", load(f"{FILE}:by_name").validation, tasks.load(TASK)
    )
    assert done.result.student.validation_score == pytest.approx(scored)


def test_data_without_targets_is_learned_from_the_teacher_alone(teacher, tmp_path):
    spec = f"{FILE}:without_targets"
    done = edgespiral.compress(teacher, spec, task=TASK, out=tmp_path / "run", **OPTIONS)
    result = done.result
    assert result.teacher.validation_score == pytest.approx(0.0, abs=1e-4)
    assert 0 < result.student.validation_score <= OPTIONS["max_drop"]


def test_a_task_that_needs_targets_says_so(teacher, tmp_path):
    class Strict(imported(FILE).KindAndAmount):
        def targets_of(self, outputs):
            return None

    with pytest.raises(DataError, match="has no targets, and its task does not take"):
        edgespiral.compress(
            teacher, f"{FILE}:without_targets", task=Strict(), out=tmp_path / "run", **OPTIONS
        )


def test_a_model_that_takes_other_inputs_is_told_in_one_line(tmp_path):
    net = torch.nn.Linear(2, 3)
    with pytest.raises(ModelError, match=r"fails on 2 samples of image \(1, 16, 16\), numbers"):
        edgespiral.compress(net, f"{FILE}:by_name", task=TASK, out=tmp_path / "run", **OPTIONS)


def test_how_much_worse_a_metric_of_its_own_unit_may_get_is_to_be_said(teacher, tmp_path):
    with pytest.raises(UsageError, match="how much worse both errors may get is not said"):
        edgespiral.compress(
            teacher, f"{FILE}:by_name", task=TASK, out=tmp_path / "run", speedup=1.1
        )
    assert not (tmp_path / "run").exists()
