import subprocess
import sys

import pytest

from edgespiral import data
from edgespiral.core.errors import DataError, UsageError
from edgespiral.data.sources import SOURCES


@pytest.mark.parametrize(
    ("wrong", "near"), [("digit", "digits"), ("fashionmnist", "fashion-mnist")]
)
def test_unknown_data_names_the_nearest(wrong, near):
    with pytest.raises(UsageError, match=f"unknown data set '{wrong}'; did you mean {near}"):
        data.load(wrong)


def test_importing_the_package_loads_no_torch():
    code = "import sys, edgespiral.data, edgespiral.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_whatever_a_source_raises_is_one_line_with_its_data(monkeypatch):
    def load(argument):
        raise ZeroDivisionError(f"no {argument}\nat all")

    monkeypatch.setitem(SOURCES._loaded, "digits", load)
    told = r"digits:x: cannot be read: ZeroDivisionError: no x at all"
    with pytest.raises(DataError, match=told):
        data.load("digits:x")


def test_a_path_without_its_kind_is_told_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match="'photos' does not say what kind of data it is; put the"):
        data.load("photos")
