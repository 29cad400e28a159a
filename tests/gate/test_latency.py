from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.core.errors import MeasurementError, ModelError, UndecidedError, UsageError
from edgespiral.gate.latency import Latency

Make = Callable[..., Path]

TARGET = """
schema = 1
name = "brief"
[runtime]
kind = "onnxruntime"
[transport]
kind = "local"
[measure]
warmup_ms = 2
rounds = 6
round_ms = 1
min_samples = 12
max_samples = 60
"""


@pytest.fixture
def target(tmp_path: Path) -> str:
    """A local target that measures briefly."""
    (tmp_path / "brief.toml").write_text(TARGET)
    return str(tmp_path / "brief.toml")


def test_a_comparison_is_answered_by_the_interval(chain: Make, target: str) -> None:
    latency = Latency(chain(), target)
    assert latency.p50_ms < 1000
    assert latency.p50_ms <= 1000
    assert latency.p50_ms > 1e-6
    assert latency.p50_ms >= 1e-6
    assert not latency.p50_ms > 1000


def test_a_compared_figure_shows_its_interval(chain: Make, target: str) -> None:
    latency = Latency(chain(), target)
    median = latency.p50_ms
    before = float(median)
    assert repr(median) == f"{before:.4g}"
    assert before == latency.stats.p50_ms
    assert median < 1000
    assert repr(median).startswith("0.")
    assert " to " in repr(median)


def test_a_change_is_measured_in_turns(chain: Make, target: str) -> None:
    small, large = chain("small.onnx", 1), chain("large.onnx", 12)
    change = Latency(large, target, against=small).change_percent
    assert change > 100
    assert float(change) > 100
    assert Latency(small, target, against=large).change_percent < -50


def test_what_stays_open_is_no_answer(chain: Make, target: str) -> None:
    model = chain()
    change = Latency(model, target, against=model, time_limit_s=1e-9).change_percent
    with pytest.raises(UndecidedError, match="undecided: median"):
        assert change < 0


def test_what_cannot_be_asked_is_told(chain: Make, target: str, tmp_path: Path) -> None:
    latency = Latency(chain(), target)
    with pytest.raises(UsageError, match="needs a model to take turns with"):
        assert latency.change_percent < 1
    with pytest.raises(UsageError, match="never exactly equal"):
        assert latency.p50_ms == 1
    with pytest.raises(UsageError, match="cannot be compared with inf"):
        assert latency.p50_ms < float("inf")
    with pytest.raises(ModelError, match="no such file"):
        assert Latency(tmp_path / "none.onnx", target).p50_ms < 1
    with pytest.raises(ModelError, match="does not do the same work"):
        assert Latency(chain("b.onnx", output="z"), target, against=chain()).change_percent < 1


def test_another_interface_may_be_allowed(chain: Make, target: str) -> None:
    other = chain("b.onnx", output="z")
    latency = Latency(other, target, against=chain(), allow_interface_change=True)
    assert latency.change_percent < 1000


def test_percentiles_need_samples_to_carry_them(chain: Make, target: str) -> None:
    latency = Latency(chain(layers=4, size=32), target)
    with pytest.raises(MeasurementError, match="samples carry no p99"):
        assert latency.p99_ms < 1000


def test_percentiles_are_numbers(chain: Make, target: str) -> None:
    path = Path(target)
    path.write_text(
        TARGET.replace("min_samples = 12", "min_samples = 600").replace("= 60\n", "= 600\n")
    )
    latency = Latency(chain(), target)
    assert latency.stats.count >= 500
    assert float(latency.p50_ms) <= latency.p90_ms <= latency.p99_ms < 1000
