import signal
import threading

import pytest

from edgespiral.core.system.stopping import SIGNALS, STOP
from edgespiral.distill import interrupt


def test_the_first_press_waits_for_a_check():
    with interrupt.held_back() as pending:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            pending.check()


def test_a_press_that_no_check_saw_takes_effect_at_the_end():
    done = []

    def last_step():
        with interrupt.held_back():
            signal.raise_signal(signal.SIGINT)
            done.append("saved")

    with pytest.raises(KeyboardInterrupt):
        last_step()
    assert done == ["saved"]


def test_an_error_does_not_swallow_a_press():
    def diverging():
        with interrupt.held_back():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("diverged")

    with pytest.raises(KeyboardInterrupt) as caught:
        diverging()
    assert isinstance(caught.value.__context__, ValueError)


def test_the_second_press_does_not_wait():
    with interrupt.held_back() as pending:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            pending.check()


def test_afterwards_ctrl_c_is_as_before():
    before = signal.getsignal(signal.SIGINT)
    with interrupt.held_back():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


@pytest.fixture
def listening():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    STOP.__init__()
    STOP.listen()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    STOP.__init__()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_wait_too_however_often_they_come(listening, number):
    with interrupt.held_back() as pending:
        signal.raise_signal(number)
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            pending.check()
    assert STOP.exit_code == 128 + number
    assert signal.getsignal(number) == STOP.press


def test_other_threads_are_left_alone():
    seen = []

    def work():
        with interrupt.held_back() as pending:
            pending.check()
            seen.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == ["done"]
