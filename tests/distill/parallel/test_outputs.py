from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from edgespiral.core.errors import RunFolderError
from edgespiral.distill.parallel.outputs import MappedOutputs, read_outputs, write_outputs

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_the_same_whoever_writes_which_part_of_it(tmp_path: Path) -> None:
    outputs = {"scores": torch.rand(5, 3), "ranks": (torch.arange(5), torch.rand(5, 2, 2) > 0.5)}
    write_outputs(tmp_path / "at once", "of", outputs)
    path = tmp_path / "by two"
    first = {"scores": outputs["scores"][:2], "ranks": tuple(leaf[:2] for leaf in outputs["ranks"])}
    mapped = MappedOutputs.made(path, first, 5, "of")
    mapped.put(0, first)
    rest = {"scores": outputs["scores"][2:], "ranks": tuple(leaf[2:] for leaf in outputs["ranks"])}
    MappedOutputs.opened(path).put(2, rest)
    with pytest.raises(RunFolderError, match="damaged"):
        read_outputs(path, "of")
    mapped.seal()
    for given in ("of", None):
        again = read_outputs(path, given)
        assert torch.equal(again["scores"], outputs["scores"])
        assert all(map(torch.equal, again["ranks"], outputs["ranks"]))
    assert read_outputs(path, "another") is None


def test_a_file_that_is_not_seen_or_no_such_file_is_one_line(tmp_path: Path) -> None:
    for content in (None, b"", b"\x08\0\0\0\0\0\0\0{}      "):
        path = tmp_path / "outputs"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(RunFolderError, match="outputs are damaged; delete the file"):
            MappedOutputs.opened(path)


def test_outputs_of_a_kind_that_files_do_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"cannot keep outputs of torch\.complex64"):
        MappedOutputs.made(tmp_path / "x", torch.zeros(2, 3, dtype=torch.complex64), 5, "of")
