import pytest
import torch

from edgespiral import models
from edgespiral.core.errors import UsageError
from edgespiral.models.saved import check_rebuilds, trace
from edgespiral.models.zoo.recurrent import TextLSTM
from edgespiral.prune.prunable import PrunableModel

NAMES = ("gru-text", "lstm-text", "transformer-text")
TOKENS, STEPS = 30, 12


def build(name, steps=STEPS, padding=0):
    torch.manual_seed(0)
    shape = (steps,)
    built = models.build(name, classes=4, input_shape=shape, token_count=TOKENS, padding=padding)
    return built.eval()


def texts(length, steps):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.zeros(3, steps, dtype=torch.int64)
    tokens[:, :length] = torch.randint(1, TOKENS, (3, length), generator=generator)
    return tokens


@pytest.mark.parametrize("name", NAMES)
def test_padding_does_not_change_what_a_model_says(name):
    short, long = build(name, 7), build(name, STEPS)
    state = {k: v for k, v in short.state_dict().items() if k != "places"}
    long.load_state_dict(state, strict=False)
    if name == "transformer-text":
        with torch.no_grad():
            long.places[:, :7] = short.places
    with torch.inference_mode():
        expected, said = short(texts(7, 7)), long(texts(7, STEPS))
    torch.testing.assert_close(said, expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(long(texts(6, STEPS)), said)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_beside_others_says_what_it_says_alone_and_nothing_is_nan(name):
    model = build(name)
    tokens = torch.cat([texts(3, STEPS), texts(9, STEPS), torch.zeros(1, STEPS, dtype=torch.int64)])
    with torch.inference_mode():
        together = model(tokens)
        alone = torch.cat([model(tokens[index : index + 1]) for index in range(len(tokens))])
    assert bool(together.isfinite().all())
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_each_can_be_cut_and_padding_still_counts_for_nothing(name):
    graph = trace(build(name), texts(5, STEPS))
    assert check_rebuilds(graph)
    teacher = PrunableModel.of(graph, (STEPS,), token_count=TOKENS)
    widths = {group.name: group.sub_groups * max(1, group.units // 2) for group in teacher.groups}
    cut = teacher.candidate(widths).eval()
    assert sum(p.numel() for p in cut.parameters()) < sum(p.numel() for p in graph.parameters())
    tokens = texts(5, STEPS)
    with torch.inference_mode():
        said = cut(tokens)
        # Whatever an id of padding is embedded as.
        for embedding in (m for m in cut.modules() if isinstance(m, torch.nn.Embedding)):
            embedding.weight[0] += 3
        torch.testing.assert_close(cut(tokens), said)


def test_without_padding_the_lstm_is_the_one_of_before():
    assert isinstance(build("lstm-text", padding=None), TextLSTM)
    with torch.inference_mode():
        assert build("gru-text", padding=None)(texts(3, STEPS)).shape == (3, 4)
        assert build("transformer-text", padding=None)(texts(3, STEPS)).shape == (3, 4)


@pytest.mark.parametrize("name", NAMES)
def test_data_without_tokens_is_told(name):
    with pytest.raises(UsageError, match=f"{name} takes token ids, and the data has none"):
        models.build(name, classes=4, input_shape=(1, 8, 8))
