"""Speech recognition by connectionist temporal classification: a symbol or a blank a frame."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from edgespiral.core.batches import BLANK, NO_SYMBOL, WORD_END
from edgespiral.core.errors import DataError, MissingExtraError, ModelError
from edgespiral.core.records.metric import Metric
from edgespiral.tasks.base import BATCH_SIZE, Task, share_difference
from edgespiral.tasks.shared.checks import described, labelled_parts, sample_place, target_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from edgespiral.core.batches import DataSplits
    from edgespiral.tasks.base import Pairs

WER = Metric(name="WER", higher_is_better=False)
CER = Metric(name="CER", higher_is_better=False)
# Where a symbol is written as a character, so that error rates can be told of ids.
FIRST_CHARACTER = 0x4E00


class SpeechRecognition(Task):
    """A transcript a sample: outputs are logits (N, T, C), targets symbols (N, L), int64.

    Symbol 0 is the blank and 1 ends a word; -1 fills transcripts up. Losses, divergences and
    distances are in nats a frame, so that they weigh alike and suit rates of other tasks (Graves et
    al. 2006, "Connectionist Temporal Classification"). The most probable symbol of each frame is
    taken, repetitions once.
    """

    metric = WER
    beside = (CER,)
    counted = "transcripts"
    output_name = "logits"
    # Nearly all frames are blanks that a teacher is sure of. Softened, they weigh most, and a
    # student learns to say nothing (docs/tasks/speech-recognition.md).
    temperature = 1.0

    def sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Negative logarithm of each transcript's probability, in nats a frame."""
        frames, lengths = outputs.shape[1], (targets != NO_SYMBOL).sum(1)
        nats = F.ctc_loss(
            outputs.float().log_softmax(2).transpose(0, 1),
            targets.clamp_min(BLANK),
            torch.full((len(outputs),), frames, dtype=torch.int64),
            lengths.cpu(),
            reduction="none",
            zero_infinity=True,
        )
        return nats / frames

    def distance(self, student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """tau^2 * KL(softmax(z_t/tau) || softmax(z_s/tau)), a mean over frames and samples.

        Source: Hinton et al. 2015, section 2, frame by frame. Teachers are (K, N, T, C).
        """
        soft = F.softmax(teachers / temperature, dim=-1).mean(dim=0)
        log_student = F.log_softmax(student / temperature, dim=-1)
        return temperature**2 * F.kl_div(log_student, soft, reduction="none").sum(-1).mean()

    def divergence(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """Kullback-Leibler divergence of each frame's softmax, a mean over a sample's frames."""
        nats = F.kl_div(
            outputs.log_softmax(2), reference.log_softmax(2), log_target=True, reduction="none"
        )
        return nats.sum(2).mean(1)

    def agreement(self, outputs: Tensor, reference: Tensor) -> Tensor:
        """The share of each sample's frames for which both name the same symbol."""
        return (outputs.argmax(2) == reference.argmax(2)).float().mean(1)

    def rightness(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """1 where the whole transcript is right, else 0."""
        texts, references = transcripts(outputs), _texts(targets)
        pairs = zip(texts, references, strict=True)
        return torch.tensor([float(text == other) for text, other in pairs])

    def score_of(self, pairs: Pairs) -> float:
        """Word error rate over all transcripts, in percent."""
        import jiwer

        references, texts = _sides(pairs)
        return 100.0 * float(jiwer.wer(references, texts))

    def scores_beside(self, pairs: Pairs) -> tuple[float, ...]:
        """Character error rate over all transcripts, in percent."""
        import jiwer

        references, texts = _sides(pairs)
        return (100.0 * float(jiwer.cer(references, texts)),)

    def texts(self, answers: Tensor, targets: Tensor, splits: DataSplits) -> list[tuple[str, str]]:
        """Each transcript, and what is heard."""
        heard = [torch.unique_consecutive(frames) for frames in answers.argmax(2).cpu()]
        names = splits.class_names
        return [
            (_spelt(meant, names), _spelt(frames, names))
            for meant, frames in zip(targets.cpu(), heard, strict=True)
        ]

    def allowed_difference(self, expected: float, samples: int, turned_share: float) -> float:  # noqa: ARG002
        """As of a share of so many samples: each has a word or more."""
        return share_difference(samples, turned_share)

    def check_data(self, splits: DataSplits) -> None:
        """Transcripts, none of which is empty.

        Raises:
            DataError: the targets are anything else.
            MissingExtraError: there is nothing to tell the error rate by.
        """
        if find_spec("jiwer") is None:
            raise MissingExtraError("the word error rate", "speech")
        for part, source in labelled_parts(splits):
            _, targets = next(iter(source.epoch(batch_size=1)))
            if (
                not isinstance(targets, torch.Tensor)
                or targets.ndim != 2
                or targets.dtype != torch.int64
            ):
                raise DataError(
                    f"targets are {target_words(splits)}, not symbols (L,)",
                    where=f"{splits.name}: {part}",
                    hint="each sample is (sound, int64 symbols, filled up with -1)",
                )

    def check_outputs(self, outputs: object, samples: int, splits: DataSplits) -> None:
        """Finite logits (samples, frames, symbols), with frames for the longest transcript.

        Raises:
            ModelError: anything else.
            DataError: a transcript is empty, has symbols that there are not, or needs more frames.
        """
        symbols = len(splits.class_names)
        if not isinstance(outputs, torch.Tensor):
            what = described(outputs)
        elif outputs.ndim != 3 or outputs.shape[::2] != (samples, symbols):
            what = f"a tensor {tuple(outputs.shape)}"
        elif not bool(outputs.isfinite().all()):
            raise ModelError("the model returns NaN or infinite logits", hint="check its weights")
        else:
            _check_transcripts(splits, outputs.shape[1])
            return
        raise ModelError(
            f"the model returns {what}, not logits of shape ({samples}, frames, {symbols})",
            hint="return one tensor, with a blank and each symbol of the data for each frame",
        )


def transcripts(outputs: Tensor) -> list[str]:
    """What logits (N, T, C) say, a text each, with a space where a word ends."""
    best = outputs.argmax(2).cpu()
    return [_text(torch.unique_consecutive(frames)) for frames in best]


def _sides(pairs: Pairs) -> tuple[list[str], list[str]]:
    references: list[str] = []
    texts: list[str] = []
    for outputs, targets in pairs:
        references += _texts(targets)
        texts += transcripts(outputs)
    return references, texts


def _texts(targets: Tensor) -> list[str]:
    return [_text(symbols) for symbols in targets.cpu()]


def _text(symbols: Tensor) -> str:
    spoken = [symbol for symbol in symbols.tolist() if symbol not in (BLANK, NO_SYMBOL)]
    written = (" " if symbol == WORD_END else chr(FIRST_CHARACTER + symbol) for symbol in spoken)
    return " ".join("".join(written).split())


def _spelt(symbols: Tensor, names: Sequence[str]) -> str:
    spoken = [symbol for symbol in symbols.tolist() if symbol not in (BLANK, NO_SYMBOL)]
    return " ".join("".join(" " if s == WORD_END else names[s] for s in spoken).split())


def _check_transcripts(splits: DataSplits, frames: int) -> None:
    symbols = len(splits.class_names)
    for part, source in labelled_parts(splits):
        seen = 0
        for _, targets in source.epoch(batch_size=BATCH_SIZE):
            is_symbol = targets != NO_SYMBOL
            # Between two that are the same a blank is needed.
            repeated = ((targets[:, 1:] == targets[:, :-1]) & is_symbol[:, 1:]).sum(1)
            problems = {
                "the transcript is empty": (is_symbol & (targets != WORD_END)).sum(1) == 0,
                "the transcript goes on after -1, which fills it up": (
                    is_symbol[:, 1:] & ~is_symbol[:, :-1]
                ).any(1),
                f"the transcript has symbols that are none of 1 to {symbols - 1}": (
                    is_symbol & ((targets <= BLANK) | (targets >= symbols))
                ).any(1),
                f"the transcript does not fit into the {frames} frames of the model's outputs": (
                    is_symbol.sum(1) + repeated > frames
                ),
            }
            for problem, rows in problems.items():
                if bool(rows.any()):
                    place = sample_place(source, seen + int(rows.nonzero()[0]))
                    raise DataError(problem, where=f"{splits.name}: {part}, {place}")
            seen += len(targets)


PLUGIN = SpeechRecognition()
