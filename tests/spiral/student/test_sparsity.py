"""Sparse weights through a whole run, and what is said of them before it."""

from __future__ import annotations

import json
import shutil

import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import load_file
from torch import nn

from edgespiral import api
from edgespiral.core.errors import ExportError, ModelError, UsageError
from edgespiral.core.listener import Silent
from edgespiral.core.records.events import TurnFinished
from edgespiral.core.records.journal import read
from edgespiral.core.records.widths import Widths
from edgespiral.measure.profile import TargetProfile
from edgespiral.models.saved import load_model, trace
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.planning.candidates import CandidateFiles
from edgespiral.spiral.student.kernels import sparse_kernels
from edgespiral.spiral.student.sparsity import planned_multiple, sparsity_of, thinned


class Hears(Silent):
    """A listener that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """See `Listener.say`."""
        self.said.append(text)


@pytest.fixture(scope="module")
def options(quick_options):
    return {**quick_options, "speedup": 2.0, "epochs": 1.0, "sparsity": "2:4"}


@pytest.fixture(scope="module")
def heard():
    return Hears()


@pytest.fixture(scope="module")
def sparse(wide, digits, options, heard, tmp_path_factory):
    """One run with 2:4 weights."""
    out = tmp_path_factory.mktemp("sparse") / "run"
    return api.compress(wide, digits, out=out, listener=heard, **options)


def is_two_four(weight) -> bool:
    groups = torch.tensor(weight).movedim(1, -1).reshape(-1, 4)
    return bool(((groups == 0).sum(1) == 2).all())


def test_what_ships_has_the_zeros_and_says_so(sparse):
    weights = load_file(sparse.folder / "model.safetensors")
    stored = {name: w for name, w in weights.items() if w.ndim > 1}
    assert [is_two_four(w.numpy()) for w in stored.values() if w.shape[1] % 4 == 0] == [
        True,
        True,
        True,
    ]
    tensors = onnx.load(sparse.folder / "model.onnx").graph.initializer
    exported = [numpy_helper.to_array(tensor) for tensor in tensors if len(tensor.dims) > 1]
    zeros = sum(int((array == 0).sum()) for array in exported)
    assert zeros == sum(int((w == 0).sum()) for w in stored.values())
    found = sparse.result.sparsity
    assert sum(layer.zeros for layer in found.layers) == zeros
    assert [layer.two_four for layer in found.layers] == [False, True, True, True]
    assert found.left_dense == {"0": "1 input channel, not a multiple of 4"}
    assert found.compressed_bytes < 0.8 * found.dense_compressed_bytes
    kept = json.loads((sparse.folder / "result.json").read_text(encoding="utf-8"))["sparsity"]
    assert kept["compressed_bytes"] == found.compressed_bytes
    page = (sparse.folder / "report.html").read_text(encoding="utf-8")
    assert "No speed-up expected here, " in page
    assert not list(sparse.folder.rglob("dense*.onnx"))


def test_a_turn_that_was_stopped_ends_with_the_same_weights(
    sparse, wide, digits, options, stops_at, tmp_path
):
    out = tmp_path / "run"
    shutil.copytree(sparse.folder, out)
    journal = out / "journal.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    planned = next(i for i, line in enumerate(lines) if '"kind":"turn-planned"' in line)
    journal.write_text("".join(lines[: planned + 1]), encoding="utf-8")
    for path in (out / "turn-01").glob("*.*"):
        path.unlink()
    with pytest.raises(KeyboardInterrupt):
        api.compress(wide, digits, out=out, resume=True, listener=stops_at("distilling"), **options)
    assert (out / "turn-01" / "checkpoint.pt").exists()
    again = api.compress(wide, digits, out=out, resume=True, **options)
    expected = load_file(sparse.folder / "model.safetensors")
    for name, value in load_file(out / "model.safetensors").items():
        assert torch.equal(value, expected[name]), name
    assert again.result.sparsity == sparse.result.sparsity


def test_a_teacher_within_the_budget_still_gets_its_zeros(wide, digits, quick_options, tmp_path):
    asked = {**quick_options, "speedup": None, "latency_ms": 1000.0, "sparsity": 0.75}
    done = api.compress(wide, digits, out=tmp_path / "run", **asked)
    assert (done.result.exit_code, done.result.turns) == (0, 1)
    assert done.result.widths_after == done.result.widths_before
    weights = torch.cat([p.detach().flatten() for p in done.model.parameters() if p.ndim > 1])
    assert float((weights == 0).float().mean()) == pytest.approx(0.75, abs=1e-4)
    assert done.result.sparsity.zero_share == pytest.approx(0.75, abs=1e-4)
    (turn,) = [e for e in read(tmp_path / "run" / "journal.jsonl") if isinstance(e, TurnFinished)]
    assert turn.epochs == 0.5


def test_masks_are_a_function_of_the_cut(sparse, digits):
    models = [trace(load_model(sparse.folder / "turn-01" / "cut")) for _ in range(2)]
    masks = [thinned(0.9, model, digits.train, batches=3, seed=0) for model in models]
    for name, mask in masks[0].items():
        assert torch.equal(mask, masks[1][name])
        assert not bool(models[0].get_parameter(name)[~mask].any())
    states = [model.state_dict() for model in models]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert thinned("none", models[0], digits.train, batches=3, seed=0) == {}


def test_a_file_that_lost_zeros_is_not_passed_off_as_sparse(sparse):
    masks = {"3.weight": torch.zeros(10**6, dtype=torch.bool)}
    with pytest.raises(ExportError, match="zeros, the student 1000000"):
        sparsity_of(
            sparse.folder / "model.onnx", sparse.model, masks,
            sparsity="2:4", kernels="none", dense_bytes=lambda: 0,
        )  # fmt: skip


def test_what_stays_dense_is_said_before_anything_is_done(sparse, heard):
    assert heard.said[:2] == [
        "  stays dense: 0 (1 input channel, not a multiple of 4)",
        "  quick has no kernels for such zeros: no speed-up expected of them",
    ]
    assert heard.said[2].startswith("  can be cut: ")
    assert heard.said[3].startswith("teacher: ")


def test_a_model_that_cannot_be_sparse_is_refused_before_anything(digits, options, tmp_path):
    odd = nn.Sequential(
        *(nn.Conv2d(1, 33, 3), nn.ReLU(), nn.Conv2d(33, 33, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(33, 10)),
    )
    with pytest.raises(ModelError, match=r"no layer can be 2:4 sparse: 0 \(1 input channel"):
        api.compress(odd, digits, out=tmp_path / "run", **options)
    asked = {**options, "sparsity": "none", "criterion": "l1-reg"}
    with pytest.raises(ModelError, match="0: l1-reg reads scaling factors of batch norm"):
        api.compress(odd, digits, out=tmp_path / "run", **asked)
    with pytest.raises(UsageError, match="widest group has 33 channels and the step is 64"):
        api.compress(odd, digits, out=tmp_path / "run", **{**options, **coarse(tmp_path)})
    assert not list(tmp_path.rglob("journal.jsonl"))


def coarse(folder) -> dict[str, object]:
    path = folder / "coarse.toml"
    path.write_text(
        'schema = 1\nname = "coarse"\n[runtime]\nkind = "onnxruntime"\n[transport]\n'
        'kind = "local"\n[device]\nchannel_multiple = 64\n'
    )
    return {"target": str(path)}


def tensorrt(**runtime) -> TargetProfile:
    return TargetProfile.model_validate(
        {
            "schema": 1,
            "name": "orin",
            "runtime": {"kind": "tensorrt", **runtime},
            "transport": {"kind": "local"},
        }
    )


@pytest.mark.parametrize(
    ("plan", "runtime", "kernels"),
    [
        ({"sparsity": "2:4"}, {"sparsity": True}, "on"),
        ({"sparsity": "2:4"}, {}, "off"),
        ({"sparsity": "2:4"}, {"sparsity": True, "precision": "fp32"}, "off"),
        ({"sparsity": "2:4", "precision": "int8"}, {"sparsity": True, "precision": "fp32"}, "on"),
        ({"sparsity": 0.9}, {"sparsity": True}, "none"),
        ({}, {"sparsity": True}, "none"),
    ],
)
def test_tensorrt_alone_can_use_them_if_told_to(plan, runtime, kernels):
    sparsity, precision = plan.get("sparsity", "none"), plan.get("precision")
    assert sparse_kernels(sparsity, precision, tensorrt(**runtime)) == kernels


def test_widths_leave_whole_groups_of_four():
    steps = [planned_multiple("2:4", multiple) for multiple in (1, 6, 8)]
    assert steps == [4, 12, 8]
    assert planned_multiple(0.5, 1) == 1


def test_candidates_have_the_zeros_that_their_kernels_need(wide, digits, tmp_path):
    source = PrunableModel.of(trace(wide), digits.input_shape)
    widths = Widths({group.name: group.channels // 2 for group in source.groups})
    for two_four in (False, True):
        files = CandidateFiles(source, tmp_path, two_four=two_four)
        tensors = onnx.load(files.write(widths, 0)).graph.initializer
        convs = [numpy_helper.to_array(t) for t in tensors if len(t.dims) == 4 and t.dims[1] > 1]
        assert [is_two_four(array) for array in convs] == [two_four] * 2
