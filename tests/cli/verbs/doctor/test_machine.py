from pathlib import Path

import pytest

from edgespiral.cli.verbs.doctor.machine import folder_lines
from edgespiral.core.errors import RunFolderError


def test_a_folder_that_is_still_to_be_made_has_the_space_of_the_one_it_would_be_in(
    tmp_path: Path,
) -> None:
    (line,) = folder_lines("runs", tmp_path / "runs" / "mine")
    assert line.value.startswith(f"{tmp_path / 'runs' / 'mine'}, ")
    assert line.value.endswith("GiB free")
    assert not (tmp_path / "runs").exists()


def test_what_is_in_the_way_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("file", "loop", "file/below"):
        with pytest.raises(RunFolderError, match=r"^runs: .*(cannot be written to|looked at)"):
            list(folder_lines("runs", tmp_path / name))
    with pytest.raises(RunFolderError, match=r"^caches: .*cannot be looked at: File name too long"):
        list(folder_lines("caches", tmp_path / ("a" * 300)))
