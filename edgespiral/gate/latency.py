"""A model's latency for `assert`: comparing it samples until the answer is sure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgespiral.core.errors import MeasurementError, UndecidedError, UsageError
from edgespiral.core.records.measurement import Verdict
from edgespiral.gate.checks import Limits
from edgespiral.gate.interface import check_same, interface
from edgespiral.gate.report import words
from edgespiral.gate.sampling import Sampling, sample
from edgespiral.gate.suite import TIME_LIMIT_S
from edgespiral.measure.model_files import find_model
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Literal

    from edgespiral.core.records.measurement import LatencyStats
    from edgespiral.gate.records import Check


@dataclass
class Latency:
    """How long a model takes on a target, measured when first asked.

    Attributes:
        model: an ONNX file or a run folder.
        target: the device: a target's name or file.
        against: a model that takes turns with it; needed for `change_percent`.
        shapes: input shapes by name, for models without fixed ones; "" is the only input.
        time_limit_s: for each comparison.
        allow_interface_change: compare though inputs or outputs of the two differ.

    Example:
        >>> from pathlib import Path
        >>> assert Latency(Path("model.onnx")).p50_ms < 1000
    """

    model: Path
    target: str = "host-cpu"
    against: Path | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    time_limit_s: float = TIME_LIMIT_S
    allow_interface_change: bool = False
    _sampled: Sampling | None = field(default=None, init=False, repr=False)

    @property
    def p50_ms(self) -> Figure:
        """The median, in ms; compare it with a number."""
        return Figure(self, "budget")

    @property
    def change_percent(self) -> Figure:
        """By how much the median is above that of `against`, in percent.

        Raises:
            UsageError: there is no model to compare with.
        """
        if self.against is None:
            raise UsageError("change_percent needs a model to take turns with", hint="against=PATH")
        return Figure(self, "median")

    @property
    def p90_ms(self) -> float:
        """The 90th percentile of the samples so far, in ms: a number without an interval."""
        return self._percentile("p90_ms")

    @property
    def p99_ms(self) -> float:
        """The 99th percentile of the samples so far, in ms: a number without an interval."""
        return self._percentile("p99_ms")

    @property
    def stats(self) -> LatencyStats:
        """Order statistics of the samples so far.

        Raises:
            UsageError: no such target.
            ModelError, TargetError, MeasurementError: as `Session.measure`.
        """
        sampled = self._sampled or self.sample(Limits())
        return sampled.measurements[-1].stats

    def sample(self, limits: Limits) -> Sampling:
        """Measure anew until every limit is decided or the time is over.

        Raises:
            As `stats`, and ModelError where `against` has other inputs or outputs.
        """
        model = find_model(self.model)
        models = [model] if self.against is None else [find_model(self.against), model]
        if self.against is not None and not self.allow_interface_change:
            check_same(interface(models[0]), interface(model), where=str(model))
        with Session(load_profile(self.target), shapes=self.shapes) as session:
            self._sampled = sample(session, models, limits, time_limit_s=self.time_limit_s)
        return self._sampled

    def _percentile(self, name: str) -> float:
        value: float | None = getattr(self.stats, name)
        if value is None:
            raise MeasurementError(
                f"{self.stats.count} samples carry no {name.removesuffix('_ms')}",
                where=str(self.model),
                hint="raise rounds in the target's [measure]",
            )
        return value


class Figure:
    """A measured figure that answers `<`, `<=`, `>` and `>=` by its interval.

    Each comparison takes samples until the whole interval is on one side of the number.

    Raises:
        UndecidedError: from a comparison whose time was over before.
    """

    def __init__(self, latency: Latency, kind: Literal["budget", "median"]) -> None:
        self._latency = latency
        self._kind = kind
        self._check: Check | None = None

    def __lt__(self, limit: float) -> bool:
        """Whether it is surely below."""
        return self._is_within(limit)

    def __le__(self, limit: float) -> bool:
        """The same: a measured figure is never exactly equal."""
        return self._is_within(limit)

    def __gt__(self, limit: float) -> bool:
        """Whether it is surely above."""
        return not self._is_within(limit)

    def __ge__(self, limit: float) -> bool:
        """The same: a measured figure is never exactly equal."""
        return not self._is_within(limit)

    def __eq__(self, other: object) -> bool:
        """Refused, as it would always be False.

        Raises:
            UsageError: in any case.
        """
        raise UsageError("a measured figure is never exactly equal", hint="compare with < or >")

    __hash__ = None  # type: ignore[assignment]

    def __float__(self) -> float:
        """The estimate, of the last comparison where there was one."""
        if self._check is None:
            if self._kind == "budget":
                return self._latency.stats.p50_ms
            self._check = self._checked(None)
        return self._check.value

    def __repr__(self) -> str:
        """With its interval once it was compared."""
        return words.figure(self._check) if self._check else f"{float(self):.4g}"

    def _is_within(self, limit: float) -> bool:
        if not math.isfinite(limit):
            raise UsageError(f"cannot be compared with {limit}", where=str(self._latency.model))
        self._check = self._checked(float(limit))
        if self._check.verdict is Verdict.UNDECIDED:
            raise UndecidedError(
                f"undecided: {words.line(self._check)}",
                where=str(self._latency.model),
                hint="allow more time, or quieten the device",
            )
        return self._check.verdict is Verdict.MET

    def _checked(self, limit: float | None) -> Check:
        if self._kind == "budget":
            limits = Limits(budget_ms=limit)
        else:
            limits = Limits(tolerance_percent=limit)
        checks = self._latency.sample(limits).checks
        return next(check for check in checks if check.kind == self._kind)
