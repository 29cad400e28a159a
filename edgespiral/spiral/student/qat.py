"""What a turn does where rounding to int8 costs its student too much.

First it trains on with the rounding inside, which costs no latency; layers go back to float only
where the score floor is still not held.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgespiral.core.batches import first_inputs
from edgespiral.core.errors import ExportError, TrainingError
from edgespiral.core.records.exported import QuantisedTraining
from edgespiral.core.seeds import derived_seed
from edgespiral.core.system.files import make_folder
from edgespiral.distill.evaluate import score
from edgespiral.export.int8.calibration import prepare
from edgespiral.export.int8.fake_quant import add_rounding, folded, remove_rounding
from edgespiral.export.nearness import ParityLimits
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import LIMITS
from edgespiral.export.precision import (
    PARITY_SAMPLES,
    float_twin,
    validation_samples,
    write_checked,
)
from edgespiral.models.saved import save_model
from edgespiral.spiral.student.float_fallback import FloatFallback

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn
    from torch.fx import GraphModule

    from edgespiral.core.records.exported import RestoredLayer
    from edgespiral.distill.settings import TrainSettings
    from edgespiral.export.int8.calibration import Calibrated
    from edgespiral.spiral.context import RunContext
    from edgespiral.spiral.student.distillation import Teaching

# Points below the float student from which `auto` trains with the rounding.
TOLERANCE = 0.3
# Of what may be lost, where that is not in points.
TOLERANCE_SHARE = 0.15
# Of the run's epochs, on top of them.
EPOCHS_SHARE = 0.25
# The rate of distillation is for a network whose batch norms are still there.
RATE_SHARE = 0.1
FOLDER = "int8"
ROUNDED_WEIGHT = "parametrizations.weight.original"
# The file against the model that was trained with the file's own rounding: only the order of sums
# and the rounding of ties differ.
TRAINED = ParityLimits(least_sqnr_db=20.0, least_agreement=0.95)


@dataclass(frozen=True)
class Shipped:
    """What a turn ships: files in `folder`, the model they were made from, and their scores.

    Attributes:
        float_score: the score of `model` on validation.
        score: of `folder / "model.onnx"`.
    """

    folder: Path
    model: GraphModule
    float_score: float
    score: float
    training: QuantisedTraining | None = None
    restored: tuple[RestoredLayer, ...] = ()


@dataclass(frozen=True)
class ScoreRecovery:
    """The means to win back what rounding has cost.

    Attributes:
        teaching: of the turn.
        turn: its number.
        floor: validation score that the run is to hold.
        last: whether the turn aims at the budget.
        masks: of weights that stay zero, by parameter name.
    """

    context: RunContext
    teaching: Teaching
    turn: int
    floor: float
    last: bool
    masks: Mapping[str, Tensor] = field(default_factory=dict)

    def win_back(self, first: Shipped, calibrated: Calibrated) -> Shipped:
        """The best int8 form of a student that was quantised after training.

        Raises:
            TrainingError: training diverged; the last good state is kept.
            ExportError: a file cannot be written or is wrong.
            MeasurementError, TargetError: the device did not answer.
        """
        best = first
        if self._to_train(first):
            best, calibrated = self._trained(first, calibrated)
        if self._crosses(best):
            best = self._restored(best, calibrated)
        return best

    def _to_train(self, first: Shipped) -> bool:
        wanted = self.context.plan.qat
        if wanted != "auto":
            return wanted == "always" and self.last
        metric = self.context.task.metric
        tolerance = (
            TOLERANCE if metric.unit == "%" else TOLERANCE_SHARE * self.context.plan.max_drop
        )
        short = metric.lost(first.float_score, first.score) > tolerance
        return (short and self.last) or self._crosses(first)

    def _crosses(self, shipped: Shipped) -> bool:
        """Whether rounding is what crosses the floor."""
        holds = self.context.task.metric.holds
        return holds(shipped.float_score, self.floor) and not holds(shipped.score, self.floor)

    def _trained(self, first: Shipped, calibrated: Calibrated) -> tuple[Shipped, Calibrated]:
        say, metric = self.context.listener.say, self.context.task.metric
        say(
            f"  int8 takes {metric.text(first.score)} of {metric.text(first.float_score)}: "
            "training on with its rounding"
        )
        folder = make_folder(first.folder / FOLDER)
        epochs = EPOCHS_SHARE * self.context.plan.epochs
        try:
            model, retrained = self._train(first.model, folder, epochs)
        except (ExportError, TrainingError) as error:
            if self.context.plan.qat == "always":
                raise
            say(f"  it cannot be trained with its rounding: {error}")
            return first, calibrated
        validation, task = self.context.splits.validation, self.context.task
        after = self.context.file_scores.of(folder / "model.onnx")
        is_better = metric.lost(first.score, after) < 0
        say(f"  {metric.text(after)} after it" + ("" if is_better else ": left as it was"))
        training = QuantisedTraining(
            epochs=epochs, score_before=first.score, score_after=after, kept=is_better
        )
        if not is_better:
            return replace(first, training=training), calibrated
        float_score = score(model, validation, task=task, precision="fp32")
        return Shipped(folder, model, float_score, after, training), retrained

    def _train(
        self, student: GraphModule, folder: Path, epochs: float
    ) -> tuple[GraphModule, Calibrated]:
        """Train a copy of `student` with the rounding of its int8 file, and write that file anew.

        The ranges are those of calibration before, so that what ran in training is what ships.
        """
        context, path = self.context, folder / "model.onnx"
        model, source = folded(student), float_twin(path)
        example = first_inputs(context.splits, 1)
        export_onnx(model, source, example=example, output=context.task.output_name)
        precisions = context.precisions
        calibrated = prepare(
            source,
            context.splits,
            precisions.recipe,
            form=precisions.form,
            known_data=True,
            task=context.task,
        )
        calibrated.write(path)
        add_rounding(model, calibrated, path)
        context.distiller.train(
            model,
            self._settings(epochs),
            teaching=self.teaching,
            checkpoint=folder / "checkpoint.pt",
            masks=_masks_within(model, self.masks),
            label="distilling with the rounding of int8",
        )
        remove_rounding(model)
        export_onnx(model, source, example=example, output=context.task.output_name)
        calibrated.write(path)
        add_rounding(model, calibrated, path)
        samples = validation_samples(context.splits, PARITY_SAMPLES)
        write_checked(model, calibrated, path, samples, limits=TRAINED)
        remove_rounding(model)
        save_model(model, folder)
        return model, calibrated

    def _settings(self, epochs: float) -> TrainSettings:
        seed = derived_seed(self.context.plan.seed, self.turn, 3)
        settings = self.context.distiller.settings(epochs=epochs, seed=seed, rate_share=RATE_SHARE)
        # Half precision rounds as coarsely as int8 does.
        return replace(settings, precision="fp32")

    def _restored(self, best: Shipped, calibrated: Calibrated) -> Shipped:
        context = self.context
        metric = context.task.metric
        context.listener.say(f"  int8 crosses the {metric.name} floor of {metric.text(self.floor)}")
        path = best.folder / "model.onnx"
        samples = validation_samples(context.splits, PARITY_SAMPLES)
        # Weights that were trained with rounding are not meant to be run without it.
        trained = best.training is not None and best.training.kept
        limits = ParityLimits() if trained else LIMITS["int8"]
        restored = FloatFallback(
            calibrated,
            context.file_scores,
            samples,
            self.floor,
            context.session,
            context.listener,
            limits,
        ).run()
        write_checked(best.model, calibrated, path, samples, restored.layers, limits=limits)
        return replace(best, score=restored.score, restored=restored.layers)


def _masks_within(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Masks by the names that weights have while a parametrisation rounds them."""
    names = dict(model.named_parameters(remove_duplicate=False))
    rounded_names = {name: name.removesuffix("weight") + ROUNDED_WEIGHT for name in masks}
    return {
        rounded_names[name] if rounded_names[name] in names else name: mask
        for name, mask in masks.items()
    }
