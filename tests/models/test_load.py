import io
import json
import pickle
import re
import struct
import zipfile
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgespiral import data, models
from edgespiral.core.errors import ModelError, UsageError
from edgespiral.core.text import is_printable
from edgespiral.models.load import read_state
from edgespiral.tasks.classification import CLASSIFICATION

SHAPE = (1, 8, 8)


def load(weights, spec="resnet8"):
    return models.load_model(spec, weights=weights, classes=10, input_shape=SHAPE)


def check_outputs(model):
    models.check_outputs(model, data.load("digits"), CLASSIFICATION.check_outputs)


@pytest.fixture
def trained():
    torch.manual_seed(3)
    return models.build("resnet8", classes=10, input_shape=SHAPE)


def assert_same(model, other):
    assert model.state_dict().keys() == other.state_dict().keys()
    for key, value in other.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def test_safetensors_are_loaded(tmp_path, trained):
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    assert_same(load(tmp_path / "w.safetensors"), trained)


@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state_dict"])
def test_checkpoints_are_unwrapped(tmp_path, trained, key):
    state = trained.state_dict()
    torch.save(state if key is None else {"epoch": 3, key: state}, tmp_path / "w.pt")
    assert_same(load(tmp_path / "w.pt"), trained)


def test_weights_of_a_parallel_wrapper_are_loaded(tmp_path, trained):
    torch.save(nn.DataParallel(trained).state_dict(), tmp_path / "w.pt")
    assert_same(load(tmp_path / "w.pt"), trained)


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickled_code_is_never_executed(tmp_path):
    torch.save({"state_dict": Trap(tmp_path / "owned")}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="would run its code"):
        load(tmp_path / "w.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Trap(tmp_path / "owned")))
    with pytest.raises(ModelError):
        load(tmp_path / "raw.pt")
    assert not (tmp_path / "owned").exists()


def test_a_whole_pickled_model_is_refused_with_the_mend(tmp_path, trained):
    torch.save(trained, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"save model.state_dict\(\)"):
        load(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"text"])
def test_damaged_files_are_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_weights_file(tmp_path):
    with pytest.raises(ModelError, match="no such weights file"):
        load(tmp_path / "w.pt")


def test_misfits_are_named(tmp_path, trained):
    state = trained.state_dict()
    state["conv1.weight"] = torch.zeros(16, 3, 3, 3)
    state["extra"] = state.pop("fc.bias")
    save_file(state, tmp_path / "w.safetensors")
    expected = (
        "missing: fc.bias; unexpected: extra;"
        " other shape: conv1.weight (16, 3, 3, 3) instead of (16, 1, 3, 3)"
    )
    with pytest.raises(ModelError, match=re.escape(expected)):
        load(tmp_path / "w.safetensors")


def test_only_the_first_misfits_are_named(tmp_path, trained):
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"missing: layer1\.1.*and \d+ more") as caught:
        load(tmp_path / "w.safetensors", spec="resnet20")
    assert len(str(caught.value)) < 500


def test_factories_are_called(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from torch import nn\ndef net():\n    return nn.Linear(3, 2)\n")
    model = load(None, spec=f"{file}:net")
    assert isinstance(model, nn.Linear)


@pytest.mark.parametrize(
    ("source", "spec", "error", "text"),
    [
        ("def net(): return 3", "mine.py:net", ModelError, "returned a int, not a torch.nn.Module"),
        ("def net(): return 1 / 0", "mine.py:net", UsageError, "ZeroDivisionError"),
        ("import nothing_there", "mine.py:net", UsageError, "nothing_there"),
        ("net = 3", "mine.py:net", UsageError, "no function 'net'"),
        ("", "other.py:net", UsageError, "no such file"),
        ("", "mine.py", UsageError, "no factory named"),
    ],
)
def test_bad_factories_are_one_line(tmp_path, source, spec, error, text):
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(error, match=text) as caught:
        load(None, spec=str(tmp_path / spec))
    assert "\n" not in str(caught.value)


class Returns(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, inputs):
        return self.outputs


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        (torch.zeros(2, 7), r"float32 tensor \(2, 7\), not logits of shape \(2, 10\)"),
        (torch.zeros(2, 10, 1), r"\(2, 10, 1\)"),
        (torch.zeros(2, 10, dtype=torch.int64), "int64 tensor"),
        ({"logits": torch.zeros(2, 10)}, "a dict"),
        (None, "a NoneType"),
    ],
)
def test_a_model_without_logits_is_refused(outputs, text):
    with pytest.raises(ModelError, match=text):
        check_outputs(Returns(outputs))


