import os

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.core.records.schema import Record
from edgespiral.core.system.named_files import NamedFiles

THINGS = NamedFiles("thing", "things", "EDGESPIRAL_TEST_THINGS")


class Thing(Record):
    name: str
    size: int


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for size, folder in enumerate(("things", "first", "second")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.toml").write_text(f'name = "a"\nsize = {size}\n')
    (tmp_path / "second" / "b.toml").write_text('name = "c"\nsize = 9\n')
    monkeypatch.setenv(THINGS.variable, os.pathsep.join(("first", "second")))
    return tmp_path


def test_nearer_folders_come_first(folders):
    assert THINGS.load("a", Thing).size == 0
    (folders / "things" / "a.toml").unlink()
    assert THINGS.load("a", Thing).size == 1
    assert list(THINGS.by_name()) == ["a", "b"]


def test_a_path_is_taken_as_it_is(folders):
    assert THINGS.load("second/a.toml", Thing).size == 2


def test_a_file_must_bear_the_name_that_it_is_found_by(folders):
    with pytest.raises(UsageError, match=r"b\.toml:name: must be 'b' like the file, is 'c'"):
        THINGS.load("b", Thing)


def test_an_unknown_name_is_refused(folders):
    with pytest.raises(UsageError, match="unknown thing 'bb'"):
        THINGS.load("bb", Thing)
