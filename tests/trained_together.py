"""What one and two processes train alike, and the program that PyTorch's launcher starts twice."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import TensorDataset

from edgespiral.core.errors import DivergedError, TrainingError
from edgespiral.data.guard import guarded
from edgespiral.data.tensors import StoredRows
from edgespiral.data.user import splits_of
from edgespiral.distill import teacher_cache
from edgespiral.distill.evaluate import score
from edgespiral.distill.own_training import USUAL, TrainingStep
from edgespiral.distill.parallel import answers as parallel_answers
from edgespiral.distill.parallel import sharding
from edgespiral.distill.parallel.answers import answers
from edgespiral.distill.parallel.jobs import Job, hand_out, serve
from edgespiral.distill.parallel.world import World, among, joined
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.teacher_cache import kept_outputs
from edgespiral.distill.trainer import Objective, train
from edgespiral.models.saved import trace
from edgespiral.prune.prunable import PrunableModel
from edgespiral.spiral.planning.importance import Scorer
from edgespiral.spiral.workers.passes import FollowedPasses
from edgespiral.tasks.classification import CLASSIFICATION, Classification
from edgespiral.tasks.shared.own import OwnTask

SETTINGS = TrainSettings(
    epochs=4, batch_size=16, learning_rate=0.1, precision="fp32", seed=4, clip_norm=1.0
)
TRAININGS = {
    "live teacher": SETTINGS,
    "parts of batches": replace(SETTINGS, accumulate=2, ema_decay=0.5),
    "adamw": replace(SETTINGS, optimizer="adamw", learning_rate=1e-3),
    "a shared teacher": replace(SETTINGS, shards_teachers=True),
}
# Small layers are shared out by themselves here, as large ones are.
sharding.LEAST_WEIGHTS = 16
# As many bytes as no machine has.
TOO_MANY = 2**60


class Part(nn.Module):
    """A parameter that takes no part in the loss, beside some that do."""

    def __init__(self) -> None:
        super().__init__()
        # A bias before a norm has no gradient but rounding, which AdamW would make steps of.
        self.conv, self.norm = nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.idle, self.last = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, inputs):
        features = torch.relu(self.norm(self.conv(inputs))).mean((2, 3))
        return self.last(features), self.idle(features)


class First(nn.Module):
    """The first output alone, which leaves the layers of the other without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.both = Part()

    def forward(self, inputs):
        return self.both(inputs)[0]


class Middle(Classification):
    """A task of somebody's whose score is no mean over samples or batches."""

    def score_of(self, pairs):
        return float(torch.cat([outputs for outputs, _ in pairs]).median()) % 100


class Hungry(TrainingStep):
    """A step that asks for more memory than there is, in the second process."""

    def loss(self, student, batch, usual):
        if torch.distributed.is_initialized() and torch.distributed.get_rank() == 1:
            torch.empty(TOO_MANY, dtype=torch.uint8)
        return super().loss(student, batch, usual)


class Branched(nn.Module):
    """Several groups of channels, and a branch that can go."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.branch = nn.Sequential(
            nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 8, 3, padding=1), nn.BatchNorm2d(8),
        )  # fmt: skip
        self.second, self.last = nn.Conv2d(8, 6, 3), nn.Linear(6, 4)

    def forward(self, inputs):
        features = torch.relu(self.norm(self.first(inputs)))
        features = torch.relu(features + self.branch(features))
        return self.last(torch.relu(self.second(features)).mean((2, 3)))


def scored():
    """What channels and branches of a network are worth, and what its cuts do, in nats."""
    torch.manual_seed(3)
    inputs, model = torch.randn(600, 1, 6, 6), Branched()
    for _ in range(60):  # so that batch norms know what they are given
        model.train()(inputs)
    source = PrunableModel.of(trace(model.eval(), inputs[:4]), (1, 6, 6))
    train = StoredRows(inputs, torch.arange(600) % 4)
    scorer = Scorer("fisher", train, 40.0, 0, CLASSIFICATION)
    importance = scorer.importance(source, 1)
    widths = {group.name: 1 for group in source.groups}
    cuts = [{**widths, group.name: group.channels} for group in source.groups]
    gone = {**widths, **dict.fromkeys(source.branches[0].groups, 0)}
    damages = scorer.damage_of_cuts(source, importance, 1)([*cuts, gone])
    branches = torch.tensor([*importance.branches.values()])
    return {**importance.channels, "branches": branches, "damages": torch.tensor(damages)}


def splits(*, in_memory=False):
    """Rows that are sliced, or a data set of which each process reads its share alone."""
    generator = torch.Generator().manual_seed(1)
    inputs = 3 + torch.randn(64, 1, 6, 6, generator=generator)
    targets = torch.arange(64) % 4
    part = StoredRows(inputs, targets) if in_memory else TensorDataset(inputs, targets)
    parts = dict.fromkeys(("train", "validation", "test"), part)
    return splits_of({**parts, "classes": tuple("abcd")}, "toy")


def student(seed=0):
    torch.manual_seed(seed)
    return trace(First(), torch.zeros(4, 1, 6, 6))


def trained_alone(settings, checkpoint=None, progress=None):
    model = student()
    train(
        model,
        splits(),
        settings,
        Objective(CLASSIFICATION, teachers=[student(9)]),
        checkpoint=checkpoint,
        progress=progress,
    )
    return model


def held(world):
    """How many of its teacher's weights a process holds, of all."""
    teacher = student(9)
    [shared] = sharding.shared_out([teacher], world, torch.device("cpu"))
    return [sum(weight.to_local().numel() for weight in shared.parameters()), count(teacher)]


