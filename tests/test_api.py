from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from quick_runs import PLAIN, QUICK

import edgespiral
from edgespiral.core import errors
from edgespiral.core.errors import EdgeSpiralError, ModelError, UsageError
from edgespiral.core.listener import Silent
from edgespiral.core.records.journal import read
from edgespiral.data import load
from edgespiral.models import build


def test_functions_are_at_the_top_and_unknown_names_are_not():
    assert callable(edgespiral.compress)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = edgespiral.nothing


def test_every_public_name_can_be_had():
    for name in edgespiral.__all__:
        assert getattr(edgespiral, name) is not None


def test_the_whole_error_tree_is_public():
    raised = [errors.EdgeSpiralError]
    for kind in raised:
        raised += kind.__subclasses__()
    own = {kind.__name__ for kind in raised if kind.__module__ == errors.__name__}
    assert own == {name for name in edgespiral.__all__ if name.endswith("Error")}
    assert edgespiral.DataError is errors.DataError


def test_every_public_name_is_documented():
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
    names = set(edgespiral.__all__) - {"__version__"}
    assert {name for name in names if not re.search(rf"\b{name}\b", page)} == set()


def test_a_light_name_loads_nothing_heavy():
    code = "import sys, edgespiral as e; e.DataError, e.Plan; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class StopsAfterTheTeacher(Silent):
    """Hears the progress, and presses Ctrl-C once the plan is accepted and the teacher measured."""

    def say(self, text):
        if text.startswith("teacher:"):
            raise KeyboardInterrupt


def accepted(folder, *plan, **options):
    """The plan that a run of these arguments writes down first."""
    net = build("resnet8", classes=10, input_shape=(1, 8, 8))
    with pytest.raises(KeyboardInterrupt):
        edgespiral.compress(net, "digits", *plan, listener=StopsAfterTheTeacher(), **options)
    return read(folder / "journal.jsonl")[0].plan


def test_a_plan_and_its_fields_by_keyword_ask_for_the_same(tmp_path):
    fields = {"speedup": 2.0, "epochs": 1.5, "criterion": "l1", "target": "host-cpu"}
    by_keyword = accepted(tmp_path / "a", out=tmp_path / "a", **fields)
    by_plan = accepted(tmp_path / "b", edgespiral.Plan(**fields), out=tmp_path / "b")
    assert by_plan == by_keyword
    assert {name: by_plan[name] for name in fields} == fields
    assert (by_plan["model"], by_plan["data"]) == ("CifarResNet", "digits")


def test_a_keyword_takes_the_place_of_the_plan_s_field(tmp_path):
    own = tmp_path / "own"
    plan = edgespiral.Plan(model="other", data="fashion-mnist", speedup=2.0, seed=3, out=own)
    asked = accepted(own, plan, latency_ms=0.0001, epochs=None)
    assert (asked["latency_ms"], asked["speedup"]) == (0.0001, None)
    assert (asked["seed"], asked["model"], asked["data"]) == (3, "CifarResNet", "digits")


def test_options_are_checked_before_anything_is_done(tmp_path):
    model = build("resnet8", classes=10, input_shape=(1, 8, 8))
    with pytest.raises(UsageError, match="epochs"):
        edgespiral.compress(model, "digits", out=tmp_path / "run", speedup=2.0, epochs=-1.0)
    with pytest.raises(UsageError, match="epoch"):
        edgespiral.compress(model, "digits", out=tmp_path / "run", speedup=2.0, epoch=1.0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "data", "options", "problem"),
    [
        (None, "digits", {}, "model: a NoneType is no model"),
        (torch.nn.Flatten(), "digits", {"weights": "w.pt"}, "weights: a module has its weights"),
        (torch.nn.Flatten(), "digits", {"plan": {"speedup": 2}}, "plan: a dict is no plan"),
        (torch.nn.Flatten(), "digits", {"out": None}, "out: no run folder is named"),
        (torch.nn.Flatten(), None, {}, "data: no splits, but a NoneType"),
        (torch.nn.Flatten(), {"train": []}, {}, "data: the mapping lacks validation, test"),
    ],
)
def test_what_is_no_model_or_data_is_told(tmp_path, model, data, options, problem):
    with pytest.raises(EdgeSpiralError, match=problem):
        edgespiral.compress(model, data, **{"out": tmp_path / "run", "speedup": 2.0, **options})
    assert not (tmp_path / "run").exists()


