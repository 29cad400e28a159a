import pytest

from edgespiral.core.errors import UsageError
from edgespiral.core.factory import call_factory, is_factory


def test_specs_are_told_from_names():
    assert is_factory("a/b.py:net")
    assert is_factory("a/b.py")
    assert not is_factory("resnet20")
    assert not is_factory("folder:/some/where")


def test_a_factory_may_import_the_files_beside_it(tmp_path):
    (tmp_path / "beside_it.py").write_text("ANSWER = 42\n")
    (tmp_path / "mine.py").write_text("from beside_it import ANSWER\ndef f(): return ANSWER\n")
    assert call_factory(f"{tmp_path / 'mine.py'}:f") == 42


def test_two_files_of_one_name_are_two(tmp_path):
    for folder, value in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(f"def f(): return {value}\n")
    assert [call_factory(f"{tmp_path / folder / 'same.py'}:f") for folder in "ab"] == [1, 2]


def test_the_users_own_error_is_named_in_one_line(tmp_path):
    (tmp_path / "broken.py").write_text("def f(): raise KeyError('a\\nb')\n")
    with pytest.raises(UsageError, match=r"the factory failed: KeyError") as caught:
        call_factory(f"{tmp_path / 'broken.py'}:f")
    assert "\n" not in str(caught.value)


def test_what_is_ready_is_not_called(tmp_path):
    (tmp_path / "ready_made.py").write_text("def thing():\n    raise RuntimeError\n")
    spec = f"{tmp_path / 'ready_made.py'}:thing"
    assert call_factory(spec, ready=callable).__name__ == "thing"
