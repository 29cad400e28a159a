from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest
import torch
from brief_training import taught
from example_records import measurement
from quick_runs import FINISHED, QUICK
from safetensors.torch import load_model, save_model
from torch import nn

from edgespiral import api
from edgespiral.core.listener import Silent
from edgespiral.core.records.journal import Journal
from edgespiral.data import load
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.export.onnx import export_onnx
from edgespiral.export.recipe import load_recipe
from edgespiral.measure.fleet import Fleet
from edgespiral.measure.latency_cache import LatencyCache
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session
from edgespiral.models import build
from edgespiral.models.saved import trace
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.context import RunContext
from edgespiral.spiral.planning.importance import Importance
from edgespiral.spiral.planning.latencies import Device
from edgespiral.spiral.planning.planner import Planner
from edgespiral.spiral.student.precisions import Precisions
from edgespiral.tasks.classification import CLASSIFICATION


@pytest.fixture
def a_measurement():
    """Makes a measurement of a given median, with an interval of one percent either side."""

    return measurement


@pytest.fixture(scope="session")
def digits():
    return load("digits")


@pytest.fixture(scope="session")
def weights(digits, made_once):
    """A file of weights of a ResNet-20 that knows digits well enough to lose something."""

    def fill(folder):
        torch.manual_seed(0)
        model = build("resnet20", classes=10, input_shape=digits.input_shape)
        train(model, digits, TrainSettings(epochs=8.0), Objective(CLASSIFICATION))
        save_model(model, str(folder / "weights.safetensors"))

    return made_once("teacher", fill) / "weights.safetensors"


@pytest.fixture(scope="session")
def teacher(digits, weights):
    """That ResNet-20."""
    model = build("resnet20", classes=10, input_shape=digits.input_shape)
    load_model(model, str(weights))
    return model.eval()


@pytest.fixture
def a_bench(teacher, digits, tmp_path):
    """Makes what the steps of a run of the teacher share, in an empty folder."""

    def make(plan, listener=None, model=None) -> RunContext:
        profile = load_profile(plan.target)
        return RunContext(
            plan=plan,
            out=tmp_path,
            splits=digits,
            fleet=Fleet([Session(profile)]),
            journal=Journal(tmp_path / "journal.jsonl"),
            listener=listener or Silent(),
            teacher=PrunableModel.of(trace(model or teacher.eval()), digits.input_shape),
            teacher_onnx=tmp_path / "teacher.onnx",
            precisions=Precisions.of(plan.precision, profile, load_recipe(plan.recipe)),
            sparse_kernels="none",
            task=CLASSIFICATION,
        )

    return make


class StopsAt(Silent):
    """A listener that presses Ctrl-C at the first report of steps under `label`."""

    def __init__(self, label: str) -> None:
        self.label = label

    @contextmanager
    def steps(self, label: str):
        """See `Listener.steps`."""

        def advance(_done: int, _total: int, _detail: str) -> None:
            if label.startswith(self.label):
                raise KeyboardInterrupt

        yield advance


@pytest.fixture
def stops_at():
    """Makes a listener that presses Ctrl-C once steps of that label are under way."""
    return StopsAt


@pytest.fixture(scope="session")
def ended(digits, made_once, tmp_path_factory):
    """Makes a run to its end, which one worker does and the others have a copy of."""

    def end(name, model, options):
        def fill(folder):
            api.compress(model, digits, out=folder, **options)

        run = tmp_path_factory.mktemp(name) / "run"
        shutil.copytree(made_once(name, fill), run)
        return api.compress(model, digits, out=run, resume=True, **options)

    return end


@pytest.fixture(scope="session")
def finished(teacher, ended):
    """One run to the end, looked at by many tests."""
    return ended("finished", teacher, FINISHED)


@pytest.fixture(scope="session")
def wide(digits, made_once):
    """A small net, wide enough to gain from int8, that knows digits."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU()),
        *(nn.Conv2d(48, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1024, 10)),
    )

    def fill(folder):
        save_model(taught(model, digits, 2e-3), str(folder / "weights.safetensors"))

    load_model(model, str(made_once("wide", fill) / "weights.safetensors"))
    return model.eval()


@pytest.fixture(scope="session")
def quick_options(made_once):
    """Of a run that measures in short rounds."""

    def fill(folder):
        (folder / "few.toml").write_text('schema = 1\nname = "few"\nsamples = 64\n')

    recipe = made_once("recipe", fill) / "few.toml"
    asked = {"target": QUICK, "recipe": str(recipe), "pruner": "depgraph"}
    return asked | {"speedup": 2.5, "epochs": 0.5, "max_drop": 40.0, "learning_rate": 0.01}


@pytest.fixture(scope="session")
def mixed(wide, quick_options, ended):
    """One run that chooses its precision itself."""
    return ended("mixed", wide, quick_options | {"precision": "auto"})


@pytest.fixture(scope="session")
def int8_options(quick_options):
    """Of a run to int8 whose student is trained with its rounding."""
    return quick_options | {"precision": "int8", "qat": "always"}


@pytest.fixture(scope="session")
def rounded(wide, int8_options, ended):
    """One run to int8, whatever that is worth on this machine."""
    return ended("rounded", wide, int8_options)


@pytest.fixture(scope="module")
def searched():
    torch.manual_seed(0)
    return PrunableModel.of(
        trace(build("resnet20", classes=10, input_shape=(1, 16, 16))), (1, 16, 16)
    )


@pytest.fixture(scope="module")
def importance(searched):
    generator = torch.Generator().manual_seed(0)
    return Importance(
        {g.name: torch.rand(g.channels, generator=generator) for g in searched.groups},
        {branch.name: 4.0 for branch in searched.branches},
        {},
    )


@pytest.fixture(scope="module")
def planner(searched, tmp_path_factory):
    """One planner for the module, as for a run: later plans build on what earlier ones measured."""
    tmp_path = tmp_path_factory.mktemp("planner")
    teacher = tmp_path / "teacher.onnx"
    export_onnx(searched.model, teacher, input_shape=(1, 16, 16))
    with Fleet.of([load_profile("host-cpu")]) as fleet:
        (latency,) = fleet.sessions[0].measure([teacher])
        teacher_ms = latency.stats.p50_ms
        yield Planner(
            original=searched,
            fleet=fleet,
            devices=[Device("host-cpu", teacher_ms, teacher_ms, 16, teacher_ms)],
            journal=Journal(tmp_path / "journal.jsonl"),
            teacher_onnx=teacher,
            work=tmp_path / "work",
            seed=0,
            caches=[LatencyCache.of(tmp_path / "cache", fleet.profiles[0], latency.fingerprint)],
        )