class Samples(torch.utils.data.Dataset):
    """Noise of two classes."""

    classes = ("even", "odd")

    def __len__(self):
        return 64

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return torch.randn(1, 16, 16, generator=generator), index % 2


NOISE = {part: Samples() for part in ("train", "validation", "test")}
BUDGET = {"speedup": 1.15, "max_drop": 100.0, "batch_size": 32}


def test_a_mapping_of_data_sets_is_compressed_on(tmp_path):
    net = build("resnet8", classes=2, input_shape=(1, 16, 16))
    cache = {"latency_cache": tmp_path / "cache"}
    done = edgespiral.compress(
        net, NOISE, out=tmp_path / "run", **PLAIN, epochs=1.0, **cache, **BUDGET
    )
    assert list((tmp_path / "cache").iterdir())
    assert isinstance(done, edgespiral.Compressed)
    assert done.result.devices[0].speedup.value >= BUDGET["speedup"]
    [rate] = [e for e in read(tmp_path / "run" / "journal.jsonl") if e.kind == "rate-chosen"]
    assert rate.reason.startswith("2 steps are too few")
    assert 0 < rate.learning_rate < 0.1


LOOPED = []


def own_loop(job):
    """A loop of one's own, which counts its steps."""
    optimizer = torch.optim.Adam(job.student.parameters(), lr=1e-3)
    for inputs, targets in job.batches():
        loss = job.loss(job.forward(inputs), targets, job.teach(inputs))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        job.after_step(loss)
        LOOPED.append(float(loss.detach()))


def test_a_loop_of_ones_own_trains_the_student(tmp_path):
    net = build("resnet8", classes=2, input_shape=(1, 16, 16))
    LOOPED.clear()
    done = edgespiral.compress(
        net, NOISE, out=tmp_path / "run", train=own_loop, epochs=3.0, **PLAIN, **BUDGET
    )
    assert len(LOOPED) == 6
    assert done.result.devices[0].speedup.value >= BUDGET["speedup"]
    assert read(tmp_path / "run" / "journal.jsonl")[0].plan["train"] == f"{__name__}:own_loop"


def broken_loop(job):
    raise RuntimeError("no such batch")


def test_a_loop_that_fails_is_one_line(tmp_path):
    net, asked = build("resnet8", classes=2, input_shape=(1, 16, 16)), PLAIN | BUDGET
    with pytest.raises(edgespiral.TrainingError, match=r"broken_loop: .*no such batch") as caught:
        edgespiral.compress(
            net, NOISE, out=tmp_path / "run", train=broken_loop, epochs=1.0, **asked
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"train": 3}, "train: a int is no way to train"),
        ({"train": own_loop, "criterion": "l1-reg"}, "a loop of one's own would not have"),
        ({"freeze": ("stem",)}, "--freeze: no parameter goes by 'stem'"),
        ({"device": "cuda:77"}, "--device: no device 'cuda:77'"),
        ({"accumulate": 256}, "accumulate cannot be 256"),
        ({"optimizer": "adam"}, "unknown optimizer 'adam', did you mean adamw"),
    ],
)
def test_a_training_that_cannot_be_is_refused_before_time_is_spent(tmp_path, options, problem):
    net = build("resnet8", classes=10, input_shape=(1, 8, 8))
    with pytest.raises(UsageError, match=problem):
        edgespiral.compress(net, "digits", out=tmp_path / "run", speedup=2.0, **options)
    assert not (tmp_path / "run" / "journal.jsonl").exists()


