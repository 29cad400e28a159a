import pytest
import torch
from quick_runs import PLAIN
from torch import nn

import edgespiral
from edgespiral import data, models
from edgespiral.core.errors import ModelError, UsageError
from edgespiral.spiral.vocabulary import with_used_tokens

USED = ("turn", "on", "off", "lamp", "fan", "door", "now", "please")
UNUSED = tuple(f"word{number}" for number in range(50))


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "commands"
    folder.mkdir()
    rows = [f"turn {thing} {way} {end},{way}" for thing in USED[3:6] for way in ("on", "off")
            for end in ("now", "please")]  # fmt: skip
    for part in ("train", "val"):
        (folder / f"{part}.csv").write_text("\n".join(["text,label", *rows * 4]) + "\n")
    # One word of the vocabulary is in the test split alone.
    (folder / "test.csv").write_text("text,label\nturn word7 on,on\nturn fan off,off\n")
    vocabulary = tmp_path / "vocabulary.txt"
    vocabulary.write_text("\n".join(["<pad>", *UNUSED[:9], "<unk>", *USED, *UNUSED[9:]]) + "\n")
    return f"text:{folder}?vocabulary={vocabulary}&length=6"


def built(splits, name="gru-text"):
    torch.manual_seed(0)
    return models.load_model_for(splits, name).eval()


def whole(part):
    return next(iter(part.epoch(batch_size=len(part))))[0]


def test_only_tokens_that_are_used_stay_and_the_model_says_the_same(source):
    splits = data.load(source)
    model = built(splits)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    smaller, renumbered = with_used_tokens(model, splits)
    assert (splits.token_count, renumbered.token_count) == (60, 10)
    assert renumbered.files["vocabulary.txt"].split() == ["<pad>", "<unk>", *USED]
    assert smaller.embedding.weight.shape[0] == smaller.embedding.num_embeddings == 10
    with torch.inference_mode():
        expected, said = model(whole(splits.validation)), smaller(whole(renumbered.validation))
    assert torch.equal(said, expected)
    # The word that the test split has alone is unknown now; the model that was given is whole.
    assert whole(renumbered.test)[0].tolist() == [2, 1, 3, 0, 0, 0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_order_and_names_of_samples_are_those_of_before(source):
    splits = data.load(source)
    _, renumbered = with_used_tokens(built(splits), splits)
    assert torch.equal(renumbered.train.order(3), splits.train.order(3))
    assert renumbered.train.source.place(0, 3) == splits.train.source.place(0, 3)
    assert len(renumbered.train.unaugmented()) == len(splits.train)


def test_without_an_unknown_token_those_of_the_test_split_stay(source, tmp_path):
    path = tmp_path / "vocabulary.txt"
    path.write_text(path.read_text().replace("<unk>\n", ""))
    _, renumbered = with_used_tokens(built(splits := data.load(source)), splits)
    assert "word7" in renumbered.files["vocabulary.txt"].split()
    assert renumbered.token_count == 10


class Numerical(nn.Module):
    """Looks rows up, and at the ids themselves."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(60, 4)
        self.fc = nn.Linear(4, 2)

    def forward(self, tokens):
        return self.fc(self.embedding(tokens).mean(1)) + tokens.float().mean(1, keepdim=True)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(60, 4)
        self.out = nn.Linear(4, 60, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, tokens):
        return self.out(self.embedding(tokens).mean(1))[:, :2]


def test_what_cannot_lose_rows_is_told(source):
    splits = data.load(source)
    with pytest.raises(ModelError, match="depends on the tokens' numbers"):
        with_used_tokens(Numerical().eval(), splits)
    with pytest.raises(ModelError, match=r"embedding shares its rows with out\.weight"):
        with_used_tokens(Tied().eval(), splits)
    with pytest.raises(ModelError, match="no embedding of it has 60 rows"):
        with_used_tokens(nn.Linear(6, 2).eval(), splits)
    with pytest.raises(UsageError, match="--vocabulary: the data have no vocabulary"):
        with_used_tokens(nn.Linear(6, 2), data.load("digits"))


@pytest.mark.slow
def test_a_run_ships_the_smaller_vocabulary(source, tmp_path):
    splits = data.load(source)
    options = PLAIN | {"speedup": 1.1, "epochs": 1, "max_drop": 100, "batch_size": 16}
    done = edgespiral.compress(
        built(splits), source, out=tmp_path / "run", vocabulary="data", **options
    )
    tokens = (tmp_path / "run" / "vocabulary.txt").read_text().split()
    assert len(tokens) == done.model.embedding.num_embeddings == 10
    assert done.result.files["vocabulary.txt"]
