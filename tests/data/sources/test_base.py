import pytest

from edgespiral import data
from edgespiral.core.errors import UsageError
from edgespiral.data.sources import SOURCES


def test_sources_are_listed_by_what_users_call_them() -> None:
    assert {"digits", "fashion-mnist", "folder"} <= set(SOURCES.names())


def test_a_data_set_that_there_is_one_of_takes_no_argument() -> None:
    with pytest.raises(UsageError, match="--data: this data set takes nothing after its name"):
        data.load("digits:8x8")
