from __future__ import annotations

import signal
import threading
import time

import pytest

from edgespiral.core.errors import ModelError, UsageError
from edgespiral.core.system.analysis_limit import (
    VARIABLE,
    allow_for_passes,
    analysing,
    seconds_left,
    share_of_analysis,
)

# Each computes or waits for as long as a limit is.
pytestmark = pytest.mark.slow


def compute(seconds: float) -> None:
    end_s = time.thread_time() + seconds
    while time.thread_time() < end_s:
        pass


@pytest.fixture
def half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0.5")


@pytest.mark.usefixtures("half_a_second")
def test_what_computes_too_long_ends_with_a_line_and_leaves_no_timer_behind() -> None:
    with pytest.raises(ModelError) as ended, analysing():
        compute(20)
    assert str(ended.value) == (
        "finding what can be cut took more than 0 s of processor time; a smaller input size makes "
        "it quicker, and EDGESPIRAL_ANALYSIS_SECONDS=300 allows it more"
    )
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0
    assert seconds_left() == float("inf")


def test_large_models_get_what_their_passes_take() -> None:
    with analysing():
        before_s = seconds_left()
        allow_for_passes(2)
        allow_for_passes(1)
        assert before_s == pytest.approx(30, abs=1)
        assert seconds_left() - before_s == pytest.approx(100, abs=1)


@pytest.mark.usefixtures("half_a_second")
def test_what_the_user_states_stays() -> None:
    with analysing():
        allow_for_passes(100)
        assert seconds_left() < 0.5


@pytest.mark.usefixtures("half_a_second")
def test_waiting_counts_as_little_as_other_threads_work() -> None:
    busy = threading.Thread(target=compute, args=(0.7,))
    with analysing():
        busy.start()
        busy.join()
        assert seconds_left() > 0.2


@pytest.mark.usefixtures("half_a_second")
def test_parts_share_the_time_of_the_whole() -> None:
    with analysing():
        with analysing():
            compute(0.2)
        assert 0 < seconds_left() <= 0.3
        with pytest.raises(ModelError, match="a part took more"), share_of_analysis(0.5, "a part"):
            compute(20)
        with pytest.raises(ModelError, match="finding what can be cut took more"):
            compute(20)


@pytest.mark.usefixtures("half_a_second")
def test_an_error_that_is_swallowed_is_raised_again() -> None:
    swallowed = []
    with analysing():
        for _ in range(3):
            try:
                compute(20)
            except ModelError as error:
                swallowed.append(error.what)
    assert swallowed == ["finding what can be cut took more than 0 s of processor time"] * 3


@pytest.mark.parametrize("text", ["soon", "-1", "0", "nan", "inf"])
def test_no_number_of_seconds_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UsageError, match="not a number of seconds") as refused, analysing():
        compute(0)
    assert refused.value.where == "$EDGESPIRAL_ANALYSIS_SECONDS"
