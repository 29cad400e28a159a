"""Stages of files and graphs on this machine, by the agents that go to any device."""

import numpy as np
import pytest
from PIL import Image

from edgespiral.core.stages.files import EncodedFrame, StageFile, StageFiles
from edgespiral.core.stages.graph import StageGraph
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.stages.timing import stage_latencies


@pytest.fixture
def files(tmp_path):
    graph = StageGraph()
    frame = graph.frame(np.ones((1, 64, 64), np.float32))
    graph.output("product", graph.add("MatMul", frame, frame), np.float32)
    path = graph.write(tmp_path / "preprocess.onnx")
    Image.fromarray(np.zeros((200, 300, 3), np.uint8)).save(tmp_path / "photo.jpg")
    photo = EncodedFrame(tmp_path / "photo.jpg", "picture", None)
    return StageFiles("photo.jpg", photo, (StageFile("preprocess", "multiply", path),))


def test_each_stage_has_its_figure_and_what_made_it(files, profile):
    stages = stage_latencies(profile, files)
    decode, preprocess = stages.each
    assert (decode.stage, decode.by.split()[0]) == ("decode", "Pillow")
    assert (preprocess.stage, preprocess.by.split()[0]) == ("preprocess", "onnxruntime")
    assert len(decode.rounds_ms) == len(preprocess.rounds_ms) == profile.measure.rounds
    # Decoding 60,000 pixels is no small thing, whatever else the machine does.
    assert decode.stats.p50_ms > 0.05
    medians = [[np.median(row) for row in stage.rounds_ms] for stage in (decode, preprocess)]
    rounds = [one + other for one, other in zip(*medians, strict=True)]
    assert min(rounds) <= stages.sum.p50_ms <= max(rounds)
    assert stages.with_network(((1000.0,),) * 5).p50_ms > 1000


def test_a_graph_that_cannot_run_there_is_told_beside_the_others(files, profile, tmp_path):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no model")
    graphs = (*files.graphs, StageFile("postprocess", "answers", damaged))
    stages = stage_latencies(profile, StageFiles(files.frame, None, graphs))
    assert stages.each[0].stats is not None
    assert "cannot be loaded" in stages.each[1].refused
    assert stages.each[1].stats is None
    assert stages.sum is None


def test_a_device_without_python_does_not_decode(files, profile):
    plain = profile.model_dump(by_alias=True)
    browser = TargetProfile.model_validate(
        plain | {"runtime": {"kind": "browser", "package": "nowhere"}}
    )
    decode, preprocess = stage_latencies(browser, files).each
    assert "no Python" in decode.refused
    assert "onnxruntime-web is not here" in preprocess.refused
