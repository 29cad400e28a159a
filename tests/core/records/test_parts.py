"""What an ONNX file says of its parts."""

import json

import onnx
import pytest

from edgespiral.core.errors import ModelError
from edgespiral.core.records.parts import (
    PARTS,
    PartFile,
    PredictByParts,
    by_parts,
    described,
    part_files,
    part_path,
)
from edgespiral.core.system.files import sha256_file


def whole(path, text):
    """A file of a model that does nothing, with `text` as what it says of parts."""
    graph = onnx.helper.make_graph([], "empty", [], [])
    model = onnx.helper.make_model(graph)
    if text is not None:
        onnx.helper.set_model_props(model, {PARTS: text})
    onnx.save(model, path)
    return path


@pytest.fixture
def part(tmp_path):
    file = tmp_path / "net.step.onnx"
    file.write_bytes(b"step")
    return PartFile("step", file.name, 7, sha256_file(file))


def test_parts_are_read_as_they_were_written(tmp_path, part):
    file = whole(tmp_path / "net.onnx", described([part]))
    assert part_files(file) == (part,)
    assert part_path(file, part) == tmp_path / "net.step.onnx"
    assert part_files(whole(tmp_path / "alone.onnx", None)) == ()


def test_another_file_is_not_the_part(tmp_path, part):
    file = whole(tmp_path / "net.onnx", described([part]))
    (tmp_path / part.file).write_bytes(b"another")
    with pytest.raises(ModelError, match=r"is not the part step that net\.onnx was written with"):
        part_path(file, part)
    (tmp_path / part.file).unlink()
    with pytest.raises(ModelError, match=r"its part step is missing: net\.step\.onnx"):
        part_path(file, part)


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "{}x",
        json.dumps([{"name": "step"}]),
        json.dumps([{"name": "a", "file": "../a.onnx", "count": 1, "sha256": ""}]),
        json.dumps([{"name": "a", "file": "a.onnx", "count": 0, "sha256": ""}]),
        json.dumps([{"name": "a", "file": "a.onnx", "count": 1.5, "sha256": ""}]),
        json.dumps([{"name": 1, "file": "a.onnx", "count": 1, "sha256": ""}]),
        json.dumps([1]),
    ],
)
def test_damage_is_told(text, tmp_path):
    with pytest.raises(ModelError, match="what its metadata say of its parts is damaged"):
        part_files(whole(tmp_path / "net.onnx", text))


def test_a_file_that_only_seems_to_have_parts_is_no_model(tmp_path):
    file = tmp_path / "net.onnx"
    file.write_bytes(b"\xff" + PARTS.encode())
    with pytest.raises(ModelError, match="is damaged"):
        part_files(file)


def test_a_whole_model_says_what_it_says_with_parts_or_without():
    def double(value):
        return 2 * value

    assert by_parts(double, {}) is double
    split = by_parts(double, {"half": lambda value: value / 2})
    assert isinstance(split, PredictByParts)
    assert (split(3), split.parts["half"](3)) == (6, 1.5)
