"""Translation: a word of the other language at each step, BLEU and chrF."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn import functional as F

from edgespiral.core.batches import NO_SYMBOL
from edgespiral.core.errors import DataError, MissingExtraError, ModelError
from edgespiral.core.records.metric import Metric
from edgespiral.core.records.parts import Part
from edgespiral.tasks.base import BATCH_SIZE, Task, share_difference
from edgespiral.tasks.shared.checks import described, labelled_parts, sample_place
from edgespiral.tasks.translation.decoding import ENCODER, STEP, decoded
from edgespiral.tasks.translation.halves import SOURCE, TARGET, halves_of, proven, steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from edgespiral.core.batches import BatchSource, DataSplits
    from edgespiral.tasks.base import Pairs, Predict

BLEU, CHRF = Metric(name="BLEU"), Metric(name="chrF")
BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
# What a reference has where the vocabulary has no word: nothing that is said can be it.
UNSAID = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Translation(Task):
    """The words of another language: outputs are logits (N, T, V), targets ids (N, T), int64.

    Inputs are `source` ids (N, S) and `target`, the ids before those that are to be said (N, T),
    which begins with `<s>`. Targets end with `</s>` and are filled up with -1. A model's logits are
    0 where `target` is filled up, and count for nothing there. Losses, divergences and distances
    are in nats a word.

    Sentences are scored as they are said word by word, by parts where the model has them: see
    `decoding`. A word that the vocabulary has not is one that nothing said can match.

    Attributes:
        tokens: the vocabulary of the other language; `fitted` takes it from the data.
        steps: words of a sentence, its end included: the mean over training, rounded.
    """

    tokens: tuple[str, ...] = ()
    steps: int = 1

    metric: ClassVar[Metric] = BLEU  # type: ignore[misc]
    beside: ClassVar[tuple[Metric, ...]] = (CHRF,)  # type: ignore[misc]
    counted: ClassVar[str] = "words"  # type: ignore[misc]
    output_name: ClassVar[str] = "logits"  # type: ignore[misc]
    part_names: ClassVar[tuple[str, ...]] = (ENCODER, STEP)  # type: ignore[misc]
    # What a teacher says of all other words of a vocabulary is not worth learning
    # (docs/tasks/translation.md).
    temperature: ClassVar[float] = 1.0  # type: ignore[misc]

    @property
    def timed(self) -> str:  # type: ignore[override]
        """What a latency is of."""
        return f"{ENCODER} x 1 + {STEP} x {self.steps}, a sentence of mean length"

    def fitted(self, splits: DataSplits) -> tuple[Translation, DataSplits]:
        """The task with the data's words, and how many a sentence has in the mean."""
        self._check_targets(splits)
        words, sentences = 0, 0
        for _, targets in splits.train.epoch(batch_size=BATCH_SIZE):
            words += int((targets != NO_SYMBOL).sum())
            sentences += len(targets)
        mean = max(1, round(words / max(1, sentences)))
        return Translation(tokens=splits.class_names, steps=mean), splits

    def prepared(self, model: nn.Module, splits: DataSplits) -> tuple[nn.Module, Translation]:
        """The model as it is, once it is seen to run in parts, before anything is trained.

        Raises:
            ModelError: as `parts`.
        """
        inputs, _ = next(iter(splits.validation.epoch(batch_size=2)))
        self.parts(copy.deepcopy(model).cpu().eval(), inputs)
        return model, self

    def parts(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[Part, ...]:
        """The encoder, once a sentence, and a decoder step, once a word.

        Raises:
            ModelError: the decoder cannot be run a word at a time.
        """
        halves = halves_of(model)
        proven(model, halves, inputs)
        with torch.no_grad():
            run = steps(halves, inputs)
        # As in the middle of a sentence: the first step may begin with zeros.
        example = run[min(1, len(run) - 1)][1]
        return (
            Part(ENCODER, halves.encoder, inputs[SOURCE], 1),
            Part(STEP, halves.step, example, self.steps),
        )

    def answers(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        """Ids (N, L) as they are said, greedily."""
        return decoded(predict, inputs, self.tokens.index(BEGIN), self.tokens.index(END))

    def sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each sentence's words, in nats a word."""
        counts = targets != NO_SYMBOL
        nats = F.cross_entropy(
            outputs.transpose(1, 2).float(), targets, ignore_index=NO_SYMBOL, reduction="none"
        )
        return nats.sum(1) / counts.sum(1).clamp_min(1)

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy, a mean over all words of the batch."""
        return F.cross_entropy(
            outputs.transpose(1, 2),
            targets,
            ignore_index=NO_SYMBOL,
            label_smoothing=label_smoothing,
        )

    def distance(self, student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """tau^2 * KL(softmax(z_t/tau) || softmax(z_s/tau)), a mean over words.

        Source: Kim and Rush 2016, "Sequence-Level Knowledge Distillation", section 3.1, word by
        word. Teachers are (K, N, T, V).
        """
        soft = F.softmax(teachers / temperature, dim=-1).mean(dim=0)
        log_student = F.log_softmax(student / temperature, dim=-1)
        nats = F.kl_div(log_student, soft, reduction="none").sum(-1)
        counts = _counts(teachers[0])
        return temperature**2 * (nats * counts).sum() / counts.sum().clamp_min(1)

    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Kullback-Leibler divergence of each word's softmax, a mean over a sentence's words."""
        nats = F.kl_div(
            outputs.log_softmax(2), reference.log_softmax(2), log_target=True, reduction="none"
        ).sum(2)
        counts = _counts(reference)
        return (nats * counts).sum(1) / counts.sum(1).clamp_min(1)

    def agreement(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """The share of each sentence's words that are the same."""
        counts, same = _counts(reference), outputs.argmax(2) == reference.argmax(2)
        return (same * counts).sum(1) / counts.sum(1).clamp_min(1)

    def rightness(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The share of each sentence's words that are right, given those before."""
        counts = targets != NO_SYMBOL
        return ((outputs.argmax(2) == targets) & counts).sum(1) / counts.sum(1).clamp_min(1)

    def chance(self, targets: Tensor) -> float:
        """The share of the commonest word."""
        words = targets[targets != NO_SYMBOL]
        return float(words.bincount().max()) / len(words)

    def decisions(self, targets: Tensor) -> int:
        """As many as words."""
        return max(1, int((targets != NO_SYMBOL).sum()))

    def score_of(self, pairs: Pairs) -> float:
        """BLEU of all sentences, 0 to 100, over the words as the data has them."""
        from sacrebleu.metrics import bleu

        hypotheses, meant = self._sides(pairs)
        # Words are apart already.
        scorer = bleu.BLEU(tokenize="none", force=True)
        return float(scorer.corpus_score(hypotheses, [meant]).score)

    def scores_beside(self, pairs: Pairs) -> tuple[float, ...]:
        """chrF of all sentences, 0 to 100."""
        from sacrebleu.metrics import chrf

        hypotheses, meant = self._sides(pairs)
        return (float(chrf.CHRF().corpus_score(hypotheses, [meant]).score),)

    def allowed_difference(self, expected: float, samples: int, turned_share: float) -> float:  # noqa: ARG002
        """As of a share of so many samples: a word that turns over changes those behind it."""
        return share_difference(samples, turned_share)

    def check_data(self, splits: DataSplits) -> None:
        """Ids of words, with none that the vocabulary has not and no empty sentence.

        Raises:
            DataError: the targets or inputs are anything else; the sentence is named.
            MissingExtraError: there is nothing to tell BLEU by.
        """
        if find_spec("sacrebleu") is None:
            raise MissingExtraError("BLEU", "translation")
        self._check_targets(splits)
        for part, source in labelled_parts(splits):
            _check_sentences(splits, part, source)

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:
        """Finite logits (samples, T, V).

        Raises:
            ModelError: anything else.
        """
        words = len(splits.class_names)
        length = splits.specs[TARGET].shape[0]
        if not isinstance(outputs, torch.Tensor):
            got = described(outputs)
        elif outputs.shape != (samples, length, words):
            got = f"a tensor {tuple(outputs.shape)}"
        elif not bool(outputs.isfinite().all()):
            raise ModelError("the model returns NaN or infinite logits", hint="check its weights")
        else:
            return
        raise ModelError(
            f"the model returns {got}, not logits of shape ({samples}, {length}, {words})",
            hint="return one tensor, a logit for each word of the vocabulary at each place",
        )

    def sentences(self, ids: Tensor, unknown: str = UNKNOWN) -> list[str]:
        """Ids (N, L) as text: what comes before `</s>`, without `<s>`."""
        end, begin = self.tokens.index(END), self.tokens.index(BEGIN)
        lines = []
        for row in ids.tolist():
            sentence = row[: row.index(end)] if end in row else row
            words = [self.tokens[i] for i in sentence if i not in (NO_SYMBOL, begin)]
            lines.append(" ".join(unknown if word == UNKNOWN else word for word in words))
        return lines

    def texts(
        self,
        answers: Tensor,
        targets: Tensor,
        splits: DataSplits,  # noqa: ARG002
    ) -> list[tuple[str, str]]:
        """Each sentence as it was meant, and as it is said."""
        return list(zip(self.sentences(targets), self.sentences(answers), strict=True))

    def _sides(self, pairs: Pairs) -> tuple[list[str], list[str]]:
        hypotheses: list[str] = []
        meant: list[str] = []
        for outputs, targets in pairs:
            hypotheses += self.sentences(outputs)
            meant += self.sentences(targets, UNSAID)
        return hypotheses, meant

    def _check_targets(self, splits: DataSplits) -> None:
        specs = splits.specs
        is_pair = isinstance(specs, dict) and specs.keys() == {SOURCE, TARGET}
        if not is_pair or not {BEGIN, END} <= set(splits.class_names):
            raise DataError(
                f"is no parallel text: samples have a {SOURCE} and a {TARGET}, and the words are "
                f"class_names, with {BEGIN} and {END} among them",
                where=splits.name,
                hint="--data translation:FILE.tsv reads pairs of sentences",
            )


def _counts(reference: Tensor) -> Tensor:
    """Which words (N, T) count: those whose logits a model has not set to 0 for being none."""
    return (reference != 0).any(-1)


def _check_sentences(splits: DataSplits, part: str, source: BatchSource) -> None:
    words, end, seen = len(splits.class_names), splits.class_names.index(END), 0
    for inputs, targets in source.epoch(batch_size=BATCH_SIZE):
        present = targets != NO_SYMBOL
        problems: Mapping[str, Tensor] = {
            "the sentence to be said is empty": (present & (targets != end)).sum(1) == 0,
            "the source sentence is empty": (inputs[SOURCE] != (splits.padding or 0)).sum(1) == 0,
            "the sentence goes on after -1, which fills it up": (
                present[:, 1:] & ~present[:, :-1]
            ).any(1),
            f"the sentence has words that are none of 0 to {words - 1}": (
                present & ((targets < 0) | (targets >= words))
            ).any(1),
            f"the sentence does not end with {END}": _last(targets, present) != end,
        }
        for problem, rows in problems.items():
            if bool(rows.any()):
                place = sample_place(source, seen + int(rows.nonzero()[0]))
                raise DataError(problem, where=f"{splits.name}: {part}, {place}")
        seen += len(targets)


def _last(targets: Tensor, present: Tensor) -> Tensor:
    """The last word of each sentence."""
    at = (present.sum(1) - 1).clamp_min(0)
    return targets.gather(1, at[:, None])[:, 0]
