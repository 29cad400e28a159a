"""The pytest plug-in: the fixture `edgespiral_latency`, and what an open verdict is to a test.

Loaded in every pytest run where EdgeSpiral is installed, so it imports nothing heavy by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgespiral.core.errors import EdgeSpiralError, UndecidedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from edgespiral.gate.latency import Latency

FIXTURE = "edgespiral_latency"
TARGET, UNDECIDED, TIME_LIMIT = "edgespiral_target", "edgespiral_undecided", "edgespiral_time_limit"
OUTCOMES = ("skip", "fail")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the settings; the target has a flag too."""
    group = parser.getgroup("edgespiral")
    group.addoption("--edgespiral-target", help="the device that latencies are measured on")
    parser.addini(TARGET, "the device that latencies are measured on", default="host-cpu")
    parser.addini(UNDECIDED, "an undecided comparison's outcome: skip or fail", default="skip")
    parser.addini(TIME_LIMIT, "seconds that a comparison may sample for", default="20")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse wrong settings before any test runs."""
    if config.getini(UNDECIDED) not in OUTCOMES:
        raise pytest.UsageError(
            f"{UNDECIDED} is {config.getini(UNDECIDED)!r}: {' or '.join(OUTCOMES)}"
        )
    if not _seconds(config) > 0:
        raise pytest.UsageError(f"{TIME_LIMIT} is {config.getini(TIME_LIMIT)!r}: seconds, above 0")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """In tests that use the fixture, an open verdict skips and an error is one line."""
    try:
        return (yield)
    except EdgeSpiralError as caught:
        if FIXTURE not in pyfuncitem.fixturenames:
            raise
        error = caught
    # Outside of the handler, so that the report has no second exception.
    if isinstance(error, UndecidedError) and pyfuncitem.config.getini(UNDECIDED) == "skip":
        pytest.skip(str(error))
    pytest.fail(str(error), pytrace=False)


@pytest.fixture
def edgespiral_latency(pytestconfig: pytest.Config) -> Callable[..., Latency]:
    """Latency of a model on a target: `assert edgespiral_latency("model.onnx").p50_ms < 8`.

    Takes `target`; `against`, another model, for `change_percent`; `allow_interface_change` where
    its inputs or outputs differ; `shape` or `shapes` for inputs without fixed sizes; and
    `time_limit_s` for each comparison.
    """
    from edgespiral.gate.latency import Latency

    def latency(
        model: str | Path,
        *,
        target: str | None = None,
        against: str | Path | None = None,
        shape: Sequence[int] | None = None,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        allow_interface_change: bool = False,
        time_limit_s: float | None = None,
    ) -> Latency:
        default_target = pytestconfig.getoption("--edgespiral-target") or pytestconfig.getini(
            TARGET
        )
        return Latency(
            Path(model),
            target=target or default_target,
            against=None if against is None else Path(against),
            allow_interface_change=allow_interface_change,
            shapes={"": tuple(shape)} if shape is not None else shapes or {},
            time_limit_s=_seconds(pytestconfig) if time_limit_s is None else time_limit_s,
        )

    return latency


def _seconds(config: pytest.Config) -> float:
    """The time limit; not a number where it is none."""
    try:
        return float(config.getini(TIME_LIMIT))
    except ValueError:
        return float("nan")
