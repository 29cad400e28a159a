import argparse
import bz2
import gzip
import json
import lzma
import re
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgespiral import models
from edgespiral.core.errors import ModelError
from edgespiral.models.checkpoint import keys_of, states_in
from edgespiral.models.load import fit_state, read_state

NET = """import torch
from torch import nn
def net():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
model = net()
"""


def net() -> nn.Sequential:
    torch.manual_seed(7)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    return f"{tmp_path / 'net.py'}:net"


def load(spec, weights):
    said: list[str] = []
    model = models.load_model(
        spec, weights=weights, classes=3, input_shape=(1, 8, 8), say=said.append
    )
    return model, said


def prefixed(prefix):
    return {f"{prefix}{key}": value for key, value in net().state_dict().items()}


def without(state, part):
    return {key: value for key, value in state.items() if part not in key}


STATE = net().state_dict()
FORMS = {
    "compiled": prefixed("_orig_mod."),
    "parallel": prefixed("module."),
    "compiled and parallel": prefixed("_orig_mod.module."),
    "lightning": {"state_dict": prefixed("model."), "epoch": 3},
    "any prefix": {"state_dict": prefixed("backbone.encoder.")},
    "a compiled part": {k.replace("0.", "0._orig_mod.", 1): v for k, v in STATE.items()},
    "net": {"net": STATE, "accuracy": 90.0},
    "ema alone": {"ema": STATE},
    "deep": {"checkpoint": {"model": STATE, "optimizer": {"state": {0: STATE}}}},
    "flat with a number": {**STATE, "epoch": 5},
    "no batch counters": without(STATE, "num_batches"),
    "averaged": {"n_averaged": torch.tensor(3), **prefixed("module.")},
    "counters of operations": {
        **STATE,
        "0.total_ops": torch.zeros(1),
        "total_params": torch.ones(1),
    },
    "arguments": {"state_dict": STATE, "args": argparse.Namespace(lr=0.1, nested=[1, {"a": 2}])},
    "numbers of NumPy": {"model": STATE, "best": np.float64(0.5), "curve": np.arange(3)},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_checkpoints_have_in_the_wild(form, spec, tmp_path):
    torch.save(FORMS[form], tmp_path / "w.pt")
    model, said = load(spec, tmp_path / "w.pt")
    assert not said
    for key, value in without(model.state_dict(), "num_batches").items():
        assert torch.equal(value, STATE[key]), key


def test_the_form_is_read_from_the_file_and_not_from_its_name(spec, tmp_path):
    save_file(STATE, tmp_path / "really-safetensors.pt")
    torch.save(STATE, tmp_path / "really-pickled.safetensors")
    for path in tmp_path.glob("really*"):
        assert torch.equal(load(spec, path)[0][3].weight, STATE["3.weight"])


def test_of_several_sets_of_weights_one_is_taken_and_said_and_a_key_takes_another(spec, tmp_path):
    other = {key: value + 1 for key, value in STATE.items()}
    torch.save({"ema": other, "model": STATE}, tmp_path / "w.pt")
    model, said = load(spec, tmp_path / "w.pt")
    assert torch.equal(model[0].weight, STATE["0.weight"])
    assert said == ["weights: 'model' of w.pt is taken; w.pt:KEY takes another (ema)"]
    model, said = load(spec, tmp_path / "w.pt:ema")
    assert torch.equal(model[0].weight, other["0.weight"])
    assert not said
    with pytest.raises(ModelError, match="holds no state dict 'avg'; its keys: ema, model"):
        load(spec, tmp_path / "w.pt:avg")


def test_what_lies_beside_the_model_is_left_out_with_a_line(spec, tmp_path):
    torch.save({**prefixed("model."), "loss.weight": torch.ones(3)}, tmp_path / "w.pt")
    _, said = load(spec, tmp_path / "w.pt")
    assert [line.endswith("beside the model: loss.weight") for line in said] == [True]


@pytest.mark.parametrize("kind", [torch.complex64, torch.int32, torch.bool])
def test_numbers_of_another_kind_are_refused(kind, tmp_path):
    state = {**STATE, "0.weight": STATE["0.weight"].to(kind)}
    expected = f"other kind: 0.weight {str(kind).removeprefix('torch.')} instead of float32"
    with pytest.raises(ModelError, match=re.escape(expected)):
        fit_state(net(), state, where="w.pt")


def test_a_lower_precision_is_taken(tmp_path):
    model = net()
    fit_state(
        model, {k: v.half() if v.is_floating_point() else v for k, v in STATE.items()}, where="w"
    )
    assert model[0].weight.dtype == torch.float32


NOT_WEIGHTS = {
    "pointer.pt": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "Git LFS pointer",
    ),
    "model.h5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
    "page.pt": (b"<!DOCTYPE html><html></html>", "web page"),
    "w.pt.gz": (gzip.compress(bytes(64)), "packed with gzip"),
    "w.pt.bz2": (bz2.compress(bytes(64)), "packed with bzip2"),
    "w.pt.xz": (lzma.compress(bytes(64)), "packed with xz"),
    "model.onnx": (b"\x08\x07\x12\x07pytorch" + bytes(20), "an ONNX model, not weights"),
}


