import pytest

from edgespiral.core.errors import DataError, UsageError
from edgespiral.data.argument import Argument


def test_a_path_and_its_options_are_taken_apart():
    asked = Argument("folder", "a/b?size=32&part=0.5", ["size", "part"])
    assert str(asked.path) == "a/b"
    assert asked.whole_number("size", default=224, least=8, most=4096) == 32
    assert asked.positive("part", 1.0) == 0.5
    assert (
        Argument("folder", "a", ["size"]).whole_number("size", default=224, least=8, most=4096)
        == 224
    )
    assert Argument("folder", "a", ["part"]).positive("part", 1.0) is None


@pytest.mark.parametrize("text", ["7", "-8", "8.5", "", "x", "1e3", "4097", "9" * 5000])
def test_what_is_no_whole_number_is_told(text):
    asked = Argument("folder", f"a?size={text}", ["size"])
    with pytest.raises(DataError, match="size must be a whole number from 8 to 4096, not"):
        asked.whole_number("size", default=224, least=8, most=4096)


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf", "61", ""])
def test_what_is_no_positive_number_is_told(text):
    asked = Argument("speech", f"a?seconds={text}", ["seconds"])
    with pytest.raises(DataError, match="seconds must be above 0 and at most 60"):
        asked.positive("seconds", 60)


def test_unknown_options_and_values_get_the_nearest_names():
    with pytest.raises(UsageError, match="unknown folder option 'sise'; did you mean size"):
        Argument("folder", "a?sise=3", ["size"])
    asked = Argument("speech", "a?features=logmell", ["features"])
    with pytest.raises(UsageError, match="unknown features 'logmell'; did you mean logmel"):
        asked.one_of("features", ("waveform", "logmel"))
    with pytest.raises(UsageError, match="names no path"):
        Argument("folder", "?size=3", ["size"])


def test_an_option_given_twice_is_told():
    with pytest.raises(UsageError, match="size is given twice"):
        Argument("folder", "a?size=3&size=4", ["size"])
