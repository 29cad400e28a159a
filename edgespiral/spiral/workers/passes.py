"""Passes of scoring that all processes of a run take part in.

The first process hands out the model that is scored, once; then it asks about batches and variants
of it, of which each process takes every so many-th, as it would alone. What a process does not
answer, because it has built another model, the first one does itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import safetensors.torch
import torch

from edgespiral.core.batches import first_inputs
from edgespiral.core.nested import count
from edgespiral.core.system.files import make_folder, write_text, writing
from edgespiral.core.system.temporary import work_folder
from edgespiral.distill import compute
from edgespiral.distill.parallel.answers import can_travel
from edgespiral.distill.parallel.outputs import read_outputs, write_outputs
from edgespiral.distill.parallel.world import present
from edgespiral.models.saved import load_model, save_model, trace
from edgespiral.prune.branches import find_branches
from edgespiral.prune.groups import ChannelGroup, Slot
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.prune.scoring.criteria.base import Evidence
from edgespiral.prune.scoring.divergence import OutputDivergence
from edgespiral.prune.scoring.reconstruct import Moments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor
    from torch.fx import GraphModule

    from edgespiral.core.batches import DataSplits
    from edgespiral.core.nested import Tensors
    from edgespiral.distill.parallel.world import World
    from edgespiral.distill.settings import Resolved
    from edgespiral.prune.branches import Branch
    from edgespiral.prune.prunable import PrunableModel
    from edgespiral.prune.scoring.variants import Variant
    from edgespiral.tasks.base import Task

    Labelled = tuple[Tensors, Tensors]
    Said = dict[str, Tensor]

ASKED, MODEL, MOMENTS, BATCH = "passes.json", "model", "moments.safetensors", "batch-{:04}"
# Of the files of batches, which are another's in no case.
IDENTITY = "passes"
# What is asked, and of an answer: samples, and how far they were moved.
SOURCE, SCORES, DAMAGE, VARIANTS = "source", "scores", "damage", "variants"
SAMPLES, MOVED = ":samples", ":moved"
MEAN, COVARIANCE = "mean:", "covariance:"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class SharedPasses:
    """Has the other processes take part in the passes of a model; see `begun`.

    Attributes:
        world: the processes.
        source: what is scored; the others have its model, groups and branches.
    """

    world: World
    source: PrunableModel

    @classmethod
    def begun(cls, source: PrunableModel, precision: Resolved) -> SharedPasses | None:
        """Hand out `source`, in the first process; None where there is no other or it cannot go.

        Args:
            source: traced, on the CPU.
            precision: that passes run in.

        Raises:
            ModelError: the model cannot be written as source.
            ProcessLostError: another process is gone.
        """
        world = present()
        if world.size == 1 or not can_travel(source.model):
            return None
        passes = cls(world, source)
        stated = {
            "precision": precision,
            "groups": [_stated_group(group) for group in source.groups],
            "branches": [_stated_branch(branch) for branch in source.branches],
        }

        def write(folder: Path) -> None:
            save_model(source.model, make_folder(folder / MODEL))

        passes._ask(SOURCE, stated, write)
        return passes

    def scores(
        self, criterion: str, batches: Sequence[Labelled], seed: int, task: Task
    ) -> dict[str, Tensor]:
        """What `criterion`, whose scores are a mean over samples, says of all batches.

        Raises:
            DataError, ModelError: as `Criterion.score`.
            ProcessLostError: another process is gone, or has failed; its own words then.
        """
        self._ask(SCORES, {"criterion": criterion, "seed": seed}, partial(_write_pairs, batches))
        model, groups = self.source.model, self.source.groups

        def share(rank: int) -> Said:
            own = batches[rank :: self.world.size]
            evidence = Evidence(own, seed, losses=task.sample_losses)
            return _scores(model, groups, criterion, evidence) if own else {}

        shares = [said for said in self._each(share) if said]
        samples = sum(float(said[SAMPLES]) for said in shares)
        return {
            group.name: torch.stack([said[group.name] for said in shares]).sum(0) / samples
            for group in groups
        }

    def measure(self, inputs: Sequence[Tensors], moments: Mapping[str, Moments]) -> None:
        """Have the others prepare for the variants of a divergence on `inputs`, with `moments`.

        Raises:
            ProcessLostError: another process is gone.
        """

        def write(folder: Path) -> None:
            with writing(folder / MOMENTS):
                content = safetensors.torch.save(_stated_moments(moments))
                (folder / MOMENTS).write_bytes(content)
            _write_batches(inputs, folder)

        self._ask(DAMAGE, {}, write)

    def moved(
        self, index: int, variants: Sequence[Variant], own: Callable[[Sequence[Variant]], Tensor]
    ) -> Tensor:
        """How far each variant moves each sample of a batch: (variants, samples).

        Args:
            index: of the batch, among the inputs that `measure` was given.
            variants: of the source.
            own: what this process says of some of them.

        Raises:
            ProcessLostError: another process is gone, or has failed; its own words then.
        """
        widths = {group.name: group.channels for group in self.source.groups}
        stated = [_stated_variant(variant, widths) for variant in variants]
        self._ask(VARIANTS, {"index": index, "variants": stated})
        size = self.world.size
        rows = list(self._each(lambda rank: {MOVED: own(variants[rank::size])}))
        moved = torch.zeros(len(variants), rows[0][MOVED].shape[1], dtype=torch.double)
        for rank, said in enumerate(rows):
            moved[rank::size] = said[MOVED]
        return moved

    def _ask(
        self, what: str, stated: Mapping[str, Any], write: Callable[[Path], None] = lambda _: None
    ) -> None:
        with work_folder() as place:
            folder = make_folder(place / "passes")
            write_text(folder / ASKED, json.dumps({"what": what, **stated}))
            write(folder)
            self.world.order(folder)

    def _each(self, share: Callable[[int], Said]) -> Iterator[Said]:
        """What each process says of the share of its number; where it is mute, what we say."""
        own = share(0)
        theirs = [safetensors.torch.load(said) if said else None for said in self.world.gathered()]
        yield own
        for rank, said in enumerate(theirs, start=1):
            yield share(rank) if said is None else said


@dataclass
class SharedDivergence(OutputDivergence):
    """A divergence whose variants are shared out among the processes of a run."""

    passes: SharedPasses = field(kw_only=True)

    def __post_init__(self) -> None:
        """Have all of them prepare."""
        super().__post_init__()
        self.passes.measure(self.inputs, self.moments)

    @torch.no_grad()
    def together(
        self, index: int, variants: Sequence[Variant], heard: Callable[[], None] = lambda: None
    ) -> Tensor:
        """How far each variant moves each sample of a batch, in nats: (variants, samples)."""
        ask_own = partial(OutputDivergence.together, self, index)
        moved = self.passes.moved(index, variants, ask_own)
        for _ in variants:
            heard()
        return moved

    def of_whole(self, variants: Iterable[Variant]) -> list[float]:
        """Damage of each variant on all samples; infinite where its outputs are not finite."""
        all_of_them = list(variants)
        if len(all_of_them) < 2:
            return super().of_whole(all_of_them)
        moved = [self.together(index, all_of_them) for index in range(len(self.inputs))]
        return [
            float("inf") if samples.isnan().any() else self._beyond_noise(samples)
            for samples in torch.cat(moved, dim=1)
        ]


@dataclass
class FollowedPasses:
    """What a process that is not the first one does for its passes.

    Attributes:
        world: of this process.
        splits: of the run, for what inputs look like.
        task: of the run.
    """

    world: World
    splits: DataSplits
    task: Task
    _model: GraphModule | None = field(init=False, default=None)
    _groups: list[ChannelGroup] = field(init=False, default_factory=list)
    _branches: list[Branch] = field(init=False, default_factory=list)
    _precision: Resolved = field(init=False, default="fp32")
    _damage: OutputDivergence | None = field(init=False, default=None)

    def answer(self, folder: Path) -> bool:
        """Do what an order asks, and send the first process what it waits for; False if it is none.

        Raises:
            DataError, ModelError: as `Criterion.score`.
            ProcessLostError: the first process is gone.
        """
        if not (folder / ASKED).is_file():
            return False
        asked = json.loads((folder / ASKED).read_text(encoding="utf-8"))
        steps = {
            SOURCE: self._build, SCORES: self._score, DAMAGE: self._prepare, VARIANTS: self._move
        }  # fmt: skip
        with compute.autocast(cast("Resolved", asked.get("precision", self._precision)), CPU):
            said = steps[asked["what"]](folder, asked)
        if said is not None:
            self.world.give(safetensors.torch.save(said) if said else b"")
        return True

    def _build(self, folder: Path, asked: Mapping[str, Any]) -> None:
        """Take the model; none where it has not the first process's branches once it is built."""
        model = trace(load_model(folder / MODEL), first_inputs(self.splits))
        self._precision, self._damage = asked["precision"], None
        self._groups = [_group(stated) for stated in asked["groups"]]
        self._branches = find_branches(model, self._groups, first_inputs(self.splits, 1))
        is_same = [_stated_branch(branch) for branch in self._branches] == asked["branches"]
        self._model = model if is_same else None

    def _score(self, folder: Path, asked: Mapping[str, Any]) -> Said:
        if self._model is None:
            return {}
        pairs = [(said["inputs"], said["targets"]) for said in _read_batches(folder)]
        share = pairs[self.world.rank :: self.world.size]
        evidence = Evidence(share, asked["seed"], losses=self.task.sample_losses)
        return _scores(self._model, self._groups, asked["criterion"], evidence) if share else {}

    def _prepare(self, folder: Path, _asked: Mapping[str, Any]) -> None:
        if self._model is not None:
            moments = _moments(safetensors.torch.load_file(folder / MOMENTS))
            inputs = list(_read_batches(folder))
            self._damage = OutputDivergence(
                self._model, self._groups, inputs, moments, task=self.task
            )

    def _move(self, _folder: Path, asked: Mapping[str, Any]) -> Said:
        if self._damage is None:
            return {}
        branches = {branch.name: branch for branch in self._branches}
        share = asked["variants"][self.world.rank :: self.world.size]
        variants = [
            self._damage.variant(stated["kept"], [branches[name] for name in stated["gone"]])
            for stated in share
        ]
        return {MOVED: self._damage.together(asked["index"], variants)}


