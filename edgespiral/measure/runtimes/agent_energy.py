"""What inference takes of energy, by the counters that a system shows.

It is pushed beside `agent.py` where energy is asked for. Two kinds are read: RAPL's counters of
Intel's and AMD's processors, and the INA3221 monitors of NVIDIA's Jetsons, which tell volts and
amperes at a moment. A model runs in a loop for some seconds, and as long nothing does before; what
the device takes when idle is left out of the figure.
"""

from __future__ import annotations

import re
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Json = dict[str, Any]

# How often a monitor is read: its own conversions take some milliseconds.
TICK_S = 0.01
# More than a package or a small board takes. A counter that was set back would else count as one
# that went past its end.
MOST_WATTS, LEAST_S = 1000.0, 1e-3
# Counters move in milliseconds. One that stood still for longer than this share has failed.
STILL_SHARE = 0.5
# Of a Jetson's channels, the one that all others are behind.
WHOLE_BOARD = ("VDD_IN", "POM_5V_IN", "VDD_SYS_IN")


class UnknownError(Exception):
    """Why this system's energy is not known."""


class Rapl:
    """Counters of microjoules, a package each, which begin again at their largest value."""

    def __init__(self, zones: list[Path]) -> None:
        self._zones = zones
        self._ends = [_number(zone / "max_energy_range_uj") for zone in zones]
        self._last_s, self._last = monotonic(), self._read()
        self.joules = 0.0
        self.source = f"RAPL, {', '.join(_text(zone / 'name') for zone in zones)}"

    def tick(self) -> None:
        """Add what was taken since the last time.

        Raises:
            UnknownError: it is what no package takes.
        """
        now_s, now = monotonic(), self._read()
        most_j = MOST_WATTS * max(now_s - self._last_s, LEAST_S)
        for zone, before, after, end in zip(self._zones, self._last, now, self._ends, strict=True):
            taken_j = (after - before + (end if after < before else 0)) / 1e6
            if not 0 <= taken_j <= most_j or min(before, after) < 0:
                what = f"{zone.name}/energy_uj went from {before} to {after}"
                raise UnknownError(f"{what} in {now_s - self._last_s:.3g} s")
            self.joules += taken_j
        self._last_s, self._last = now_s, now

    def _read(self) -> list[int]:
        return [_number(zone / "energy_uj") for zone in self._zones]


class Ina3221:
    """Channels of volts and amperes, between whose readings power is taken to go in a line."""

    def __init__(self, channels: list[tuple[Path, Path]], label: str) -> None:
        self._channels = channels
        self.source = f"INA3221, {label}"
        self._last_s, self._last_w = monotonic(), self._watts()
        self.joules = 0.0

    def tick(self) -> None:
        """Add what was taken since the last time."""
        now_s, now_w = monotonic(), self._watts()
        self.joules += (now_s - self._last_s) * (now_w + self._last_w) / 2
        self._last_s, self._last_w = now_s, now_w

    def _watts(self) -> float:
        pairs = [(_number(volts), _number(amperes)) for volts, amperes in self._channels]
        watts = sum(volts * amperes for volts, amperes in pairs) / 1e6
        if not 0 < watts <= MOST_WATTS:
            raise UnknownError(f"{self.source}: it tells of {watts:.3g} W")
        return watts


def meter(root: Path) -> Rapl | Ina3221:
    """What tells the energy of the system below `root`, from now on.

    Raises:
        UnknownError: nothing does, or it may not be read.
    """
    monitors = [
        _channels(path.parent)
        for path in sorted((root / "sys/class/hwmon").glob("hwmon*/name"))
        if _text(path) == "ina3221"
    ]
    every = {label: pair for channels in monitors for label, pair in channels.items()}
    whole = {label: pair for label, pair in every.items() if label in WHOLE_BOARD}
    if every:
        chosen = dict(list(whole.items())[:1]) or every
        return Ina3221(list(chosen.values()), " + ".join(chosen))
    zones = [
        path
        for path in sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
        if re.fullmatch(r"intel-rapl:\d+", path.name) and _text(path / "name").startswith("package")
    ]
    if not zones:
        raise UnknownError("this system shows neither RAPL's counters nor an INA3221")
    return Rapl(zones)


def spent(request: Json, run: Callable[[], object]) -> Json:
    """What a model's inferences took, or why that is not known.

    Args:
        request: of which `energy_s` says how long, and `system_root` where `sys` is.
        run: one inference.
    """
    root, seconds = Path(request["system_root"]), request["energy_s"]
    try:
        idle = _watched(meter(root), lambda: sleep(TICK_S), seconds)
        counter = meter(root)
        busy = _watched(counter, run, seconds)
    except UnknownError as error:
        return {"energy_refused": str(error)}
    if busy.still_s > STILL_SHARE * busy.seconds:
        what = f"it did not move in {busy.still_s:.3g} of {busy.seconds:.3g} s"
        return {"energy_refused": f"{counter.source}: {what}"}
    reading = {"source": counter.source, "joules": busy.joules, "seconds": busy.seconds}
    reading |= {"inferences": busy.steps, "idle_watts": idle.joules / idle.seconds}
    return {"energy": reading}


class Watched(NamedTuple):
    """What a counter said while something was done in `steps`.

    Attributes:
        still_s: the longest time in which it did not move.
    """

    joules: float
    seconds: float
    steps: int
    still_s: float


def _watched(counter: Rapl | Ina3221, step: Callable[[], object], seconds: float) -> Watched:
    start = last = moved = monotonic()
    count, still_s = 0, 0.0
    while last - start < seconds:
        step()
        count += 1
        now = monotonic()
        if now - last >= TICK_S or now - start >= seconds:
            before = counter.joules
            counter.tick()
            last = now
            if counter.joules > before:
                moved = now
            still_s = max(still_s, now - moved)
    return Watched(counter.joules, last - start, count, still_s)


def _channels(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Of a monitor the files of volts and amperes, by the channel's label."""
    channels = {}
    for volts in sorted(folder.glob("in[0-9]*_input")):
        number = volts.name[len("in") : -len("_input")]
        amperes = folder / f"curr{number}_input"
        label = folder / f"in{number}_label"
        if amperes.is_file():
            channels[_text(label) if label.is_file() else f"{folder.name}/{number}"] = (
                volts,
                amperes,
            )
    return channels


def _number(path: Path) -> int:
    text = _text(path)
    if not re.fullmatch(r"-?\d+", text):
        raise UnknownError(f"{path.parent.name}/{path.name} is no number: {text[:40]!r}")
    return int(text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        what = f"{path.parent.name}/{path.name} cannot be read: {error.strerror}"
        raise UnknownError(what) from error
