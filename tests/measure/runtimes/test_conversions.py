"""What is kept of conversions, by a runtime that copies its models."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import ClassVar

import pytest

from edgespiral.core.errors import TargetError
from edgespiral.measure.runtimes.agent_answer import AGENT
from edgespiral.measure.runtimes.base import Job
from edgespiral.measure.runtimes.conversions import Converted, Subject
from edgespiral.measure.runtimes.converting import (
    ConvertingRuntime,
    copied,
    described,
    float_inputs,
)

Make = Callable[..., Path]


class Copying(ConvertingRuntime):
    made: ClassVar[list[Path]] = []

    def __init__(self, threads: int = 1, weights: str = "fp32") -> None:
        settings = {"threads": threads}
        super().__init__("Copier", "copier", settings, AGENT, made_by={"weights": weights})

    def convert(self, subject: Subject, folder: Path) -> Converted:
        self.made.append(subject.model)
        inputs = float_inputs(subject.model, subject.shapes, "Copier")
        return Converted({"copy": copied(subject.model, folder)}, described(subject.model, inputs))


def job(*models: Path, mode: str = "measure") -> Job:
    return Job(mode, models, 1, 1.0, 1.0, 1, 1)  # type: ignore[arg-type]


def test_a_model_is_converted_once_for_all_who_have_it(convolution: Make) -> None:
    Copying.made.clear()
    models = convolution("a.onnx", 3, 5), convolution("b.onnx", 4, 5)
    files = dict(Copying().files(job(*models)))
    again = dict(Copying().files(job(*models, mode="outputs")))
    assert list(models) == Copying.made
    assert files["model-0/copy"] == again["model-0/copy"]
    request = json.loads(str(files["request.json"]))
    assert request["models"] == ["model-0", "model-1"]
    assert request["about"][0] == {"inputs": {"x": [1, 3, 5, 5]}, "outputs": ["y"]}
    # How it is run makes no other file.
    Copying(threads=2).converted(Subject(models[0], {}))
    assert len(Copying.made) == 2
    # Other settings of files do, and so do other shapes.
    Copying(weights="int8").converted(Subject(models[0], {}))
    Copying().converted(Subject(models[0], {"x": (1, 3, 5, 5)}))
    assert len(Copying.made) == 4


def test_two_models_are_converted_at_the_same_time_and_one_only_once(convolution: Make) -> None:
    both = Barrier(2)

    class Waiting(Copying):
        def convert(self, subject: Subject, folder: Path) -> Converted:
            # Broken after a while, unless the other one is converted meanwhile.
            both.wait(timeout=30)
            return super().convert(subject, folder)

    Copying.made.clear()
    models = convolution("a.onnx", 3, 6), convolution("b.onnx", 4, 6)
    runtimes = [Waiting(), Waiting(threads=2)]
    with ThreadPoolExecutor(4) as pool:
        made = [
            pool.submit(runtime.converted, Subject(model, {}))
            for runtime in runtimes
            for model in models
        ]
        files = [one.result().files["copy"] for one in made]
    assert files[:2] == files[2:]
    assert sorted(Copying.made) == sorted(models)


def test_what_was_made_goes_with_the_last_who_has_it(convolution: Make) -> None:
    first = Copying().converted(Subject(convolution("first.onnx", 2, 3), {})).files["copy"]
    assert first.is_file()
    for channels in range(3, 12):
        Copying().converted(Subject(convolution(f"{channels}.onnx", channels, 3), {}))
    assert not first.parent.exists()


def test_times_of_layers_are_refused_where_none_are_told(convolution: Make) -> None:
    with pytest.raises(TargetError, match="Copier does not tell the times of layers"):
        Copying().files(job(convolution(), mode="profile"))