def _scores(
    model: GraphModule, groups: Sequence[ChannelGroup], criterion: str, evidence: Evidence
) -> Said:
    """A share's scores, times its samples, and how many these are."""
    samples = sum(count(inputs) for inputs, _ in evidence.batches)
    scores = CRITERIA.get(criterion).score(model, groups, evidence)
    return {SAMPLES: torch.tensor(samples), **{name: s * samples for name, s in scores.items()}}


def _write_pairs(batches: Sequence[Labelled], folder: Path) -> None:
    _write_batches([{"inputs": inputs, "targets": targets} for inputs, targets in batches], folder)


def _write_batches(batches: Sequence[Tensors], folder: Path) -> None:
    for number, batch in enumerate(batches):
        write_outputs(folder / BATCH.format(number), IDENTITY, batch)


def _read_batches(folder: Path) -> Iterator[Tensors]:
    for path in sorted(folder.glob(BATCH.format(0)[:-4] + "*")):
        yield read_outputs(path, IDENTITY)


def _stated_moments(moments: Mapping[str, Moments]) -> Said:
    means = {f"{MEAN}{layer}": of.mean.contiguous() for layer, of in moments.items()}
    return means | {f"{COVARIANCE}{n}": of.covariance.contiguous() for n, of in moments.items()}


