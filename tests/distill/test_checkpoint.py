import resource
from dataclasses import replace

import pytest
import torch

from edgespiral.core.errors import RunFolderError
from edgespiral.distill import checkpoint
from edgespiral.distill.checkpoint import Checkpoint

STATE = Checkpoint("this run", 7, 1.5, 0.25, {"w": torch.randn(3, 2)}, {"state": {0: {"m": 1.0}}})


def test_what_is_written_is_read_back(tmp_path):
    STATE.write(tmp_path / "c.pt")
    found = checkpoint.read(tmp_path / "c.pt", "this run")
    assert torch.equal(found.student["w"], STATE.student["w"])
    assert replace(found, student=STATE.student) == STATE
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]


def test_nothing_written_is_nothing_read(tmp_path):
    assert checkpoint.read(tmp_path / "c.pt", "this run") is None


def test_another_runs_checkpoint_is_refused(tmp_path):
    STATE.write(tmp_path / "c.pt")
    with pytest.raises(RunFolderError, match="other settings, data or model"):
        checkpoint.read(tmp_path / "c.pt", "that run")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_one_line(tmp_path, content):
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(RunFolderError, match="damaged") as caught:
        checkpoint.read(tmp_path / "c.pt", "this run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        {"student": {"w": torch.tensor([1.0, float("nan")])}},
        {"student": {"w": torch.tensor([float("inf")])}},
        {"loss": float("nan")},
        {"optimizer": {"state": {0: {"momentum_buffer": torch.tensor([float("nan")])}}}},
    ],
)
def test_what_no_run_has_kept_is_not_gone_on_from(tmp_path, damage):
    path = tmp_path / "c.pt"
    replace(STATE, **damage).write(path)
    with pytest.raises(RunFolderError, match="is damaged: not all of it are numbers; delete it"):
        checkpoint.read(path, "this run", ["w"])
    replace(STATE, student={"mask": torch.tensor([float("-inf")])}).write(path)
    assert checkpoint.read(path, "this run", ["w"]) is not None


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(RunFolderError, match="cannot write"):
        STATE.write(tmp_path / "gone" / "c.pt")


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path):
    path = tmp_path / "c.pt"
    STATE.write(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        told = "cannot write: File too large"  # and nothing of PyTorch's own words
        with pytest.raises(RunFolderError, match=told) as caught:
            replace(STATE, student={"w": torch.zeros(100_000)}).write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert checkpoint.read(path, "this run").step == 7
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]
