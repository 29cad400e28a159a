"""What runtimes share that convert models, by one that copies them."""

import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest

from edgespiral.core.errors import ModelError, TargetError
from edgespiral.measure.runtimes import converting
from edgespiral.measure.runtimes.agent_answer import AGENT
from edgespiral.measure.runtimes.base import Job
from edgespiral.measure.runtimes.converting import (
    Converted,
    ConvertingRuntime,
    Subject,
    copied,
    described,
    float_inputs,
    run_converter,
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


def test_what_was_made_goes_with_the_last_who_has_it(convolution: Make) -> None:
    first = Copying().converted(Subject(convolution("first.onnx", 2, 3), {})).files["copy"]
    assert first.is_file()
    for channels in range(3, 12):
        Copying().converted(Subject(convolution(f"{channels}.onnx", channels, 3), {}))
    assert not first.parent.exists()


def test_times_of_layers_are_refused_where_none_are_told(convolution: Make) -> None:
    with pytest.raises(TargetError, match="Copier does not tell the times of layers"):
        Copying().files(job(convolution(), mode="profile"))


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; print('all well'); sys.exit('no such operator')", "no such operator"),
        ("print('nothing made')", "nothing made"),
        ("pass", "without a word"),
    ],
)
def test_what_a_converter_says_last_is_the_reason(
    tmp_path: Path, program: str, reason: str
) -> None:
    with pytest.raises(ModelError, match=f"Maker cannot convert it: {reason}"):
        run_converter("Maker", [sys.executable, "-c", program], tmp_path, ["made"], Path("m.onnx"))


def test_a_converter_that_says_all_is_well_has_to_leave_its_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("somebody's own")
    for program in ("print('done')", "import os; os.symlink('elsewhere', 'made'); print('done')"):
        with pytest.raises(ModelError, match="cannot convert it: done; it wrote no made"):
            run_converter("Maker", [sys.executable, "-c", program], tmp_path, ["made"], Path("m"))


def test_a_converter_that_hangs_ends_with_all_that_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converting, "LONGEST_S", 0.5)
    os.mkfifo(tmp_path / "held")
    # The child has the converter's streams too, which would be waited for.
    command = ["/bin/sh", "-c", "sleep 600 3>held & exec sleep 600"]
    with ThreadPoolExecutor() as workers:
        held = workers.submit((tmp_path / "held").read_bytes)
        with pytest.raises(ModelError, match=r"Maker cannot convert it: not done after 0\.5 s"):
            run_converter("Maker", command, tmp_path, ["made"], Path("m.onnx"))
        assert held.result() == b""
