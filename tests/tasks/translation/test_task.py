"""Translation: what is learned, and how what is said is scored."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from parallel_text import write_pairs
from torch import nn

from edgespiral.core.errors import DataError, ModelError
from edgespiral.core.nested import mapped
from edgespiral.core.records.parts import by_parts
from edgespiral.data import load
from edgespiral.models.zoo.translation import Translator
from edgespiral.tasks.translation import PLUGIN
from edgespiral.tasks.translation.task import UNSAID, Translation

TOKENS = ("<pad>", "<unk>", "<s>", "</s>", "ein", "hund", "rennt", "schnell")
TASK = Translation(tokens=TOKENS, steps=4)
# Ends of sentences are 3.
MEANT = torch.tensor([[4, 5, 6, 7, 3], [4, 5, 3, -1, -1]])


def saying(ids):
    return 9.0 * torch.nn.functional.one_hot(ids.clamp_min(0), len(TOKENS)).float()


def test_a_sentence_is_scored_by_its_words():
    said = torch.tensor([[4, 5, 6, 7, 3], [4, 5, 3, 3, 3]])
    assert TASK.score_of([(said, MEANT)]) == pytest.approx(100.0)
    assert TASK.scores_beside([(said, MEANT)])[0] == pytest.approx(100.0)
    assert TASK.score_of([(torch.full_like(said, 3), MEANT)]) == 0.0


def test_an_unknown_word_is_never_right():
    meant = torch.tensor([[4, 5, 6, 1, 7, 3]])
    assert TASK.sentences(meant, UNSAID) == [f"ein hund rennt {UNSAID} schnell"]
    assert TASK.score_of([(meant, meant)]) < 100


def test_words_that_fill_up_count_for_nothing():
    outputs, other = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    for sides in (outputs, other):
        sides[1, 3:] = 0.0
    changed = other.clone()
    changed[1, 3:] = 5.0
    nats = TASK.sample_losses(outputs, MEANT)
    expected = [
        -outputs[n].log_softmax(1)[range(k), MEANT[n, :k]].mean() for n, k in ((0, 5), (1, 3))
    ]
    torch.testing.assert_close(nats, torch.stack(expected))
    for method in (TASK.divergence, TASK.agreement):
        torch.testing.assert_close(method(changed, outputs), method(other, outputs))
    torch.testing.assert_close(
        TASK.distance(changed, outputs[None], 2.0), TASK.distance(other, outputs[None], 2.0)
    )
    assert TASK.divergence(outputs, outputs).tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    # Of each word, however many a sentence has.
    each = torch.tensor([5, 3]) * nats
    torch.testing.assert_close(TASK.loss(outputs, MEANT), each.sum() / 8)


def test_rightness_is_of_words():
    half = MEANT.clone()
    half[0, :4] = 7
    assert TASK.rightness(saying(half), MEANT).tolist() == pytest.approx([0.4, 1.0])
    assert TASK.decisions(MEANT) == 8
    assert TASK.chance(MEANT) == pytest.approx(2 / 8)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return load(f"translation:{write_pairs(tmp_path_factory.mktemp('text') / 'pairs.tsv', 60)}")


def test_parts_and_the_whole_say_the_same(splits):
    task, _ = PLUGIN.fitted(splits)
    assert task.tokens == splits.class_names
    lengths = [int((said != -1).sum()) for _, said in splits.train.epoch(batch_size=1)]
    assert task.steps == round(sum(lengths) / len(lengths))
    torch.manual_seed(1)
    specs = splits.specs
    model = Translator(specs["source"].token_count, specs["target"].token_count, padding=0).eval()
    inputs, _ = next(iter(splits.validation.epoch(batch_size=5)))
    with torch.no_grad():
        parts = task.parts(model, inputs)
        assert [(part.name, part.count) for part in parts] == [
            ("encoder", 1),
            ("decoder_step", task.steps),
        ]

        def whole(given):
            return model(**given)

        def step(given):
            return parts[1].module(**given)

        split = by_parts(whole, {"encoder": parts[0].module, "decoder_step": step})
        said = task.answers(whole, inputs)
        assert torch.equal(task.answers(split, inputs), said)
        assert said.shape == inputs["target"].shape
        # What was to be said is not looked at.
        hidden = {**inputs, "target": torch.zeros_like(inputs["target"])}
        assert torch.equal(task.answers(split, hidden), said)


class Summing(nn.Module):
    """What it says of a word depends on all that were said before, by way of a sum."""

    def __init__(self, tokens):
        super().__init__()
        self.source, self.target = (nn.Embedding(count, 8) for count in tokens)
        self.words = nn.Linear(8, tokens[1])

    def forward(self, source, target):
        return self.words(self.target(target).cumsum(1) + self.source(source).mean(1, True))


def test_a_model_that_cannot_run_in_parts_is_told_before_it_is_trained(splits):
    task, _ = PLUGIN.fitted(splits)
    tokens = [splits.specs[name].token_count for name in ("source", "target")]
    model = Translator(*tokens, padding=0).train()
    assert task.prepared(model, splits)[0] is model
    assert model.training
    with pytest.raises(ModelError, match="a word at a time its decoder says something else"):
        task.prepared(Summing(tokens), splits)


def broken(splits, change):
    """The data with something in its first validation sample changed."""

    class Changed:
        def __init__(self, source):
            self.source = source

        def __len__(self):
            return len(self.source)

        def epoch(self, **asked):
            for batch in self.source.epoch(**asked):
                inputs, said = mapped(torch.clone, batch)
                change(inputs, said)
                yield inputs, said

    return replace(splits, validation=Changed(splits.validation))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _, said: said[0].fill_(-1), "the sentence to be said is empty"),
        (lambda inputs, _: inputs["source"][0].zero_(), "the source sentence is empty"),
        (lambda _, said: said[0, :1].fill_(-1), "goes on after -1"),
        (lambda _, said: said[0, :1].fill_(99), "has words that are none of 0 to"),
        (lambda _, said: said[0].masked_fill_(said[0] == 3, 4), "does not end with </s>"),
    ],
)
def test_bad_sentences_are_told_before_anything_is_trained(splits, change, message):
    PLUGIN.check_data(splits)
    with pytest.raises(DataError, match=rf"validation, sample 0: .*{message}"):
        PLUGIN.check_data(broken(splits, change))


def test_what_is_no_parallel_text_is_told(splits):
    digits = load("digits")
    with pytest.raises(DataError, match="digits: is no parallel text"):
        PLUGIN.fitted(digits)
    rows, length, words = 3, splits.specs["target"].shape[0], len(splits.class_names)
    PLUGIN.check_outputs(torch.zeros(rows, length, words), rows, splits)
    with pytest.raises(ModelError, match="not logits of shape"):
        PLUGIN.check_outputs(torch.zeros(rows, words), rows, splits)
    with pytest.raises(ModelError, match="NaN"):
        PLUGIN.check_outputs(torch.full((rows, length, words), torch.nan), rows, splits)


def test_where_a_message_is_about_is_a_line(splits, tmp_path):
    file = Path(write_pairs(tmp_path / "pairs.tsv", 30))
    named = load(f"translation:{file}")
    assert named.train.place(0, None).startswith(f"{file}:")
