import pytest

from edgespiral.core.errors import UsageError
from edgespiral.core.registry import Registry, unknown_name


def shapes() -> Registry[str]:
    registry: Registry[str] = Registry("shape")
    registry.register("square")("four corners")
    registry.register("circle")("none")
    return registry


def test_what_is_registered_is_found_by_name() -> None:
    assert shapes().get("square") == "four corners"
    assert shapes().names() == ["circle", "square"]


@pytest.mark.parametrize("name", ["circel", "CIRCLE", "circles"])
def test_an_unknown_name_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        shapes().get(name)
    assert str(caught.value) == f"unknown shape '{name}'; did you mean circle?"


def test_a_name_near_nothing_is_answered_with_all() -> None:
    assert str(unknown_name("shape", "xyz", ["b", "a"])) == "unknown shape 'xyz'; known: a, b"
