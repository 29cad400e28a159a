"""Several targets at once: different devices work at the same time, no device does two things."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from itertools import chain
from threading import Thread
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from edgespiral.measure.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence
    from types import TracebackType

    from edgespiral.measure.profile import TargetProfile

    Shapes = Mapping[str, tuple[int, ...]]

T = TypeVar("T")


class Fleet:
    """A session on each of several targets, open inside its context.

    Example:
        >>> from pathlib import Path
        >>> from edgespiral import load_profile
        >>> with Fleet.of([load_profile("host-cpu")]) as fleet:
        ...     found = fleet.each(lambda _, session: session.measure([Path("model.onnx")]))
        >>> len(found)
        1
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.sessions = tuple(sessions)
        self._open = ExitStack()

    @classmethod
    def of(cls, profiles: Sequence[TargetProfile], shapes: Shapes | None = None) -> Fleet:
        """Sessions on `profiles`; `shapes` as for `Session`."""
        return cls([Session(profile, shapes=shapes) for profile in profiles])

    @property
    def profiles(self) -> tuple[TargetProfile, ...]:
        """Of the targets, in order."""
        return tuple(session.profile for session in self.sessions)

    @property
    def needs_modules(self) -> bool:
        """Whether a runtime is made of the PyTorch module that lies beside a file."""
        return any(profile.capabilities.needs == "module" for profile in self.profiles)

    def __enter__(self) -> Self:
        """Open the way to every device."""
        with ExitStack() as opened:
            for session in self.sessions:
                opened.enter_context(session)
            self._open = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close them all."""
        self._open.close()

    def each(self, ask: Callable[[int, Session], T]) -> list[T]:
        """What `ask` says of each target, given its position and session, in the targets' order.

        Raises:
            The first error, when all devices are done with what they had begun.
        """
        if len(self.sessions) == 1:
            return [ask(0, self.sessions[0])]
        lines = [_Line(self.sessions, positions, ask) for positions in self._by_device]
        for line in lines:
            line.start()
        for line in lines:
            line.join()
        for line in lines:
            if line.error is not None:
                raise line.error
        answers = {position: answer for line in lines for position, answer in line.answers}
        return [answers[position] for position in range(len(self.sessions))]

    @cached_property
    def _by_device(self) -> list[list[int]]:
        """The positions of the targets that reach one device, for each device."""
        indices: dict[Hashable, list[int]] = {}
        for position, profile in enumerate(self.profiles):
            indices.setdefault(device_of(profile), []).append(position)
        for alone in [key for key in indices if isinstance(key, tuple) and key[1:] == (None,)]:
            # The only device that is reached in this way, named or not.
            same = [key for key in indices if isinstance(key, tuple) and key[0] == alone[0]]
            indices[alone] = sorted(chain.from_iterable([indices.pop(key) for key in same]))
        return list(indices.values())


class _Line(Thread, Generic[T]):
    """What is asked of one device, one thing after another.

    A daemon, so that Ctrl-C ends the program without the device's answer.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        positions: Sequence[int],
        ask: Callable[[int, Session], T],
    ) -> None:
        super().__init__(daemon=True)
        self._sessions, self._positions, self._ask = sessions, positions, ask
        self.answers: list[tuple[int, T]] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Ask until the end or an error."""
        try:
            for position in self._positions:
                self.answers.append((position, self._ask(position, self._sessions[position])))
        except BaseException as error:  # handed to the thread that waits
            self.error = error


def device_of(profile: TargetProfile) -> Hashable:
    """What two targets have in common exactly where they reach the same device.

    Two names of one host count as one, and so does a name for this machine.
    """
    return profile.transport_plugin.device_id(profile.transport)
