"""Layers of an int8 model back to float until it is accurate enough, the cheapest help first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgespiral.core.errors import ExportError, UsageError
from edgespiral.core.exported import RestoredLayer
from edgespiral.core.temporary import work_folder
from edgespiral.export.int8.sensitivity import damages
from edgespiral.export.parity import file_accuracy
from edgespiral.measure.engine_files import require_timing
from edgespiral.measure.session import Session
from edgespiral.report import formats
from edgespiral.spiral.student.precision import form_of, measuring

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgespiral.core.batches import BatchSource
    from edgespiral.core.listener import Listener
    from edgespiral.export.int8.calibration import Calibrated
    from edgespiral.measure.profile import TargetProfile

# Of the most damaging layers so many are timed in float, and so many put back before looking again.
TIMED = 8
A_PASS = 4
ROUNDS = 40
# Of the model's latency: what these rounds cannot tell from nothing, and some layers measure as
# quicker in float. Without it those would go back first, whatever they win.
LEAST_COST = 0.01


@dataclass(frozen=True)
class FloatFallback:
    """What layers are put back for, and with what.

    Attributes:
        made: the int8 model in the making.
        validation: what accuracy is of.
        floor: validation accuracy to reach, in percent.
        session: on the target, where the cost of float is measured.
    """

    made: Calibrated
    validation: BatchSource
    floor: float
    session: Session
    listener: Listener

    def run(self, accuracy: float) -> tuple[RestoredLayer, ...]:
        """The layers that go back to float; they end where the floor holds, or no layer is left.

        Greedy: of the layers whose rounding moves the outputs most, those with most of that per
        millisecond that float costs there come first, one at a time.

        Args:
            accuracy: of the int8 file on validation, with no layer restored.

        Raises:
            ExportError: a file cannot be written or run.
            MeasurementError, TargetError: the device did not answer.
        """
        restored: list[RestoredLayer] = []
        while accuracy < self.floor:
            kept = [layer.layer for layer in restored]
            with self.listener.steps("rounding's damage by layer") as advance:
                found = damages(self.made, kept, advance)
            if not found:
                break
            with work_folder() as folder:
                priced = self._priced(found[:TIMED], restored, folder)
                # One at least stays in int8, or the file would be the float one.
                for layer in priced[: min(A_PASS, len(found) - 1)]:
                    accuracy = self._put_back(layer, restored, accuracy, folder)
                    if accuracy >= self.floor:
                        break
        return tuple(restored)

    def _put_back(
        self, layer: RestoredLayer, restored: list[RestoredLayer], before: float, folder: Path
    ) -> float:
        """The accuracy with `layer` in float too, which is added to `restored`."""
        path = folder / "restored.onnx"
        self.made.write(path, [layer.layer, *(other.layer for other in restored)])
        accuracy = file_accuracy(path, self.validation)
        restored.append(layer.model_copy(update={"accuracy_gain": accuracy - before}))
        self.listener.say(f"  in float: {formats.restored(restored[-1])}")
        return accuracy

    def _priced(
        self,
        layers: Sequence[tuple[str, float]],
        restored: Sequence[RestoredLayer],
        folder: Path,
    ) -> list[RestoredLayer]:
        """Each layer with the milliseconds that float costs there, most help per ms first."""
        kept = [layer.layer for layer in restored]
        whole = folder / "whole.onnx"
        self.made.write(whole, kept)
        files = [folder / f"{number}.onnx" for number in range(len(layers))]
        for (layer, _), file in zip(layers, files, strict=True):
            self.made.write(file, [*kept, layer])
        measured = self.session.compare(whole, files, rounds=ROUNDS)
        priced = [
            RestoredLayer(
                layer=layer,
                damage_nats=damage,
                # In pairs, which a drift of the machine does not touch.
                cost_ms=found.stats.p50_ms * (1 - ratio.value),
                accuracy_gain=0.0,
            )
            for (layer, damage), (found, ratio) in zip(layers, measured, strict=True)
        ]
        least_ms = LEAST_COST * min(found.stats.p50_ms for found, _ in measured)
        return sorted(priced, key=lambda p: -p.damage_nats / max(p.cost_ms, least_ms))


@dataclass(frozen=True)
class Held:
    """Validation accuracies, in percent, and what it took to keep the second near the first."""

    float_accuracy: float
    accuracy: float
    restored: tuple[RestoredLayer, ...]


def hold(
    made: Calibrated,
    path: Path,
    validation: BatchSource,
    max_drop: float,
    *,
    profile: TargetProfile,
    listener: Listener,
) -> Held:
    """Write the int8 file `path` with as many layers in float as it takes to lose `max_drop`.

    Args:
        max_drop: points of validation accuracy that may be lost against the float file.
        profile: the target, on which the cost of float is measured if any is needed.

    Raises:
        UsageError: the target runs another form of int8 files.
        ExportError: even a single layer in int8 loses more, or a file cannot be written or run.
        MeasurementError, TargetError: the device did not answer.
    """
    require_timing(profile)
    if form_of(profile) != made.form:
        raise UsageError(
            f"{profile.name} runs the {form_of(profile)} form, this is {made.form}",
            where="--target",
            hint="name a target of that runtime, or another --runtime",
        )
    made.write(path)
    before, accuracy = (file_accuracy(file, validation) for file in (made.source, path))
    floor = before - max_drop
    restored: tuple[RestoredLayer, ...] = ()
    if accuracy < floor:
        listener.say(f"int8 has {accuracy:.2f} % of {before:.2f} %, {floor:.2f} % are wanted")
        with Session(measuring(profile)) as session:
            restored = FloatFallback(made, validation, floor, session, listener).run(accuracy)
        accuracy += sum(layer.accuracy_gain for layer in restored)
        made.write(path, [layer.layer for layer in restored])
    if accuracy < floor:
        path.unlink(missing_ok=True)
        raise ExportError(
            f"int8 has {accuracy:.2f} % with all layers but one in float, {floor:.2f} % are wanted",
            where=str(path),
            hint="allow a larger --max-drop, or keep the float model",
        )
    return Held(before, accuracy, restored)
