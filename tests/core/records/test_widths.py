import pytest

from edgespiral.core.records.widths import Widths


def test_a_cut_is_a_key_whatever_the_order_of_its_groups() -> None:
    cut = Widths({"stem": 16, "head": 32})
    assert {cut: 1.5}[Widths({"head": 32, "stem": 16})] == 1.5
    assert cut == {"head": 32, "stem": 16}
    assert cut != Widths({"stem": 16, "head": 16})
    assert cut != Widths({"stem": 16})


def test_it_stays_as_it_is() -> None:
    source = {"stem": 16}
    cut = Widths(source)
    narrower = cut | {"stem": 8}
    source["stem"] = 4
    assert (dict(cut), dict(narrower)) == ({"stem": 16}, {"stem": 8})
    with pytest.raises(TypeError, match="does not support item assignment"):
        cut["stem"] = 2  # type: ignore[index]
