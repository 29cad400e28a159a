"""What cutting a teacher would lose, measured by one run and looked up by others."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import safetensors.torch

from edgespiral.core.errors import RunFolderError
from edgespiral.core.system.files import make_folder, replacing
from edgespiral.models.saved import weights_sha256
from edgespiral.prune.scoring.reconstruct import Moments
from edgespiral.spiral.planning.importance import Importance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.spiral.planning.importance import Scorer

CHANNELS, MEAN, COVARIANCE = "channels:", "mean:", "covariance:"
BRANCHES = "branches"


def kept_importance(
    folder: Path, scorer: Scorer, source: PrunableModel, turn: int, make: Callable[[], Importance]
) -> Importance:
    """The importance of `source` as it is kept in `folder`, or as `make` measures it, kept then.

    Args:
        folder: that runs share, on whatever data.
        scorer: which would measure it. What it measures is a function of it, the model's weights,
            the training samples as it is shown them and `turn`.
        source: what is scored.
        turn: that is about to cut it.
        make: measures it.

    Raises:
        RunFolderError: what is kept is damaged, or cannot be written.
    """
    path = make_folder(folder) / f"scores-{_identity(scorer, source, turn)}.safetensors"
    if path.is_file():
        return _read(path)
    importance = make()
    _write(path, importance)
    return importance


def _identity(scorer: Scorer, source: PrunableModel, turn: int) -> str:
    facts = [
        *(weights_sha256(source.model), scorer.criterion, scorer.epochs, scorer.seed, turn),
        # Runs in one folder may differ in their data, and in whether they show views of them.
        *(scorer.shown_sha256(turn), len(scorer.train), scorer.task_name, scorer.task.metric.name),
        [group.name for group in source.groups],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _write(path: Path, importance: Importance) -> None:
    tensors = {f"{CHANNELS}{name}": scores for name, scores in importance.channels.items()}
    for name, moments in importance.moments.items():
        tensors |= {f"{MEAN}{name}": moments.mean, f"{COVARIANCE}{name}": moments.covariance}
    written = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        metadata = {BRANCHES: json.dumps(importance.branches)}
        temporary.write_bytes(safetensors.torch.save(written, metadata=metadata))


def _read(path: Path) -> Importance:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            branches = json.loads((file.metadata() or {})[BRANCHES])
        means, covariances = _of(MEAN, tensors), _of(COVARIANCE, tensors)
        moments = {name: Moments(mean, covariances[name]) for name, mean in means.items()}
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise RunFolderError(
            "the kept scores are damaged", where=str(path), hint="delete the file"
        ) from error
    return Importance(_of(CHANNELS, tensors), branches, moments)


def _of(kind: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(kind): tensor for name, tensor in tensors.items() if name.startswith(kind)
    }
