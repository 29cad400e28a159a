"""Racing the runtimes of a device, each held to what the file computes here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from edgespiral.core.errors import EdgeSpiralError, ExportError, ModelError
from edgespiral.core.nested import leaves
from edgespiral.core.system.temporary import work_folder
from edgespiral.export.graph import write_tapped
from edgespiral.export.nearness import first_beyond, output_parity
from edgespiral.export.parity import opened
from edgespiral.measure.racing.race import PASSES, race
from edgespiral.measure.runtimes.agent import AgentError, random_inputs
from edgespiral.measure.runtimes.agent_answer import ERRORS
from edgespiral.spiral.shipping.on_device import limits_for, outputs_here_and_there
from edgespiral.spiral.shipping.tapped_module import FILE, write_tapped_module

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from edgespiral.core.nested import Tensors
    from edgespiral.core.records.exported import OutputParity
    from edgespiral.core.records.measurement import Race
    from edgespiral.export.file_model import FileModel
    from edgespiral.export.nearness import ParityLimits
    from edgespiral.measure.racing.entrants import Entrant
    from edgespiral.measure.session import Session

    Judge = Callable[[Session, Path, str], OutputParity | None]

# Enough to tell another model; a race is to be quick.
RACE_SAMPLES = 16
# Of these each layer's output comes back.
FEW_SAMPLES = 2


def raced(
    model: Path,
    entrants: Sequence[Entrant],
    inputs: Sequence[Tensors],
    *,
    samples: str,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    passes: int = PASSES,
) -> Race:
    """Race `entrants`; one whose outputs on `inputs` are not those here has no figure.

    Args:
        model: an ONNX file of batch 1.
        entrants: on one device.
        inputs: samples of batch 1.
        samples: what these are, in words.
        shapes: as for `Session`.
        passes: as for `race`.

    Raises:
        ModelError: the file cannot be loaded here.
        DataError: the samples are not what the file takes.
        MeasurementError, TargetError, UsageError: as `race`.
    """
    file = loaded_model(model)
    file.require_takes(inputs[0], samples)
    return race(
        model, entrants, _judge(model, inputs), samples=samples, shapes=shapes, passes=passes
    )


def loaded_model(path: Path) -> FileModel:
    """Anybody's ONNX file, in a session of ONNX Runtime here.

    Raises:
        ModelError: the file cannot be loaded.
    """
    try:
        return opened(path)
    except ExportError as error:
        raise ModelError(error.what, where=error.where, hint=error.hint) from error


def made_up_inputs(
    model: Path, shapes: Mapping[str, tuple[int, ...]], count: int = RACE_SAMPLES
) -> list[Tensors]:
    """Random samples of batch 1 for an ONNX file, the same every time.

    Args:
        model: the file.
        shapes: of inputs that have no fixed one, by name; "" is the only input.
        count: how many samples.

    Raises:
        ModelError: the file cannot be loaded, or an input has no fixed shape, or one of another
            batch than 1.
    """
    entries = loaded_model(model).entries
    own_shapes = {name: list(shape) for name, shape in shapes.items()}
    try:
        drawn = [random_inputs(0, entries, own_shapes, seed) for seed in range(count)]
    except AgentError as error:
        problem = error.document
        kind = ERRORS[problem["kind"]]
        raise kind(problem["what"], where=str(model), hint=problem["hint"] or None) from error
    for entry in entries:
        shape = drawn[0][entry.name].shape
        if not shape or shape[0] != 1:
            raise ModelError(
                f"input {entry.name!r} is of shape {shape}, and outputs are compared for a batch "
                "of 1",
                where=str(model),
                hint="export it with batch 1, or give --shape 1x...",
            )
    return [_tensors(sample) for sample in drawn]


def _tensors(sample: Mapping[str, Any]) -> Tensors:
    tensors = {name: torch.from_numpy(values) for name, values in sample.items()}
    return tensors if len(tensors) > 1 else next(iter(tensors.values()))


def _judge(model: Path, inputs: Sequence[Tensors]) -> Judge:
    """Holds what a file computes on a device against what `model` computes here."""

    def judge(session: Session, file: Path, precision: str) -> OutputParity | None:
        pair = outputs_here_and_there(session, file, inputs, expected_of=model)
        if pair is None:
            return None
        here, there = pair
        if not all(bool(leaf.isfinite().all()) for leaf in leaves(there).values()):
            raise ExportError("its outputs are not finite")
        parity = output_parity(here, there)
        limits = limits_for(session.precision(file), session.profile.runtime.float_precision)
        found = first_beyond(limits, here, there)
        if found is not None:
            name, problem = found
            raise ExportError(
                f"{f'output {name}' if name else 'its output'} differs: {problem}, on "
                f"{parity.samples} samples in {precision}",
                hint=_first_diverging(session, file, inputs[:FEW_SAMPLES], limits),
            )
        return parity

    return judge


def _first_diverging(
    session: Session, model: Path, inputs: Sequence[Tensors], limits: ParityLimits
) -> str | None:
    """The first layer whose own output is too far from what it is here, in words.

    None where the runtime cannot be asked: it does not run a model that gives what is inside.
    """
    takes_modules = session.profile.capabilities.needs == "module"
    with work_folder() as folder:
        file = folder / FILE
        try:
            if takes_modules:
                layers = write_tapped_module(model.parent, folder, inputs[0])
            else:
                layers = list(write_tapped(model, file).values())
            pair = outputs_here_and_there(session, file, inputs) if layers else None
        except EdgeSpiralError:
            return None
    if pair is None:
        return None
    here, there = (list(leaves(outputs).values()) for outputs in pair)
    for layer, expected, output in zip(layers, here, there, strict=True):
        found = first_beyond(limits, expected, output)
        if found is not None:
            return f"the first layer whose output differs is {layer}: {found[1]}"
    return "no layer's output does so by itself"