def _moments(stated: Mapping[str, Tensor]) -> dict[str, Moments]:
    layers = [name.removeprefix(MEAN) for name in stated if name.startswith(MEAN)]
    return {n: Moments(stated[f"{MEAN}{n}"], stated[f"{COVARIANCE}{n}"]) for n in layers}


def _stated_group(group: ChannelGroup) -> dict[str, Any]:
    def sides(slots: Sequence[Slot]) -> list[list[Any]]:
        return [[slot.layer, slot.channel_of.tolist(), slot.batch_axis] for slot in slots]

    own = {"producers": sides(group.producers), "consumers": sides(group.consumers)}
    plain = ("name", "channels", "sub_groups", "free_runs")
    return {name: getattr(group, name) for name in plain} | own


def _group(stated: Mapping[str, Any]) -> ChannelGroup:
    def slots(sides: Sequence[Sequence[Any]]) -> tuple[Slot, ...]:
        return tuple(Slot(layer, torch.tensor(places), axis) for layer, places, axis in sides)

    own = {name: slots(stated[name]) for name in ("producers", "consumers")}
    return ChannelGroup(**{**stated, **own})


def _stated_branch(branch: Branch) -> list[Any]:
    """What tells a branch in whatever form its model was built again."""
    return [branch.name, list(branch.groups), list(branch.layers)]


def _stated_variant(variant: Variant, widths: Mapping[str, int]) -> dict[str, Any]:
    narrower = {
        name: list(map(int, stays))
        for name, stays in variant.kept_channels.items()
        if len(stays) < widths[name]
    }
    return {"kept": narrower, "gone": [branch.name for branch in variant.branches]}