def test_a_teacher_is_trained_and_found_again(tmp_path):
    settings = {"out": str(tmp_path / "teacher"), "epochs": 0.25, "seed": 3}
    record = edgespiral.train_teacher("resnet8", "digits", **settings)
    assert isinstance(record, edgespiral.TrainedTeacher)
    assert (tmp_path / "teacher" / "weights.safetensors").is_file()
    with pytest.raises(edgespiral.RunFolderError, match="holds this training already"):
        edgespiral.train_teacher("resnet8", "digits", **settings)
    assert edgespiral.train_teacher("resnet8", "digits", resume=True, **settings) == record


class Ones(edgespiral.BatchSource):
    """A supply of the user's own: one image, sixteen times."""

    def __len__(self):
        return 16

    def epoch(self, *, batch_size, seed=None, first_batch=0):
        for _ in range(first_batch, 16 // batch_size):
            yield torch.ones(batch_size, 1, 4, 4), torch.zeros(batch_size, dtype=torch.int64)


def test_a_supply_of_ones_own_is_exported_on(tmp_path):
    splits = edgespiral.DataSplits("ones", Ones(), Ones(), Ones(), ("a", "b"), (1, 4, 4))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2)).eval()
    assert edgespiral.export_model(model, splits, tmp_path / "model.onnx").samples == 16
    mapping = {"train": Ones(), "validation": Ones(), "test": Ones(), "classes": ["a", "b"]}
    assert edgespiral.export_model(model, mapping, tmp_path / "again.onnx").samples == 16


def test_export_then_measure(tmp_path):
    torch.manual_seed(0)
    model = build("resnet8", classes=10, input_shape=(1, 8, 8)).eval()
    parity = edgespiral.export_model(model, load("digits"), tmp_path / "model.onnx")
    assert parity.agreement == 1.0
    (measurement,) = edgespiral.measure_models([tmp_path / "model.onnx"])
    assert measurement.target == "host-cpu"
    assert measurement.stats.count == sum(map(len, measurement.rounds_ms))


def test_the_api_exports_no_model_that_depends_on_the_batch(tmp_path):
    norm = torch.nn.BatchNorm2d(4, track_running_stats=False)
    head = (torch.nn.Flatten(), torch.nn.Linear(144, 10))
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), norm, *head)
    with pytest.raises(ModelError, match=r"1 \(BatchNorm2d\): what it says of a sample depends"):
        edgespiral.export_model(model, load("digits"), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


class Everything(torch.nn.Module):
    """What people's networks do: hooks, computed weights, casts, loops, branches on sizes."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv2d(1, 64, 3))
        self.parts = torch.nn.ModuleList(torch.nn.Conv2d(32, 64, 3, padding=1) for _ in range(2))
        self.head = torch.nn.Linear(128, 2)
        self.parts[1].register_forward_pre_hook(lambda _, inputs: (inputs[0] * 2 - 1,))

    def forward(self, x):
        if x.shape[-1] % 3:
            x = torch.nn.functional.pad(x, (0, 1))
        x = self.first(x.float())
        parts = [torch.relu(part(x)) for part, x in zip(self.parts, x.chunk(2, 1), strict=True)]
        return self.head(torch.cat(parts, 1).mean((2, 3)).float())


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text.strip())


def test_a_network_as_people_write_them_is_compressed(tmp_path):
    torch.manual_seed(0)
    net, heard = torch.nn.DataParallel(Everything()), Heard()
    asked = {"target": QUICK, "allocation": "uniform", "turns": 1, "epochs": 0.5}
    done = edgespiral.compress(net, NOISE, out=tmp_path / "run", listener=heard, **asked, **BUDGET)
    assert "parametrisation folded into plain weights: first" in heard.lines
    inputs = torch.randn(3, 1, 16, 16)
    teacher = edgespiral.load_model(tmp_path / "run" / "teacher")
    assert torch.allclose(teacher(inputs), net.module.eval()(inputs), atol=1e-5)
    assert done.model(inputs).shape == (3, 2)


def test_an_exported_program_is_refused_before_anything_is_done(tmp_path):
    net = torch.export.export(Everything().eval(), (torch.zeros(2, 1, 16, 16),)).module()
    with pytest.raises(ModelError, match="exported program"):
        edgespiral.compress(net, NOISE, out=tmp_path / "run", speedup=2.0, batch_size=32)
    assert not (tmp_path / "run").exists()