def count(model):
    return sum(weight.numel() for weight in model.parameters())


def press(_progress):
    """Ctrl-C, as it comes at a step that is reported."""
    signal.raise_signal(signal.SIGINT)


def begin(checkpoint):
    """Train in one process, and leave a checkpoint in the middle."""
    with contextlib.suppress(KeyboardInterrupt):
        trained_alone(SETTINGS, checkpoint, press)


class Recording:
    """A process of the world that remembers how much it gave."""

    def __init__(self, world) -> None:
        self.rank, self.size, self.given = world.rank, world.size, []
        self._world = world

    def give(self, share):
        self.given.append(len(share))
        self._world.give(share)


def follow(world: World, folder: Path) -> None:
    """What the second process does: it hears the first one's Ctrl-C, and dies in the end."""
    with contextlib.suppress(KeyboardInterrupt):
        serve(world, splits(in_memory=True), CLASSIFICATION, USUAL)
    recording = Recording(world)
    passes = FollowedPasses(recording, splits(), CLASSIFICATION)
    serve(world, splits(), CLASSIFICATION, USUAL, others=passes.answer)
    serve(world, splits(in_memory=True), CLASSIFICATION, USUAL)
    (folder / "given.json").write_text(json.dumps(recording.given), encoding="utf-8")
    try:
        serve(world, splits(), CLASSIFICATION, Hungry())
    except TrainingError as error:
        world.fail(str(error))
        sys.exit(9)


@contextlib.contextmanager
def small_memory():
    """Outputs of more than 500 bytes are for a disk, and asked in batches of 24."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teacher_cache, "BATCH", 24)
        for module in (parallel_answers, teacher_cache):
            patch.setattr(module, "MOST_BYTES", 500)
        yield


@dataclass
class Lead:
    """What the first process does."""

    world: World
    folder: Path
    held: list[int]

    def train(self, name, settings, own=USUAL, progress=None, *, in_memory=False, kept=()):
        job = Job(student(), settings, [student(9)], *kept)
        checkpoint = self.folder / f"{name}.pt"
        hand_out(self.world, job, checkpoint)
        data = splits(in_memory=in_memory)
        objective = Objective(CLASSIFICATION, teachers=job.teachers, outputs=job.outputs, own=own)
        train(
            *(job.student, data, settings, objective),
            checkpoint=checkpoint, progress=progress, world=self.world,
        )  # fmt: skip
        save_file(job.student.state_dict(), self.folder / f"{name}.safetensors")

    def ask(self, said):
        """Answers of both processes to batches of which the last is short, and scores of them."""
        model, data = trace(Part(), torch.zeros(4, 1, 6, 6)), guarded(splits())
        pairs = answers(self.world, model, data.train, batch_size=10, precision="fp32")
        save_file({"first": pairs[0], "second": pairs[1]}, self.folder / "answers.safetensors")
        save_file(model.state_dict(), self.folder / "asked.safetensors")
        with among(self.world):
            said["score"] = score(student(), data.validation, task=CLASSIFICATION, batch_size=24)
            with small_memory():
                said["score in runs"] = score(
                    student(), data.validation, task=CLASSIFICATION, batch_size=24
                )
            own = OwnTask(Middle())
            said["own score"] = score(student(), data.validation, task=own, batch_size=24)
            path = self.folder / "outputs.safetensors"
            kept_outputs(path, student(9), data.train)
            save_file(scored(), self.folder / "scored.safetensors")
        unnamed = answers(self.world, model, data.train.source, batch_size=10, precision="fp32")
        said["shared"] = [unnamed is not None]

    def keep(self):
        """Train by outputs that both processes wrote to a file, and by the same in memory."""
        data, path = guarded(splits(in_memory=True)), self.folder / "large.safetensors"
        with among(self.world), small_memory():
            outputs = kept_outputs(path, student(9), data.train).unsqueeze(0)
        self.train("by file", SETTINGS, in_memory=True, kept=(outputs, {}, path))
        self.train("by memory", SETTINGS, in_memory=True, kept=(outputs,))

    def run(self):
        said = {"held": self.held}
        with contextlib.suppress(KeyboardInterrupt):
            self.train("stopped", SETTINGS, progress=press, in_memory=True)
        for name, settings in TRAININGS.items():
            self.train(name, settings)
        self.train("of-one", SETTINGS)
        self.ask(said)
        try:
            self.train("diverged", replace(SETTINGS, learning_rate=1e30, clip_norm=None))
        except DivergedError as error:
            said["diverged"] = str(error)
        self.train("after", SETTINGS)
        self.world.end()
        self.keep()
        self.world.end()
        try:
            self.train("hungry", SETTINGS, Hungry())
        except TrainingError as error:
            said["hungry"] = f"{type(error).__name__}: {error}"
        (self.folder / "said.json").write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    with joined("cpu") as present:
        own = held(present)
        if present.is_first:
            Lead(present, Path(sys.argv[1]), own).run()
        else:
            follow(present, Path(sys.argv[1]))
