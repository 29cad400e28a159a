"""Whether a file computes on its device what it computes here.

Kernels differ: x86 without VNNI adds two 8-bit products in 16 bits, which saturates, and other
providers round in other places. A score here says nothing of such a device.
"""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgespiral.core.errors import ExportError, MeasurementError
from edgespiral.core.records.exported import DeviceCheck
from edgespiral.data.stratified import stratified
from edgespiral.export.parity import ParityLimits, beyond, compared, file_outputs
from edgespiral.measure.session import Session, tells_outputs
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.tasks.base import Task

    Values = NDArray[np.float32]

# What other orders of sums and other roundings of ties make of one and the same file.
LIMITS: dict[Precision, ParityLimits] = {
    "fp32": ParityLimits(least_sqnr_db=40.0, least_top1=0.98),
    "fp16": ParityLimits(least_sqnr_db=30.0, least_top1=0.95),
    "int8": ParityLimits(least_sqnr_db=20.0, least_top1=0.95),
}
# Where nothing else is said, as in a plan.
DEVICE_SAMPLES = 512
# More is not sent to a device; large inputs are fewer samples then.
MOST_INPUT_BYTES = 64 * 2**20
# Of what is right, beyond what two standard deviations of chance explain.
MOST_LOST = 0.01
SIGMAS = 2.0
SILENT = "its runtime does not tell what a model computes"
HINTS: dict[Precision, str] = {
    "fp32": "try another provider or version of the device's runtime",
    "fp16": "ship fp32, or try another provider or version of the device's runtime",
    "int8": "x86 without VNNI adds two 8-bit products in 16 bits, which saturates: ship fp32, or "
    "name a device or runtime that does not",
}


def check_on(
    profile: TargetProfile,
    path: Path,
    data: DataSplits,
    samples: int,
    task: Task = CLASSIFICATION,
) -> DeviceCheck:
    """As `check_on_device`, on a session of its own, which only a runtime that can tell gets.

    Raises:
        As `check_on_device`.
    """
    if not tells_outputs(profile):
        return DeviceCheck(target=profile.name, not_checked=SILENT)
    with Session(profile) as session:
        return check_on_device(session, path, data, samples, task)


def check_on_device(
    session: Session,
    path: Path,
    data: DataSplits,
    samples: int,
    task: Task = CLASSIFICATION,
) -> DeviceCheck:
    """Run an ONNX file on a session's device and here, on the same samples.

    Args:
        path: of batch 1.
        data: samples are drawn from its validation split, each class in proportion.
        samples: how many at most; 0 checks nothing.
        task: which says what is right.

    Raises:
        ExportError: what it computes there is too far from what it computes here, or less right;
            the figures of both are told.
        MeasurementError, TargetError: the device did not answer, or not as it should.
    """
    target = session.profile.name
    if not samples:
        return DeviceCheck(target=target, not_checked="no samples are asked for")
    inputs, targets = _drawn(data, samples)
    found = _outputs_there(session, path, inputs)
    if found is None:
        return DeviceCheck(target=target, not_checked=SILENT)
    inputs, targets = inputs[: len(found)], targets[: len(found)]
    expected = file_outputs(path, inputs)
    if found.shape != expected.shape:
        raise MeasurementError(
            f"its outputs are {found.shape}, {expected.shape} are expected", where=target
        )
    if not np.isfinite(found).all():
        told = f"on {target}: outputs there are not finite"
        raise _wrong(path, told, session.precision(path))
    here, there = (torch.from_numpy(values) for values in (expected, found))
    scores = [task.score_of([(outputs, targets)]) for outputs in (there, here)]
    metric = task.metric
    told = f"on {target} the {metric.name} is {metric.text(scores[0])} of {len(targets)} samples, "
    told += f"{metric.text(scores[1])} here"
    precision = session.precision(path)
    parity = compared(expected, found, task)
    problem = beyond(LIMITS[precision], parity, float(np.abs(expected).max()))
    right_here, right_there = (task.rightness(outputs, targets) for outputs in (here, there))
    if problem is None and _is_less_right(right_here, right_there):
        problem = "that is more than chance explains"
    if problem is not None:
        agreement = f"decisions agree on {parity.top1_agreement:.1%}"
        raise _wrong(path, f"{told}; {agreement}: {problem}", precision)
    return DeviceCheck(target=target, parity=parity, accuracy=scores[0], accuracy_here=scores[1])


def _wrong(path: Path, what: str, precision: Precision) -> ExportError:
    return ExportError(what, where=str(path), hint=HINTS[precision])


def _is_less_right(here: Tensor, there: Tensor) -> bool:
    """Whether the device is wrong more often, by the samples on which the two disagree."""
    lost, won = (float(more.clamp_min(0).sum()) for more in (here - there, there - here))
    return lost - won > max(MOST_LOST * len(here), SIGMAS * math.sqrt(lost + won))


def _drawn(data: DataSplits, samples: int) -> tuple[Sequence[Tensor], Tensor]:
    """Inputs of batch 1 with their targets, in an order in which the first of them will do too.

    They are evenly apart where there are more classes than those.
    """
    source = data.validation
    first, _ = next(iter(source.epoch(batch_size=1)))
    fitting = max(1, MOST_INPUT_BYTES // first.numpy().nbytes)
    count = min(samples, len(source), fitting)
    if count >= len(data.class_names):
        drawn = stratified(source, count, seed=0, where=f"{data.name}: validation")
        pairs = list(zip(drawn.inputs, torch.split(drawn.targets, 1), strict=True))
    else:
        step = math.ceil(len(source) / count)
        apart = islice(source.epoch(batch_size=1), 0, None, step)
        pairs = list(apart)
    order = np.random.default_rng(0).permutation(len(pairs))
    return [pairs[at][0] for at in order], torch.cat([pairs[at][1] for at in order])


def _outputs_there(session: Session, path: Path, inputs: Sequence[Tensor]) -> Values | None:
    with TemporaryDirectory(prefix="edgespiral-") as folder:
        given = Path(folder) / "inputs.npy"
        np.save(given, np.concatenate([sample.numpy() for sample in inputs]), allow_pickle=False)
        files = session.outputs([path], given, Path(folder))
        if files is None:
            return None
        try:
            values = np.load(files[0], allow_pickle=False)
        except (OSError, ValueError, MemoryError) as error:
            where = session.profile.name
            raise MeasurementError("its outputs cannot be read", where=where) from error
    if not values.size:
        raise MeasurementError("its outputs are empty", where=session.profile.name)
    with np.errstate(over="ignore"):  # what is too large is infinite, which is told
        return np.asarray(values, dtype=np.float32)
