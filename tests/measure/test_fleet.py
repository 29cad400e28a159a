import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgespiral.core.errors import ModelError
from edgespiral.measure.fleet import Fleet, device_of
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.session import Session

Make = Callable[..., Path]
WAIT_S = 30


def over_ssh(profile: TargetProfile, host: str) -> TargetProfile:
    """A target behind ssh by an address that nothing has; it is never connected to."""
    plain = profile.model_dump(by_alias=True)
    ssh = {"kind": "ssh", "host": host, "config": "/dev/null"}
    return TargetProfile.model_validate(plain | {"name": "far", "transport": ssh})


def more_threads(profile: TargetProfile) -> TargetProfile:
    plain = profile.model_dump(by_alias=True)
    runtime = plain["runtime"] | {"threads": 2}
    return TargetProfile.model_validate(plain | {"name": "wide", "runtime": runtime})


def test_two_devices_work_at_the_same_time(profile: TargetProfile) -> None:
    fleet = Fleet.of([profile, over_ssh(profile, "198.51.100.7")])
    both = threading.Barrier(2)

    def meet(index: int, session: Session) -> tuple[int, str]:
        both.wait(WAIT_S)
        return index, session.profile.name

    assert fleet.each(meet) == [(0, "brief"), (1, "far")]


def test_one_device_does_one_thing_at_a_time(profile: TargetProfile) -> None:
    fleet = Fleet.of([profile, more_threads(profile)])
    busy = threading.Lock()

    def alone(index: int, _: Session) -> bool:
        free = busy.acquire(blocking=False)
        threading.Event().wait(0.02)
        busy.release()
        return free

    assert fleet.each(alone) == [True, True]


def test_an_error_on_one_device_waits_for_the_others(profile: TargetProfile) -> None:
    fleet = Fleet.of([profile, over_ssh(profile, "198.51.100.7")])
    done = []

    def ask(index: int, _: Session) -> None:
        if index == 0:
            raise ModelError("no such file")
        threading.Event().wait(0.02)
        done.append(index)

    with pytest.raises(ModelError, match="no such file"):
        fleet.each(ask)
    assert done == [1]


def test_targets_that_reach_one_device_are_known_for_it(profile: TargetProfile, board: Any) -> None:
    """The board is this machine, by another name and over real ssh."""
    assert device_of(board.profile()) == device_of(profile)
    assert device_of(board.profile(host="behind")) != device_of(profile)
    near, far = (over_ssh(profile, host) for host in ("198.51.100.7", "user@198.51.100.7"))
    assert device_of(near) == device_of(far) != device_of(over_ssh(profile, "198.51.100.8"))


def test_a_model_is_measured_here_and_over_ssh(
    profile: TargetProfile, convolution: Make, board: Any
) -> None:
    model = convolution()
    with Fleet.of([profile, board.profile()]) as fleet:
        found = fleet.each(lambda _, session: session.measure([model])[0])
    assert [one.target for one in found] == ["brief", "board"]
    assert list(board.folder.iterdir()) == []