def test_a_model_for_other_inputs_is_refused_in_one_line():
    model = nn.Sequential(nn.Flatten(), nn.Linear(5, 10))
    with pytest.raises(ModelError, match=r"fails on 2 samples of \(1, 8, 8\)") as caught:
        check_outputs(model)
    assert "\n" not in str(caught.value)


def test_a_classifier_passes_and_keeps_its_mode(trained):
    check_outputs(trained)
    assert trained.training


def test_a_checkpoint_that_unpacks_to_more_than_its_size_is_refused(tmp_path):
    stream = io.BytesIO()
    torch.save({"a": torch.zeros(2**20)}, stream)
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(stream) as source, zipfile.ZipFile(path, "w") as goal:
        for name in source.namelist():
            goal.writestr(name, source.read(name), zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match=r"bomb\.pt: .*compressed archive"):
        read_state(path)


@pytest.mark.parametrize(
    ("header_bytes", "header"),
    [
        (2**62, b"{}"),
        (99_000_000, b"{}"),
        (None, {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        (None, {"a": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 4]}}),
        (None, {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}),
        (None, {"a\x1b[2J\nerror: b": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}),
        (None, b"[" * 50_000),
    ],
)
def test_a_header_that_claims_more_than_the_file_has_is_one_line(tmp_path, header_bytes, header):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = struct.pack("<Q", len(text) if header_bytes is None else header_bytes)
    path = tmp_path / "a.safetensors"
    path.write_bytes(length + text + bytes(4))
    with pytest.raises(ModelError, match="not a readable safetensors file") as caught:
        read_state(path)
    assert is_printable(str(caught.value))


def test_a_module_in_a_file_is_a_model(tmp_path):
    (tmp_path / "ready.py").write_text("from torch import nn\nmodel = nn.Linear(3, 2)\n")
    assert isinstance(load(None, spec=f"{tmp_path / 'ready.py'}:model"), nn.Linear)


def test_what_is_around_a_factorys_module_is_taken_off(tmp_path, trained):
    (tmp_path / "wrapped.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def net():\n    return torch.compile(nn.DataParallel(nn.Linear(3, 2)))\n"
    )
    assert isinstance(load(None, spec=f"{tmp_path / 'wrapped.py'}:net"), nn.Linear)


def test_the_batch_of_one_is_looked_at_too():
    class Squeezing(nn.Module):
        def forward(self, inputs):
            return torch.zeros(len(inputs), 10, 1, 1).squeeze()

    expected = r"returns \(10,\) for a batch of one, not logits of shape \(1, 10\)"
    with pytest.raises(ModelError, match=expected):
        check_outputs(Squeezing())


OTHER_OUTPUTS = {
    r"a dict of logits, extra, not logits.*outputs\['logits'\]": lambda x: {
        "logits": x,
        "extra": x,
    },
    r"a tuple of 2, not logits": lambda x: (x, x),
    "a NoneType, not logits": lambda x: None,
    "NaN or infinite": lambda x: torch.full((len(x), 10), float("nan")),
}


@pytest.mark.parametrize("told", OTHER_OUTPUTS)
def test_what_comes_instead_of_logits_is_named(told):
    class Net(nn.Module):
        def forward(self, x):
            return OTHER_OUTPUTS[told](x)

    with pytest.raises(ModelError, match=told) as caught:
        check_outputs(Net())
    assert caught.value.hint


def test_a_model_for_some_data_takes_and_returns_what_these_have():
    sequences = replace(
        data.load("digits"), class_names=("a", "b"), input_shape=(6,), token_count=9, padding=0
    )
    model = models.load_model_for(sequences, "gru-text")
    assert model(torch.zeros(3, 6, dtype=torch.int64)).shape == (3, 2)
    waves = replace(data.load("digits"), input_shape=(1, 4096), sample_rate_hz=8000)
    assert models.load_model_for(waves, "gru-kws")(torch.zeros(3, 1, 4096)).shape == (3, 10)
