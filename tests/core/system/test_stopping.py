import signal
from collections.abc import Iterator

import pytest

from edgespiral.core.system.stopping import SIGNALS, Stop


@pytest.fixture
def stop() -> Iterator[Stop]:
    """One that listens; the handlers of before are put back."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    stop = Stop()
    stop.listen()
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_is_an_exception_and_an_exit_code(
    stop: Stop, number: signal.Signals, code: int
) -> None:
    assert (stop.exit_code, stop.name) == (None, "")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert (stop.exit_code, stop.name) == (code, number.name)


def test_a_second_signal_does_not_break_the_cleaning_up_off(stop: Stop) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGHUP)
    assert stop.exit_code == 143


def test_one_that_comes_much_later_is_heard(stop: Stop, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    monkeypatch.setattr("edgespiral.core.system.stopping.AGAIN_S", 0)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        Stop().listen()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
