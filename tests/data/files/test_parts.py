import pytest

from edgespiral.core.errors import DataError
from edgespiral.data.files.parts import require_apart


def test_a_file_in_two_parts_is_told_by_whatever_links_it_is_reached(tmp_path):
    (tmp_path / "train").mkdir()
    files = [tmp_path / "train" / name for name in ("a", "b")]
    for file in files:
        file.touch()
    require_apart({"train": files[:1], "test": files[1:]}, "data")
    (tmp_path / "val").symlink_to(tmp_path / "train")
    with pytest.raises(DataError, match=r"data: .*val/a: is in train and in validation"):
        require_apart({"train": files, "validation": [tmp_path / "val" / "a"]}, "data")


def test_a_file_twice_in_one_part_is_told_unless_it_may_be(tmp_path):
    twice = {"train": [tmp_path / "a", tmp_path / "b" / ".." / "a"]}
    with pytest.raises(DataError, match="is twice in train"):
        require_apart(twice, "data")
    require_apart(twice, "data", repeats=True)
