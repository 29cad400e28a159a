from __future__ import annotations

from edgespiral.spiral.planning.allocate import Choices
from edgespiral.spiral.planning.probes import probes


def test_probes_differ_are_allowed_and_are_the_same_again():
    options = {"a": (16, 32, 48, 64), "b": (16, 32)}
    lost = {name: dict.fromkeys(widths, 0.0) for name, widths in options.items()}
    choice = Choices(options, lost, {"b": ("b",)}, {"b": 1.0})
    found = probes(choice, seed=3)
    assert len(set(found)) == len(found) >= 3
    assert all(choice.allows(widths) for widths in found)
    assert probes(choice, seed=3) == found