@pytest.mark.parametrize("name", NOT_WEIGHTS)
def test_other_files_are_named_for_what_they_are(name, tmp_path):
    content, told = NOT_WEIGHTS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=told) as caught:
        read_state(tmp_path / name)
    assert caught.value.hint


def test_programs_are_named_for_what_they_are(tmp_path):
    inputs = torch.zeros(1, 1, 8, 8)
    torch.jit.trace(net().eval(), inputs).save(tmp_path / "script.pt")
    torch.export.save(torch.export.export(net().eval(), (inputs,)), tmp_path / "program.pt2")
    with pytest.raises(ModelError, match="is TorchScript, not weights alone"):
        read_state(tmp_path / "script.pt")
    with pytest.raises(ModelError, match="is an exported program, not weights alone"):
        read_state(tmp_path / "program.pt2")
    with pytest.raises(ModelError, match="is a folder"):
        read_state(tmp_path)


def test_a_zip_of_other_files_is_named_with_them(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr("best.pt", "weights")
    with pytest.raises(ModelError, match=r"is a zip archive \(best\.pt\), not weights; unpack it"):
        read_state(tmp_path / "w.zip")


def sharded(folder):
    """The weights in two files with an index, as large models are saved."""
    names = list(STATE)
    files = {"a.safetensors": names[:3], "b.safetensors": names[3:]}
    for file, own in files.items():
        save_file({name: STATE[name] for name in own}, folder / file)
    index = folder / "model.safetensors.index.json"
    weight_map = {name: file for file, own in files.items() for name in own}
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


def test_weights_in_several_files_are_read_by_their_index(spec, tmp_path):
    model, _ = load(spec, sharded(tmp_path))
    assert torch.equal(model[3].weight, STATE["3.weight"])
    with pytest.raises(ModelError, match=r"in it: a\.safetensors, b"):
        read_state(tmp_path)
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(ModelError, match="names files that are not there: b"):
        read_state(tmp_path / "model.safetensors.index.json")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{}", "is no index of weights"),
        ("[", "is no index of weights"),
        ('{"weight_map": ["a"]}', "is no index of weights"),
        ('{"weight_map": {"a": "../w.safetensors"}}', "names files that are not beside it"),
        ('{"weight_map": {"a": 3}}', "names files that are not beside it"),
    ],
)
def test_other_json_is_no_index(content, told, tmp_path):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=told):
        read_state(tmp_path / "config.json")


def test_safetensors_have_one_set_of_weights(tmp_path):
    save_file(STATE, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="has one set of weights, and none by the name 'ema'"):
        read_state(tmp_path / "w.safetensors:ema")


def test_weights_of_other_classes_say_what_to_do(tmp_path):
    torch.save(STATE, tmp_path / "w.pt")
    other = net()
    other[3] = nn.Linear(144, 5)
    with pytest.raises(ModelError, match=r"other shape: 3.weight .*; train it on these data first"):
        fit_state(other, STATE, where="w.pt")


def test_the_keys_that_a_file_has_are_named(tmp_path):
    torch.save({"epoch": 3, "best": 0.5}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="holds no state dict; its keys: epoch, best"):
        read_state(tmp_path / "w.pt")
    assert keys_of([]) == "a list"
    assert keys_of({}) == "it is empty"


def test_optimizers_are_no_weights():
    assert list(
        states_in({"optimizer": {"buffer": torch.ones(1)}, "net": {"a": torch.ones(1)}})
    ) == ["net"]
