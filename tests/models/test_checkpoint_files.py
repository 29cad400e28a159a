import io
import os
import zipfile

import pytest
import torch

from edgespiral.models.checkpoint_files import check_archive, read_checkpoint


def saved(**tensors):
    stream = io.BytesIO()
    torch.save(tensors, stream)
    return stream.getvalue()


def repacked(path, content, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(path, "w") as goal:
        for name in source.namelist():
            goal.writestr(name, source.read(name), compression)
    return path


def test_what_torch_saves_is_read(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(saved(a=torch.ones(3)))
    assert torch.equal(read_checkpoint(path)["a"], torch.ones(3))
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_checkpoint(path)["a"], torch.ones(3))


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_archive_is_refused_unread(tmp_path, kind):
    path = repacked(tmp_path / "a.pt", saved(a=torch.zeros(2**20)), kind)
    assert path.stat().st_size < 2**20
    with pytest.raises(ValueError, match="compressed archive"):
        read_checkpoint(path)


def test_members_that_overlap_are_refused(tmp_path):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data/0", bytes(4096))
        # Each further entry of the directory names the same bytes again.
        archive.filelist += archive.filelist * 9
    with pytest.raises(ValueError, match="more than it is long"):
        check_archive(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.pt")
    with pytest.raises(ValueError, match="not a regular file"):
        read_checkpoint(tmp_path / "a.pt")
