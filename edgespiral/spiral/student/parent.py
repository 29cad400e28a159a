"""The model that a turn starts from: trained for sparse scales if the criterion asks, and scored.

Network slimming (Liu et al. 2017, section 3) reads a channel's worth from its batch norm's scaling
factor after training with an L1 penalty on these. NNI's SlimPruner adds factors and an optimiser of
its own to a training loop that it has to own, which could not be resumed at a batch; so the penalty
is a setting of the trainer here, and the criterion `l1-reg` reads the scales.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import safetensors.torch

from edgespiral.core.errors import RunFolderError
from edgespiral.core.seeds import derived_seed
from edgespiral.core.system.files import make_folder, replacing
from edgespiral.core.text import described
from edgespiral.distill.batchnorm import batchnorm_scales, recalibrate_batchnorm
from edgespiral.distill.settings import DEFAULTS
from edgespiral.models.fixed import train_all
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.spiral.context import Parent, turn_folder
from edgespiral.spiral.sharing.scores import kept_importance
from edgespiral.spiral.student.distillation import WARM_RATE_SHARE

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from edgespiral.distill.settings import TrainSettings
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.spiral.context import Stopwatch
    from edgespiral.spiral.planning.importance import Importance, Scorer
    from edgespiral.spiral.student.distillation import Distiller

# Batches that batch norms see anew after a cut.
RECALIBRATION_BATCHES = 30
SLIMMED, CHECKPOINT = "slimmed.safetensors", "slimming.pt"
# Of the run's epochs over one more than its turns, for the training of one parent.
SLIMMING_SHARE = 0.2
# The penalty is reckoned from how far SGD moves a scale.
OPTIMIZER = "sgd"


def slimming_epochs(criterion: str, epochs: float, turns: int | Literal["auto"]) -> float:
    """Epochs of training for sparse scales before a turn, which come out of the turn's own.

    Args:
        criterion: a name of `CRITERIA`.
        epochs: of the whole run.
        turns: as the plan has them.
    """
    if not CRITERIA.get(criterion).trains_scales:
        return 0.0
    least_turns = 1 if turns == "auto" else turns
    return SLIMMING_SHARE * epochs / (least_turns + 1)


@dataclass(frozen=True)
class Parents:
    """Makes the models that turns start from.

    Attributes:
        scorer: says what cutting them would lose.
        distiller: trains them, where the criterion asks for it.
        slimming_epochs: of such a training; 0 for none.
        out: the run folder.
        shared: where runs of one teacher share its scores, if they do.
    """

    scorer: Scorer
    distiller: Distiller
    slimming_epochs: float
    out: Path
    shared: Path | None = None

    def parent(
        self, turn: int, model: PrunableModel, watch: Stopwatch, *, next_turn: int
    ) -> Parent:
        """The parent of `next_turn`: `model`, which `turn` made, ready to be scored and cut.

        Raises:
            TrainingError: training for sparse scales diverged; the last good state is kept.
        """
        source = model
        if self.slimming_epochs:
            with watch.timing("slim"):
                source = self._slimmed(turn, model)
        return Parent(turn, source, partial(self._scored, source, turn, next_turn), model.model)

    def _scored(self, source: PrunableModel, turn: int, next_turn: int) -> Importance:
        measure = partial(self._measured, source, next_turn)
        if self.shared is None or turn or self.slimming_epochs:
            return measure()
        return kept_importance(self.shared, self.scorer, source, next_turn, measure)

    def _measured(self, source: PrunableModel, next_turn: int) -> Importance:
        with self.distiller.listener.steps("scoring channels") as advance:
            return self.scorer.importance(source, next_turn, advance)

    def _slimmed(self, turn: int, model: PrunableModel) -> PrunableModel:
        """`model` after training with the penalty, once a parent and then read from its folder."""
        folder = make_folder(turn_folder(self.out, turn))
        done = folder / SLIMMED
        slim = copy.deepcopy(model.model)
        train_all(slim)
        if not done.exists():
            self._slim(turn, slim, model)
            # Scales moved faster than the running statistics could follow.
            recalibrate_batchnorm(
                slim, self.scorer.train, batches=RECALIBRATION_BATCHES, seed=self.scorer.seed
            )
            with replacing(done) as temporary:
                state = {k: v.detach().clone().contiguous() for k, v in slim.state_dict().items()}
                temporary.write_bytes(safetensors.torch.save(state))
            (folder / CHECKPOINT).unlink(missing_ok=True)
        try:
            slim.load_state_dict(safetensors.torch.load_file(done))
        except (safetensors.SafetensorError, OSError, RuntimeError) as error:
            raise RunFolderError(
                f"is damaged: {described(error)}",
                where=str(done),
                hint="delete it to train it afresh",
            ) from error
        return replace(model, model=slim)

    def _slim(self, turn: int, slim: nn.Module, model: PrunableModel) -> None:
        settings = self._settings(turn, slim)
        self.distiller.train(
            slim,
            settings,
            teaching=self.distiller.teaching(turn, model.model, epochs=settings.epochs),
            checkpoint=turn_folder(self.out, turn) / CHECKPOINT,
            label="training for sparse scales",
        )

    def _settings(self, turn: int, slim: nn.Module) -> TrainSettings:
        settings = self.distiller.settings(
            epochs=self.slimming_epochs,
            seed=derived_seed(self.scorer.seed, turn, 2),
            rate_share=WARM_RATE_SHARE,
        )
        if settings.optimizer != OPTIMIZER:
            rate = WARM_RATE_SHARE * DEFAULTS[OPTIMIZER].student_rate
            settings = replace(settings, optimizer=OPTIMIZER, learning_rate=rate)
        return replace(settings, scale_l1=_penalty(settings, slim, len(self.scorer.train)))


def _penalty(settings: TrainSettings, model: nn.Module, samples: int) -> float:
    """The weight at which a scale of average size that the loss does not hold ends at 0.

    Liu et al. set 1e-4 or 1e-5 by hand for 160 epochs; what it does depends on rate and steps.
    """
    steps = max(1, round(settings.epochs * (samples // settings.batch_size)))
    travel = sum(settings.rate_at(step, steps) for step in range(steps))
    scales = batchnorm_scales(model)
    total = sum(float(scale.detach().abs().sum()) for scale in scales)
    mean = total / max(1, sum(scale.numel() for scale in scales))
    return mean * (1 - settings.momentum) / travel
