import sys

import pytest
import torch
from torch.utils.data import TensorDataset

from edgespiral import tasks
from edgespiral.core.batches import DataSplits
from edgespiral.core.errors import DataError, MissingExtraError, ModelError
from edgespiral.data.dataset import DatasetSource
from edgespiral.data.tensors import StoredRows
from edgespiral.tasks.speech_recognition import PLUGIN, transcripts

SYMBOLS = ("<blank>", " ", "a", "b")


def saying(*frames):
    """Logits (1, T, C) of which those symbols are the most probable."""
    return 8.0 * torch.nn.functional.one_hot(torch.tensor([frames]), len(SYMBOLS)).float()


def splits(targets, inputs=None):
    targets = torch.tensor(targets)
    inputs = torch.zeros(len(targets), 1, 4, 6) if inputs is None else inputs
    source = DatasetSource(TensorDataset(inputs, targets))
    return DataSplits("made", source, source, source, SYMBOLS, (1, 4, 6), target_shape=None)


def test_repetitions_and_blanks_are_taken_out():
    [said] = transcripts(saying(2, 2, 0, 2, 3, 1, 1, 3, 0))
    [other] = transcripts(saying(2, 0, 0, 2, 0, 3, 1, 0, 3))
    assert said == other
    assert len(said.split()) == 2
    assert [len(word) for word in said.split()] == [3, 1]
    assert transcripts(saying(0, 0, 1, 0)) == [""]


def test_the_error_rate_is_of_words_and_beside_it_of_characters():
    assert tasks.load("speech-recognition") is PLUGIN
    targets = torch.tensor([[2, 1, 3, -1], [3, 3, 1, 2]])
    right = saying(2, 1, 3, 0, 0, 0)
    wrong = saying(3, 0, 3, 1, 3, 0)  # its second word is another
    pairs = [(right, targets[:1]), (wrong, targets[1:])]
    assert PLUGIN.score_of(pairs) == pytest.approx(25.0)
    [characters] = PLUGIN.scores_beside(pairs)
    assert characters == pytest.approx(100 / 7)
    assert PLUGIN.rightness(torch.cat([right, wrong]), targets).tolist() == [1.0, 0.0]
    assert not PLUGIN.metric.higher_is_better


def test_what_is_heard_is_told_in_letters():
    data = splits([[2, 1, 3]])
    [(meant, said)] = PLUGIN.texts(saying(2, 2, 0, 1, 3), torch.tensor([[2, 1, 3]]), data)
    assert meant == said == f"{SYMBOLS[2]} {SYMBOLS[3]}"
    [(_, said)] = PLUGIN.texts(saying(0, 0, 3), torch.tensor([[2, 1, 3]]), data)
    assert said == SYMBOLS[3]


def test_the_loss_is_that_of_all_ways_to_say_it():
    outputs = torch.randn(1, 2, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[2, -1]])
    log = outputs.log_softmax(2)[0]
    ways = torch.stack([log[0, 2] + log[1, 2], log[0, 2] + log[1, 0], log[0, 0] + log[1, 2]])
    # Of two frames, in nats each.
    expected = -ways.logsumexp(0) / 2
    assert float(PLUGIN.loss(outputs, targets)) == pytest.approx(float(expected), rel=1e-5)


def test_losses_do_not_depend_on_how_far_transcripts_are_filled_up():
    outputs = torch.randn(2, 9, 4, requires_grad=True)
    short, long = torch.tensor([[2, 3], [3, -1]]), torch.tensor([[2, 3, -1, -1], [3, -1, -1, -1]])
    losses = PLUGIN.sample_losses(outputs, short)
    torch.testing.assert_close(losses, PLUGIN.sample_losses(outputs, long))
    losses.sum().backward()
    assert bool(outputs.grad.isfinite().all())


def test_frames_are_compared_one_by_one():
    teacher, student = saying(2, 0, 3), saying(2, 0, 1)
    assert PLUGIN.divergence(teacher, teacher).tolist() == [0.0]
    assert float(PLUGIN.agreement(student, teacher)) == pytest.approx(2 / 3)
    apart = float(PLUGIN.distance(student, teacher[None], 1.0))
    assert apart == pytest.approx(float(PLUGIN.divergence(student, teacher)), rel=1e-4)
    assert float(PLUGIN.distance(student, student[None], 2.0)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([[2, 3], [-1, -1]], "sample 1: the transcript is empty"),
        ([[2, 3], [1, -1]], "sample 1: the transcript is empty"),
        ([[2, 3, -1], [2, -1, 3]], "sample 1: the transcript goes on after -1"),
        ([[2, 4]], "sample 0: the transcript has symbols that are none of 1 to 3"),
        ([[2, 0]], "sample 0: the transcript has symbols that are none of 1 to 3"),
        ([[2, 3, 2], [2, 2, 3]], "sample 1: the transcript does not fit into the 3 frames"),
    ],
)
def test_transcripts_that_cannot_be_learned_are_told(targets, message):
    with pytest.raises(DataError, match=message):
        PLUGIN.check_outputs(torch.zeros(2, 3, 4), 2, splits(targets))


def test_what_is_no_transcript_and_no_frames_is_told():
    with pytest.raises(DataError, match="not symbols"):
        PLUGIN.check_data(splits([1, 2]))
    rows = StoredRows(torch.zeros(2, 1, 4, 6), {"said": torch.zeros(2, 3)})
    named = DataSplits("made", rows, rows, rows, SYMBOLS, (1, 4, 6), target_shape=None)
    with pytest.raises(DataError, match=r"made: train: targets are said float32 \(3,\), not sym"):
        PLUGIN.check_data(named)
    data = splits([[2, 3]])
    PLUGIN.check_data(data)
    PLUGIN.check_outputs(torch.zeros(2, 3, 4), 2, data)
    with pytest.raises(ModelError, match=r"returns a tensor \(2, 4\), not logits of shape \(2, fr"):
        PLUGIN.check_outputs(torch.zeros(2, 4), 2, data)
    with pytest.raises(ModelError, match="returns a tuple of 2"):
        PLUGIN.check_outputs((1, 2), 2, data)
    with pytest.raises(ModelError, match="NaN"):
        PLUGIN.check_outputs(torch.full((2, 3, 4), torch.nan), 2, data)


def test_without_its_extra_the_task_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'edgespiral\[speech\]'"):
        PLUGIN.check_data(splits([[2, 3]]))
