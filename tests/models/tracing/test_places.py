import json
import sys

import pytest

from edgespiral.models.tracing.places import place_of, place_of_frame


def broken(text: str) -> object:
    return json.loads(text)


def test_the_users_line_is_named_and_not_the_librarys():
    with pytest.raises(json.JSONDecodeError) as caught:
        broken("{")
    place, code = place_of(caught.value)
    line = broken.__code__.co_firstlineno + 1
    assert place.endswith(f"test_places.py:{line}")
    assert code == "return json.loads(text)"


def test_an_error_without_a_users_line_has_no_place():
    assert place_of(ValueError("never raised")) == ("", "")


def test_a_frames_place_is_the_line_that_it_is_at():
    frame = sys._getframe()
    assert place_of_frame(frame).endswith(f"test_places.py:{frame.f_lineno}")
    assert not place_of_frame(None)
