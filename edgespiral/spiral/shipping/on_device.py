"""Whether a file computes on its device what it computes here.

Kernels differ: x86 without VNNI adds two 8-bit products in 16 bits, which saturates, and other
providers round in other places. A score here says nothing of such a device.
"""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from edgespiral.core.errors import ExportError, MeasurementError
from edgespiral.core.nested import apart, count, joined, leaves, mapped, rows
from edgespiral.core.records.exported import DeviceCheck
from edgespiral.core.records.parts import part_files
from edgespiral.data.stratified import stratified
from edgespiral.export.file_model import read_arrays, write_arrays
from edgespiral.export.nearness import ParityLimits, compared, differing
from edgespiral.export.parity import opened
from edgespiral.measure.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.tasks.base import Task

    Values = NDArray[Any]

# What other orders of sums and other roundings of ties make of one and the same file.
LIMITS: dict[Precision, ParityLimits] = {
    "fp32": ParityLimits(least_sqnr_db=40.0, least_agreement=0.98),
    "fp16": ParityLimits(least_sqnr_db=30.0, least_agreement=0.95),
    "int8": ParityLimits(least_sqnr_db=20.0, least_agreement=0.95),
}
# Where nothing else is said, as in a plan.
DEVICE_SAMPLES = 512
# More is not sent to a device; large inputs are fewer samples then.
MOST_INPUT_BYTES = 64 * 2**20
# Of what is right, beyond what two standard deviations of chance explain.
MOST_LOST = 0.01
SIGMAS = 2.0
# Kinds of NumPy's types.
NUMBERS = "biuf"
SILENT = "its runtime does not tell what a model computes"
IN_PARTS = "it runs in parts, which are compared with PyTorch on this machine alone"
HINTS: dict[Precision, str] = {
    "fp32": "try another provider or version of the device's runtime",
    "fp16": "ship fp32, or try another provider or version of the device's runtime",
    "int8": "x86 without VNNI adds two 8-bit products in 16 bits, which saturates: ship fp32, or "
    "name a device or runtime that does not",
}


def limits_for(precision: Precision, float_precision: str) -> ParityLimits:
    """How near a device's outputs are to be to those here.

    Args:
        precision: of the file.
        float_precision: that the device computes a float32 file in, in its runtime's words. bf16,
            fp16 and weights alone in 8 bits are alike, as far as these limits go.
    """
    if precision != "fp32" or float_precision == "fp32":
        return LIMITS[precision]
    return LIMITS["int8" if float_precision.startswith("int8") else "fp16"]


def check_on(
    profile: TargetProfile,
    path: Path,
    data: DataSplits,
    samples: int,
    task: Task,
) -> DeviceCheck:
    """As `check_on_device`, on a session of its own, which only a runtime that can tell gets.

    Raises:
        As `check_on_device`.
    """
    if not profile.tells_outputs:
        return DeviceCheck(target=profile.name, not_checked=SILENT)
    with Session(profile) as session:
        return check_on_device(session, path, data, samples, task)


