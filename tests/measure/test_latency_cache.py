import logging
from pathlib import Path

import pytest

from edgespiral.core.records.measurement import Fingerprint, LayerLatency
from edgespiral.measure.latency_cache import LatencyCache, MeasuredCut, Step, cache_folder
from edgespiral.measure.profile import TargetProfile


def fingerprint(**changes: object) -> Fingerprint:
    known: dict[str, object] = {
        "device": "some CPU",
        "architecture": "x86_64",
        "operating_system": "Linux",
        "cores": 2,
        "runtime": "onnxruntime",
        "runtime_version": "1.22",
        "provider": "CPUExecutionProvider",
        "threads": 1,
        "precision": "fp32",
    }
    return Fingerprint.model_validate(known | changes)


def row(channels: int, latency_ms: float) -> LayerLatency:
    return LayerLatency(
        operator="conv",
        input_shape=(1, channels, 8, 8),
        weight_shape=(channels, channels, 3, 3),
        output_shape=(1, channels, 8, 8),
        latency_ms=latency_ms,
    )


@pytest.fixture
def cache(tmp_path: Path, profile: TargetProfile) -> LatencyCache:
    return LatencyCache.of(tmp_path / "cache", profile, fingerprint())


def test_the_newest_measurement_of_a_shape_and_of_widths_is_kept(cache: LatencyCache) -> None:
    cache.add(
        layers=[row(16, 0.1), row(32, 0.3)], cuts={"net": [MeasuredCut(widths={"a": 1}, speedup=2)]}
    )
    cache.add(layers=[row(16, 0.2)], cuts={"net": [MeasuredCut(widths={"a": 1}, speedup=3)]})
    cache.add(staircase=[Step(channels=16, latency_ms=1)])
    table = cache.read()
    assert [(one.weight_shape[0], one.latency_ms) for one in table.layers] == [(16, 0.2), (32, 0.3)]
    assert table.cuts == {"net": (MeasuredCut(widths={"a": 1}, speedup=3),)}
    assert table.staircase == (Step(channels=16, latency_ms=1),)


@pytest.mark.parametrize(
    "change",
    [{"runtime_version": "1.23"}, {"threads": 2}, {"power_mode": "15W"}, {"device": "other"}],
)
def test_another_device_or_runtime_has_a_table_of_its_own(
    cache: LatencyCache, profile: TargetProfile, change: dict[str, object]
) -> None:
    cache.add(layers=[row(16, 0.1)])
    folder = cache.path.parent
    assert LatencyCache.of(folder, profile, fingerprint(**change)).read().layers == ()
    warm = LatencyCache.of(folder, profile, fingerprint(temperature_before_c=60.0))
    assert warm.read().layers == (row(16, 0.1),)


@pytest.mark.parametrize("damage", ["", "{", '{"schema_version": 2, "identity": {}}', "\0"])
def test_a_damaged_file_is_made_again(cache: LatencyCache, damage: str) -> None:
    cache.add(layers=[row(16, 0.1)])
    cache.path.write_text(damage)
    assert cache.read().layers == ()
    cache.add(layers=[row(32, 0.3)])
    assert cache.read().layers == (row(32, 0.3),)


def test_links_in_a_shared_folder_are_left_alone(
    cache: LatencyCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "edgespiral.measure")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    cache.path.parent.mkdir(parents=True, exist_ok=True)
    cache.path.with_suffix(".lock").symlink_to(victim)
    cache.path.symlink_to(victim)
    cache.add(layers=[row(16, 0.1)])
    assert "the latency cache is not written" in caplog.text
    assert victim.read_text() == "precious"


def test_a_place_that_cannot_be_written_is_a_warning(
    profile: TargetProfile, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "edgespiral.measure")
    cache = LatencyCache.of(Path("/proc/edgespiral"), profile, fingerprint())
    cache.add(layers=[row(16, 0.1)])
    assert "the latency cache is not written: /proc/edgespiral" in caplog.text
    assert cache.read().layers == ()


def test_the_folder_is_where_the_system_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "edgespiral" / "latency"
    assert cache_folder(tmp_path / "mine") == tmp_path / "mine"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "edgespiral" / "latency"
