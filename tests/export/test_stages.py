"""Stages of real data and tasks as files, and what is refused."""

import wave
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from edgespiral import data
from edgespiral.core.errors import DataError, ExportError, UsageError
from edgespiral.core.stages.frames import Standardised
from edgespiral.core.stages.graph import Postprocessing
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import opened
from edgespiral.export.stages import write_stages
from edgespiral.tasks import load as load_task
from edgespiral.tasks.classification import CLASSIFICATION, Classification
from edgespiral.tasks.detection.task import Detection
from edgespiral.tasks.segmentation import Segmentation


class Linear(nn.Module):
    """Logits of a picture or a sound: each class an average with other weights."""

    def __init__(self, channels: int, classes: int, *, of_pixels: bool = False) -> None:
        super().__init__()
        self.layer, self.of_pixels = nn.Conv2d(channels, classes, 1), of_pixels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.layer(x)
        return maps if self.of_pixels else maps.mean((2, 3))


def exported(tmp_path, splits, *, of_pixels=False):
    torch.manual_seed(0)
    model = Linear(splits.input_shape[0], len(splits.class_names), of_pixels=of_pixels)
    export_onnx(model, tmp_path / "model.onnx", input_shape=splits.input_shape)
    return tmp_path / "model.onnx"


def pictures(folder, names, size=(50, 34)):
    folder.mkdir(parents=True)
    across, down = np.meshgrid(np.linspace(0, 6, size[0]), np.linspace(0, 5, size[1]))
    for number, name in enumerate(names):
        waves = [np.sin(across + number), np.cos(down), np.sin(across * down / 5)]
        pixels = (127 + 100 * np.stack(waves, -1)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.jpg", quality=90)


@pytest.fixture
def photos(tmp_path):
    for part, count in (("train", 6), ("val", 3), ("test", 3)):
        for kind in ("cat", "dog"):
            names = [f"{part}-{kind}-{number}" for number in range(count)]
            pictures(tmp_path / "photos" / part / kind, names, (50 + len(kind + part), 34))
    return data.load(f"folder:{tmp_path / 'photos'}?size=32")


def test_a_photo_is_decoded_scaled_and_named(tmp_path, photos):
    files = write_stages(tmp_path, exported(tmp_path, photos), photos, CLASSIFICATION)
    assert files.encoded is not None
    assert files.encoded.path in photos.frames.files
    assert [stage.stage for stage in files.graphs] == ["preprocess", "postprocess"]
    assert all(stage.path.is_file() for stage in files.graphs)
    assert files.frame.startswith(files.encoded.path.name)


def test_masks_have_a_class_for_each_pixel(tmp_path):
    root = tmp_path / "seen"
    names = [f"scene-{number}" for number in range(24)]
    pictures(root / "images", names)
    (root / "masks").mkdir()
    for number, name in enumerate(names):
        mask = np.zeros((34, 50), np.uint8)
        mask[number % 20 :, 10:30] = 1
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
    (root / "classes.txt").write_text("ground\nthing\n")
    splits = data.load(f"masks:{root}?size=32")
    onnx = exported(tmp_path, splits, of_pixels=True)
    files = write_stages(tmp_path, onnx, splits, Segmentation())
    assert files.graphs[1].what == "arg-max of each pixel"


def test_sounds_are_made_into_features_outside(tmp_path):
    for kind in ("yes", "no"):
        folder = tmp_path / "words" / kind
        folder.mkdir(parents=True)
        for number in range(12):
            times = np.arange(3000 + 100 * number) / 8000
            tone = 9000 * np.sin(2 * np.pi * (300 if kind == "yes" else 900) * times)
            with wave.open(str(folder / f"{number}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(tone.astype("<i2").tobytes())
    splits = data.load(f"speech:{tmp_path / 'words'}?features=logmel")
    task = load_task("keyword-spotting")
    files = write_stages(tmp_path, exported(tmp_path, splits), splits, task)
    assert files.encoded.kind == "sound"
    assert "log-mel" in files.graphs[0].what


def test_what_is_kept_is_not_decoded(tmp_path, digits):
    files = write_stages(tmp_path, exported(tmp_path, digits), digits, CLASSIFICATION)
    assert files.encoded is None
    assert files.graphs[0].what == "normalise"


def test_data_that_say_nothing_are_refused(tmp_path, digits):
    onnx = exported(tmp_path, digits)
    untold = replace(digits, frames=None)
    with pytest.raises(UsageError, match="say nothing of how a sample is made"):
        write_stages(tmp_path, onnx, untold, CLASSIFICATION)


@pytest.mark.parametrize("task", [CLASSIFICATION, Detection()])
def test_data_that_the_network_does_not_take_are_refused(tmp_path, digits, photos, task):
    onnx = exported(tmp_path, digits)
    with pytest.raises(DataError, match=r"the samples do not fit the model: .*Expected: 1"):
        write_stages(tmp_path, onnx, photos, task)


def test_data_of_more_inputs_than_the_network_has_are_refused(tmp_path, digits):
    network = opened(exported(tmp_path, digits))
    inputs = {"a": torch.zeros(1, 1, 8, 8), "b": torch.zeros(1, 1, 8, 8)}
    with pytest.raises(DataError, match=r"2 inputs, and not 1; .*model\.onnx takes input"):
        network.require_takes(inputs, "mine")


def test_a_preparation_that_makes_something_else_is_refused(tmp_path, digits):
    onnx = exported(tmp_path, digits)
    wrong = replace(digits.frames, preparation=Standardised((0.0,), (1.0,)))
    with pytest.raises(DataError, match=r"normalise makes of it as a graph is off by"):
        write_stages(tmp_path, onnx, replace(digits, frames=wrong), CLASSIFICATION)


def test_a_file_that_is_gone_or_damaged_is_named(tmp_path, photos):
    onnx = exported(tmp_path, photos)
    for file in photos.frames.files:
        file.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"\.jpg: .*cannot"):
        write_stages(tmp_path, onnx, photos, CLASSIFICATION)


def test_answers_that_the_task_does_not_give_are_refused(tmp_path, digits):
    class Least(Classification):
        def postprocessing(self):
            return Postprocessing(
                "arg-min",
                lambda outputs: {"class": outputs.argmin(1)},
                lambda graph, outputs: {"class": graph.add("ArgMax", outputs, axis=1, keepdims=0)},
            )

    with pytest.raises(ExportError, match="arg-min as a graph gives other answers"):
        write_stages(tmp_path, exported(tmp_path, digits), digits, Least())


def test_a_task_that_lacks_its_anchors_says_so_and_times_the_rest(tmp_path, digits):
    files = write_stages(tmp_path, exported(tmp_path, digits), digits, Detection())
    assert files.graphs[0].path is not None
    assert files.graphs[1].path is None
    assert "needs the anchors" in files.graphs[1].refused
