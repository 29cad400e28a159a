"""The steps in which a device's latency rises with the number of channels.

Kernels work on whole blocks of channels, so widths between two blocks save nothing. A width is held
against the next multiple of a step: where it saves less than half of what its channels would at the
device's mean cost of a channel, the widths within that step are not worth having. The largest such
step is the device's channel multiple; 1 where each channel counts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.errors import MeasurementError
from edgespiral.core.statistics.stats import checked
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.tiny import write_convolutions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgespiral.core.records.measurement import (
        Measurement,
    )
    from edgespiral.measure.session import Session

    Vector = NDArray[np.float64]
    Rounds = Sequence[Sequence[float]]

# Every width of a block of 32, and each fourth of the next, so that no step is seen only once.
CHANNELS = (*range(33, 65), *range(68, 97, 4))
STEPS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
WORTHWHILE_SHARE = 0.5
# Of a whole step: the least saving that is told from noise.
NOISE_SHARE = 0.1
IMAGE_CHANNELS, LAYERS = 3, 3
# Positions of the layers: as few as make the latency rise with the channels, not with the calls.
SIZES = (14, 28, 56, 112)
RISE_BETWEEN, LEAST_RISE = (48, 96), 1.3
RESAMPLES, SEED = 200, 0
LEAST_AGREEMENT = 2 / 3


@dataclass(frozen=True)
class Staircase:
    """Latencies by width.

    Attributes:
        size: height and width of the layers.
        multiple: the step found.
        agreement: the share of resampled rounds that give the same step.
    """

    size: int
    measured: Mapping[int, Measurement]
    multiple: int
    agreement: float


def measure_staircase(session: Session, say: Callable[[str], None]) -> Staircase:
    """Measure a small net of 3x3 convolutions at many widths, all in turns.

    Args:
        session: open.
        say: hears what is being done.

    Raises:
        MeasurementError: the latency does not depend on the width, or the step is not clear.
        TargetError: the device did not answer.
    """
    with work_folder() as folder:
        size = _telling_size(session, folder, say)
        say(f"measuring {len(CHANNELS)} widths on {size}x{size} positions")
        measured = session.measure(_models(folder, CHANNELS, size))
    rounds = {
        width: measurement.rounds_ms for width, measurement in zip(CHANNELS, measured, strict=True)
    }
    multiple, agreement = find_step(rounds)
    if agreement < LEAST_AGREEMENT:
        raise MeasurementError(
            f"the step is not clear: {multiple} in {agreement:.0%} of resampled rounds",
            where=session.profile.name,
            hint="stop other programs on the device, or raise measure.rounds in its profile",
        )
    return Staircase(size, dict(zip(CHANNELS, measured, strict=True)), multiple, agreement)


def find_step(rounds_ms: Mapping[int, Rounds]) -> tuple[int, float]:
    """The largest step within which narrower widths save little; 1 where there is none.

    Args:
        rounds_ms: samples by width, taken in turns.

    Returns:
        The step, and the share of resamplings of the rounds that give it too.

    Raises:
        MeasurementError: samples that mean nothing, or too few rounds.
    """
    widths = sorted(rounds_ms)
    medians = np.array([[np.median(samples) for samples in checked(rounds_ms[w])] for w in widths])
    count = medians.shape[1]
    step = _largest_step(widths, np.median(medians, axis=1))
    resamples = np.random.default_rng(SEED).integers(0, count, size=(RESAMPLES, count))
    steps = [_largest_step(widths, np.median(medians[:, rows], axis=1)) for rows in resamples]
    return step, steps.count(step) / RESAMPLES


def _telling_size(session: Session, folder: Path, say: Callable[[str], None]) -> int:
    """The smallest size at which the device's time goes into channels."""
    for size in SIZES:
        say(f"looking at {size}x{size} positions")
        narrow, wide = session.measure(_models(folder, RISE_BETWEEN, size))
        if wide.stats.p50_ms >= LEAST_RISE * narrow.stats.p50_ms:
            return size
    raise MeasurementError(
        f"latency hardly rises from {RISE_BETWEEN[0]} to {RISE_BETWEEN[1]} channels",
        where=session.profile.name,
        hint="the device is busy with other things than convolutions; set channel_multiple by hand",
    )


def _models(folder: Path, widths: Sequence[int], size: int) -> list[Path]:
    return [
        write_convolutions(
            folder / f"{size}-{width}.onnx", [IMAGE_CHANNELS, *[width] * LAYERS], size
        )
        for width in widths
    ]


def _largest_step(widths: Sequence[int], latencies_ms: Vector) -> int:
    by_width = dict(zip(widths, latencies_ms.tolist(), strict=True))
    ms_per_channel = float(np.polyfit(widths, latencies_ms, 1)[0])
    return max((s for s in STEPS if not _saves_within(by_width, s, ms_per_channel)), default=1)


def _saves_within(latencies_ms: Mapping[int, float], step: int, ms_per_channel: float) -> bool:
    """Whether some offset within a step is worth having, over all the steps measured."""
    saved: dict[int, list[float]] = defaultdict(list)
    for width, latency_ms in latencies_ms.items():
        above = step * math.ceil(width / step)
        if width < above and above in latencies_ms:
            saved[step - width % step].append(latencies_ms[above] - latency_ms)
    worthwhile = {
        narrower: (WORTHWHILE_SHARE * narrower + NOISE_SHARE * step) * ms_per_channel
        for narrower in saved
    }
    return any(fmean(all_ms) >= worthwhile[narrower] for narrower, all_ms in saved.items())
