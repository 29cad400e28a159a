from __future__ import annotations

from edgespiral.core.records.widths import Widths
from edgespiral.spiral.planning.probes import probes
from edgespiral.spiral.planning.stepping.choices import Choices


def test_probes_differ_are_allowed_and_are_the_same_again():
    options = {"a": (16, 32, 48, 64), "b": (16, 32)}
    lost = {name: dict.fromkeys(widths, 0.0) for name, widths in options.items()}
    choice = Choices(options, lost, {"b": ("b",)}, {"b": 1.0})
    found = probes(choice, seed=3)
    assert len(set(found)) == len(found) >= 3
    assert all(choice.allows(widths) for widths in found)
    assert probes(choice, seed=3) == found


def test_along_a_path_few_probes_lie_on_it():
    path = [Widths({"a": width}) for width in range(64, 15, -1)]
    choice = Choices(
        {"a": tuple(range(16, 65))}, {"a": dict.fromkeys(range(16, 65), 0.0)}, only=path
    )
    found = probes(choice, seed=3)
    assert found == [{"a": 52}, {"a": 40}, {"a": 28}]
    assert probes(Choices(choice.options, choice.lost, only=path[:1]), seed=3) == path[:1]