def check_on_device(
    session: Session,
    path: Path,
    data: DataSplits,
    samples: int,
    task: Task,
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
    if part_files(path):
        return DeviceCheck(target=target, not_checked=IN_PARTS)
    inputs, targets = _drawn(data, samples)
    pair = outputs_here_and_there(session, path, inputs)
    if pair is None:
        return DeviceCheck(target=target, not_checked=SILENT)
    expected, outputs_there = pair
    targets = rows(targets, slice(count(outputs_there)))
    if not all(bool(leaf.isfinite().all()) for leaf in leaves(outputs_there).values()):
        what = f"on {target}: outputs there are not finite"
        raise _wrong(path, what, session.precision(path))
    scores = [task.score_of([(outputs, targets)]) for outputs in (outputs_there, expected)]
    metric = task.metric
    what = (
        f"on {target} the {metric.name} is {metric.text(scores[0])} of {count(targets)} samples, "
    )
    what += f"{metric.text(scores[1])} here"
    precision = session.precision(path)
    parity = compared(expected, outputs_there, task)
    limits = limits_for(precision, session.profile.runtime.float_precision)
    problem = differing(limits, expected, outputs_there, parity)
    right_here, right_there = (
        task.rightness(outputs, targets) for outputs in (expected, outputs_there)
    )
    if problem is None and _is_less_right(right_here, right_there):
        problem = "that is more than chance explains"
    if problem is not None:
        agreement = f"decisions agree on {parity.agreement:.1%}"
        raise _wrong(path, f"{what}; {agreement}: {problem}", precision)
    return DeviceCheck(target=target, parity=parity, score=scores[0], score_here=scores[1])


def outputs_here_and_there(
    session: Session,
    path: Path,
    inputs: Sequence[Tensors],
    *,
    expected_of: Path | None = None,
) -> tuple[Tensors, Tensors] | None:
    """What a file computes here and on a device, of as many of the samples as that had time for.

    Args:
        path: of batch 1.
        inputs: samples of batch 1.
        expected_of: the file that is run here; `path` itself if None.

    Returns:
        Both (n, ...) and alike; None where the device's runtime does not tell.

    Raises:
        ExportError: it cannot be run here.
        ModelError, MeasurementError, TargetError: the device did not answer, or not as it should.
    """
    outputs_there = _outputs_there(session, path, inputs)
    return (
        None
        if outputs_there is None
        else _alike(session, expected_of or path, inputs, outputs_there)
    )


def _wrong(path: Path, what: str, precision: Precision) -> ExportError:
    return ExportError(what, where=str(path), hint=HINTS[precision])


def _is_less_right(here: Tensor, there: Tensor) -> bool:
    """Whether the device is wrong more often, by the samples on which the two disagree."""
    lost, won = (float(more.clamp_min(0).sum()) for more in (here - there, there - here))
    return lost - won > max(MOST_LOST * len(here), SIGMAS * math.sqrt(lost + won))


def _drawn(data: DataSplits, samples: int) -> tuple[Sequence[Tensors], Tensors]:
    """Inputs of batch 1 with their targets, in an order in which the first of them will do too.

    They are evenly apart where there are more classes than those.
    """
    source = data.validation
    first, _ = next(iter(source.epoch(batch_size=1)))
    fitting = max(1, MOST_INPUT_BYTES // sum(leaf.nbytes for leaf in leaves(first).values()))
    number = min(samples, len(source), fitting)
    if number >= len(data.class_names):
        drawn = stratified(source, number, seed=0, where=f"{data.name}: validation")
        pairs = list(zip(drawn.inputs, apart(drawn.targets), strict=True))
    else:
        step = math.ceil(len(source) / number)
        pairs = list(islice(source.epoch(batch_size=1), 0, None, step))
    order = np.random.default_rng(0).permutation(len(pairs))
    return [pairs[at][0] for at in order], joined([pairs[at][1] for at in order])


def _alike(
    session: Session, path: Path, inputs: Sequence[Tensors], outputs_there: Mapping[str, Values]
) -> tuple[Tensors, Tensors]:
    """What is expected of the samples that the device had time for, and what it said of them."""
    file = opened(path)
    number = min(len(values) for values in outputs_there.values())
    expected = joined([file.run(sample) for sample in inputs[:number]])
    there = mapped(lambda own, output: own.to(output.dtype), file.formed(outputs_there), expected)
    for own, output in zip(leaves(there).values(), leaves(expected).values(), strict=True):
        if own.shape != output.shape:
            what = f"its outputs are {tuple(own.shape)}, {tuple(output.shape)} are expected"
            raise MeasurementError(what, where=session.profile.name)
    return expected, there


def _outputs_there(
    session: Session, path: Path, inputs: Sequence[Tensors]
) -> Mapping[str, Values] | None:
    """What the device computes of the first samples, by output."""
    file = opened(path)
    fed = [file.feeds(sample) for sample in inputs]
    samples = {name: np.concatenate([feed[name] for feed in fed]) for name in fed[0]}
    with TemporaryDirectory(prefix="edgespiral-") as folder:
        inputs_file = Path(folder) / "inputs.npy"
        write_arrays(inputs_file, samples)
        files = session.outputs([path], inputs_file, Path(folder))
        if files is None:
            return None
        try:
            outputs = read_arrays(files[0], file.outputs)
        except (OSError, ValueError, MemoryError, BadZipFile) as error:
            where = session.profile.name
            raise MeasurementError("its outputs cannot be read", where=where) from error
    if set(outputs) != set(file.outputs):
        raise MeasurementError("its outputs are others", where=session.profile.name)
    if not all(values.size and values.ndim for values in outputs.values()):
        raise MeasurementError("its outputs are empty", where=session.profile.name)
    if any(values.dtype.kind not in NUMBERS for values in outputs.values()):
        raise MeasurementError("its outputs are no numbers", where=session.profile.name)
    return outputs
