"""A device that computes otherwise is stood in for by one that really runs another file."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgespiral.core.errors import ExportError, MeasurementError
from edgespiral.data.tensors import Normalisation, TensorSource
from edgespiral.export.int8.calibration import prepare
from edgespiral.export.onnx import export_onnx
from edgespiral.export.recipe import load_recipe
from edgespiral.measure.profile import TargetProfile, load_profile
from edgespiral.measure.runtimes import base
from edgespiral.measure.session import Session
from edgespiral.spiral.shipping import on_device
from edgespiral.spiral.shipping.on_device import check_on_device
from edgespiral.tasks.classification import CLASSIFICATION


class Elsewhere(Session):
    """Runs another file than it is given."""

    other = None

    def outputs(self, models, inputs, folder):
        return super().outputs([self.other for _ in models], inputs, folder)


@pytest.fixture(scope="module")
def files(wide, digits, quick_options, tmp_path_factory):
    """The float file, an int8 one, and one whose ranges clip as a saturating sum does."""
    folder = tmp_path_factory.mktemp("device")
    export_onnx(wide, folder / "model.onnx", input_shape=digits.input_shape)
    recipe = load_recipe(quick_options["recipe"])
    made = prepare(folder / "model.onnx", digits, recipe, form="onnxruntime", task=CLASSIFICATION)
    made.write(folder / "int8.onnx")
    clipped = {name: (low / 3, high / 3) for name, (low, high) in made.ranges.tensors.items()}
    ranges = made.ranges.model_copy(update={"tensors": clipped})
    replace(made, ranges=ranges).write(folder / "clipped.onnx")
    return folder


@pytest.fixture
def profile(quick_options):
    return load_profile(quick_options["target"])


@pytest.mark.parametrize("name", ["model.onnx", "int8.onnx"])
def test_what_is_computed_here_is_computed_there(files, digits, profile, name):
    with Session(profile) as session:
        found = check_on_device(session, files / name, digits, 100, task=CLASSIFICATION)
    assert (found.target, found.not_checked) == (profile.name, None)
    assert found.parity.samples == 100
    assert found.parity.agreement >= 0.99
    assert found.score == pytest.approx(found.score_here, abs=1)


@pytest.mark.parametrize("name", ["model.onnx", "int8.onnx"])
def test_a_device_that_computes_otherwise_is_refused(files, digits, profile, name):
    with Elsewhere(profile) as session:
        session.other = files / "clipped.onnx"
        with pytest.raises(ExportError) as caught:
            check_on_device(session, files / name, digits, 100, task=CLASSIFICATION)
    message = str(caught.value)
    assert f"on {profile.name} " in message
    assert " of 100 samples, " in message
    assert " % here; decisions agree on " in message
    assert ("without VNNI" in message) == (name == "int8.onnx")


def test_a_device_that_is_less_right_is_refused_though_its_outputs_are_near():
    here, there = torch.ones(400), torch.ones(400)
    there[:4] = 0
    assert not on_device._is_less_right(here, there)
    there[:12] = 0
    assert on_device._is_less_right(here, there)


@pytest.mark.parametrize(("samples", "kind"), [(0, "onnxruntime"), (9, "tensorrt")])
def test_why_nothing_was_judged_is_said(digits, files, samples, kind):
    settings = {"schema": 1, "name": "x", "transport": {"kind": "local"}, "runtime": {"kind": kind}}
    with Session(TargetProfile.model_validate(settings)) as session:
        found = check_on_device(session, files / "model.onnx", digits, samples, task=CLASSIFICATION)
    assert found.parity is None
    assert found.not_checked in {
        "no samples are asked for",
        "its runtime does not tell what a model computes",
    }


def test_the_first_samples_are_enough_where_the_device_is_slow(files, digits, profile, monkeypatch):
    monkeypatch.setattr(base, "MOST_OUTPUT_SECONDS", -1.0)
    with Session(profile) as session:
        assert (
            check_on_device(
                session, files / "model.onnx", digits, 100, task=CLASSIFICATION
            ).parity.samples
            == 1
        )


def test_samples_have_every_class_and_fit(digits, monkeypatch):
    inputs, labels = on_device._drawn(digits, 50)
    assert len(inputs) == 50
    assert set(labels.tolist()) == set(range(10))
    # Fewer than there are classes: evenly apart.
    monkeypatch.setattr(on_device, "MOST_INPUT_BYTES", 5 * inputs[0].numpy().nbytes)
    assert 1 <= len(on_device._drawn(digits, 50)[0]) <= 5


def test_a_small_split_is_taken_whole(digits):
    plain = Normalisation(torch.zeros(1), torch.ones(1))
    few = TensorSource(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 2]), plain)
    assert len(on_device._drawn(replace(digits, validation=few), 512)[0]) == 3


class Forged(Session):
    """A device whose outputs are replaced on the way."""

    def __init__(self, profile, content):
        super().__init__(profile)
        inner = self._transport.pull
        self._transport.pull = lambda name, path: (
            inner(name, path),
            path.write_bytes(content(path)),
        )


def array(values, **how):
    def content(_path):
        stream = io.BytesIO()
        np.save(stream, values, **how)
        return stream.getvalue()

    return content


def bomb(path):
    """A header that claims more than there is."""
    head = path.read_bytes().replace(b"(20, 10)", b"(20, 10000000000000)")
    return head.replace(b" " * 12 + b"\n", b"\n", 1)


FORGED = {
    "nothing": lambda _path: b"",
    "text": lambda _path: b"[[1, 2]]",
    "cut": lambda path: path.read_bytes()[:200],
    "a bomb": bomb,
    "objects": array(np.array([{}] * 20, dtype=object), allow_pickle=True),
    "words": array(np.array(["1.0"] * 20)),
    "complex": array(np.ones((20, 10), np.complex64)),
    "one number": array(np.float32(1)),
    "fewer rows than told": array(np.ones((3, 10), np.float32)),
    "other columns": array(np.ones((20, 9), np.float32)),
    "NaN": array(np.full((20, 10), np.nan, np.float32)),
    "beyond float32": array(np.full((20, 10), 1e300)),
}


@pytest.mark.parametrize("forged", FORGED)
def test_no_figure_is_made_of_forged_outputs(files, digits, profile, forged):
    with (
        Forged(profile, FORGED[forged]) as session,
        pytest.raises((MeasurementError, ExportError)) as caught,
    ):
        check_on_device(session, files / "model.onnx", digits, 20, task=CLASSIFICATION)
    assert "\n" not in str(caught.value)
