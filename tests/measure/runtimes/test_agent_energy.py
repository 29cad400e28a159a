"""The counters of a system, on trees of files that stand in for Linux's, moved by the inference."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.measure.runtimes import agent_energy
from edgespiral.measure.runtimes.agent_energy import UnknownError, meter, spent

RANGE_UJ = 1_000_000


def write(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")
    return path


def rapl(root: Path, *names: str, start_uj: int = 0) -> list[Path]:
    """Zones of packages, each with one inside of it that is counted already."""
    counters = []
    for number, name in enumerate(names):
        zone = root / f"sys/class/powercap/intel-rapl:{number}"
        write(zone / "name", name)
        write(zone / "max_energy_range_uj", RANGE_UJ)
        counters.append(write(zone / "energy_uj", start_uj))
        inside = root / f"sys/class/powercap/intel-rapl:{number}:0"
        write(inside / "name", "core")
        write(inside / "energy_uj", 77)
    return counters


def ina3221(root: Path, **channels: tuple[int, int]) -> Path:
    """A monitor with volts (mV) and amperes (mA) of channels."""
    folder = root / "sys/class/hwmon/hwmon3"
    write(folder / "name", "ina3221")
    for number, (label, (millivolts, milliamperes)) in enumerate(channels.items(), 1):
        write(folder / f"in{number}_label", label)
        write(folder / f"in{number}_input", millivolts)
        write(folder / f"curr{number}_input", milliamperes)
    return folder


def taking(counter: Path, microjoules: int) -> Callable[[], None]:
    """An inference that moves a counter, which begins again at its end."""

    def run() -> None:
        counter.write_text(str((int(counter.read_text()) + microjoules) % RANGE_UJ))

    return run


def request(root: Path) -> dict[str, object]:
    return {"system_root": str(root), "energy_s": 0.05}


def test_what_each_inference_takes_is_counted_past_the_counters_end(tmp_path: Path) -> None:
    [counter] = rapl(tmp_path, "package-0", start_uj=RANGE_UJ - 10)
    told = spent(request(tmp_path), taking(counter, 20))["energy"]
    assert told["source"] == "RAPL, package-0"
    assert 1e6 * told["joules"] / told["inferences"] == pytest.approx(20)
    assert told["idle_watts"] == 0
    assert told["seconds"] >= 0.05


def test_packages_add_up_and_what_is_within_them_is_not_counted_again(tmp_path: Path) -> None:
    first, second = rapl(tmp_path, "package-0", "package-1", "psys")[:2]
    counter = meter(tmp_path)
    first.write_text("1000")
    second.write_text("500")
    counter.tick()
    assert counter.joules == pytest.approx(0.0015)
    assert counter.source == "RAPL, package-0, package-1"


def test_a_jetson_is_told_by_the_channel_that_all_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([10.0, 12.0, 13.0])
    monkeypatch.setattr(agent_energy, "monotonic", lambda: next(clock))
    folder = ina3221(tmp_path, VDD_IN=(5000, 1000), VDD_SOC=(5000, 400))
    counter = meter(tmp_path)
    counter.tick()
    assert counter.joules == pytest.approx(10)
    write(folder / "curr1_input", 3000)
    counter.tick()
    # From 5 to 15 watts in a second.
    assert counter.joules == pytest.approx(20)
    assert counter.source == "INA3221, VDD_IN"


def test_channels_of_another_board_add_up(tmp_path: Path) -> None:
    ina3221(tmp_path, GPU=(1000, 2000), CPU=(1000, 3000))
    told = spent(request(tmp_path), lambda: None)["energy"]
    assert told["source"] == "INA3221, GPU + CPU"
    assert told["idle_watts"] == pytest.approx(5, rel=0.2)
    assert told["joules"] / told["seconds"] == pytest.approx(5, rel=0.2)


@pytest.mark.parametrize("value", [999_999, 0, -5])
def test_a_counter_that_is_set_back_is_not_one_that_went_past_its_end(
    tmp_path: Path, value: int
) -> None:
    [counter] = rapl(tmp_path, "package-0", start_uj=1_000_000)
    write(counter.parent / "max_energy_range_uj", 262_143_328_850)
    told = spent(request(tmp_path), lambda: counter.write_text(str(value)))
    assert f"energy_uj went from 1000000 to {value} in" in told["energy_refused"]


def test_a_counter_that_stops_while_the_model_runs_tells_nothing(tmp_path: Path) -> None:
    [counter] = rapl(tmp_path, "package-0")
    moves = iter(range(100, 400, 100))

    def run() -> None:
        counter.write_text(str(next(moves, 300)))

    assert "it did not move in" in spent(request(tmp_path), run)["energy_refused"]


def test_a_counter_that_goes_away_while_the_model_runs_tells_nothing(tmp_path: Path) -> None:
    [counter] = rapl(tmp_path, "package-0")
    told = spent(request(tmp_path), lambda: counter.unlink(missing_ok=True))
    assert "intel-rapl:0/energy_uj cannot be read" in told["energy_refused"]


@pytest.mark.parametrize("milliamperes", [0, -4000, 10**9])
def test_a_power_that_no_board_takes_tells_nothing(tmp_path: Path, milliamperes: int) -> None:
    folder = ina3221(tmp_path, VDD_IN=(5000, 1000))
    told = spent(request(tmp_path), lambda: write(folder / "curr1_input", milliamperes))
    assert "INA3221, VDD_IN: it tells of" in told["energy_refused"]


def test_why_it_is_not_known_is_said(tmp_path: Path) -> None:
    assert "shows neither" in spent(request(tmp_path), lambda: None)["energy_refused"]
    [counter] = rapl(tmp_path, "package-0")
    assert "did not move" in spent(request(tmp_path), lambda: None)["energy_refused"]
    counter.write_text("none")
    with pytest.raises(UnknownError, match=r"intel-rapl:0/energy_uj is no number: 'none'"):
        meter(tmp_path)
    # As for who is not root.
    counter.unlink()
    with pytest.raises(UnknownError, match=r"intel-rapl:0/energy_uj cannot be read"):
        meter(tmp_path)
