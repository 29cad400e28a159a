from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgespiral import data, models
from edgespiral.core.errors import ModelError, TrainingError, UsageError
from edgespiral.distill.optimizers import (
    WeightUpdate,
    check_freezing,
    default_optimizer,
    named_optimizer,
    optimizer_for,
    training,
)
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.tasks.classification import CLASSIFICATION

SETTINGS = TrainSettings(epochs=1.5, batch_size=64, learning_rate=0.05, seed=3)
OWN = """
import torch

def rmsprop(groups, lr):
    return torch.optim.RMSprop(groups, lr=lr, momentum=0.5)

def nothing(groups, lr):
    return "nothing"

def wrong(groups, lr):
    raise ValueError("no such thing")
"""


@pytest.fixture(scope="module")
def splits():
    return data.load("digits")


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own_optimizers.py"
    path.write_text(OWN)
    return str(path)


def fresh(seed=0):
    torch.manual_seed(seed)
    return models.build("resnet8", classes=10, input_shape=(1, 8, 8))


def with_norm(norm):
    return nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.Flatten(), nn.LazyLinear(10))


def test_networks_of_layer_norms_take_adamw_and_others_sgd():
    assert default_optimizer(with_norm(nn.LayerNorm(6))).name == "adamw"
    assert default_optimizer(with_norm(nn.RMSNorm(6))).name == "adamw"
    assert default_optimizer(with_norm(nn.BatchNorm2d(4))).name == "sgd"
    assert default_optimizer(with_norm(nn.Identity())).name == "sgd"
    both = nn.Sequential(nn.BatchNorm2d(4), nn.LayerNorm(6))
    assert named_optimizer("auto", both).name == "sgd"
    assert named_optimizer("adamw", both) == ("adamw", "asked for")


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (nn.Embedding(5, 4), "embeddings"),
        (nn.EmbeddingBag(5, 4), "embeddings"),
        (nn.LSTM(4, 4), "recurrent layers"),
        (nn.GRUCell(4, 4), "recurrent layers"),
        (nn.MultiheadAttention(4, 2), "attention"),
    ],
)
def test_what_sgd_moves_badly_takes_adamw_beside_batch_norms_too(layer, what):
    model = nn.ModuleList([layer, nn.BatchNorm1d(4)])
    assert default_optimizer(model) == ("adamw", f"the model has {what}")


def test_few_embeddings_beside_batch_norms_stay_with_sgd():
    few = nn.ModuleList([nn.Embedding(5, 4), nn.Linear(40, 40)])
    assert default_optimizer(few).name == "adamw"
    few.append(nn.BatchNorm1d(4))
    assert default_optimizer(few) == ("sgd", "the model has batch norms")


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_weights_decay_and_norms_and_biases_do_not(name, kind):
    optimizer = optimizer_for(fresh(), replace(SETTINGS, optimizer=name, weight_decay=0.3))
    assert isinstance(optimizer, kind)
    decayed, others = optimizer.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim == 1 for p in others["params"])


EXTRAS = [
    {"optimizer": "adamw", "learning_rate": 1e-3},
    {"ema_decay": 0.9},
    {"clip_norm": 0.5, "schedule": "cosine"},
    {"accumulate": 4},
    {"precision": "fp16"},
    {"precision": "fp16", "clip_norm": 0.5, "ema_decay": 0.8, "accumulate": 2},
    {"freeze": ("layer1", "*.bias"), "schedule": "constant"},
]


def stop_at(step):
    def heard(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    return heard


@pytest.mark.parametrize("extra", EXTRAS, ids=str)
def test_every_way_to_train_goes_on_bit_for_bit(splits, tmp_path, extra):
    settings, path = replace(SETTINGS, **extra), tmp_path / "c.pt"
    whole, killed, resumed = fresh(), fresh(), fresh()
    train(whole, splits, settings, Objective(CLASSIFICATION))
    with pytest.raises(KeyboardInterrupt):
        train(
            killed,
            splits,
            settings,
            Objective(CLASSIFICATION),
            checkpoint=path,
            progress=stop_at(10),
        )
    assert (
        train(resumed, splits, settings, Objective(CLASSIFICATION), checkpoint=path).resumed_at_step
        == 10
    )
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert not torch.equal(whole.state_dict()["fc.weight"], fresh().state_dict()["fc.weight"])


def test_every_way_to_train_is_another_training(splits):
    trained = []
    for extra in ({}, *EXTRAS[:5]):
        model = fresh()
        train(
            model,
            splits,
            replace(SETTINGS, **{"epochs": 0.5, "precision": "fp32", **extra}),
            Objective(CLASSIFICATION),
        )
        trained.append(model.fc.weight.detach().clone())
    for index, weight in enumerate(trained):
        assert not any(torch.equal(weight, other) for other in trained[:index])


class Linear(nn.Module):
    """One weight, whose gradient is known."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0]]))


def updated(gradient=3.0, *, steps=1, **settings):
    """The weight of a model after steps of plain gradient descent at a rate of 0.1."""
    model = Linear()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    asked = TrainSettings(epochs=1, learning_rate=0.1, **settings)
    update = WeightUpdate(model, optimizer, asked, precision="fp32")
    for _ in range(steps):
        update.backward(gradient * model.weight.sum())
        update.apply(0.1)
        update.average()
    update.finish()
    return float(model.weight.detach())


def test_gradients_are_clipped_to_the_norm():
    assert updated() == pytest.approx(1 - 0.3)
    assert updated(clip_norm=2.0) == pytest.approx(1 - 0.2)
    assert updated(clip_norm=5.0) == pytest.approx(1 - 0.3)


def test_the_mean_of_the_weights_is_what_comes_out():
    # The first step's weights are the mean, which then keeps 2 / 11 and, of more steps, 0.2.
    first, second, third = 0.7, 0.4, 0.1
    after_two = 2 / 11 * first + 9 / 11 * second
    assert updated(steps=3, ema_decay=0.2) == pytest.approx(0.2 * after_two + 0.8 * third)


def test_groups_of_other_rates_keep_their_ratio():
    model = nn.Linear(1, 1)
    groups = [{"params": [model.weight], "lr": 0.1}, {"params": [model.bias], "lr": 0.01}]
    settings = TrainSettings(epochs=1, learning_rate=0.1)
    optimizer = torch.optim.SGD(groups, lr=0.1)
    update = WeightUpdate(model, optimizer, settings, precision="fp32")
    update.backward(model(torch.ones(1, 1)).sum())
    update.apply(0.05)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.005])


def test_parts_of_a_batch_add_up_to_its_gradient(splits):
    # Without batch norms, whose statistics are of a part alone.
    def trained(parts):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        train(
            model,
            splits,
            replace(SETTINGS, epochs=0.5, accumulate=parts, precision="fp32"),
            Objective(CLASSIFICATION),
        )
        return model[1].weight

    assert torch.allclose(trained(1), trained(3), atol=1e-5)


def test_frozen_parts_stay_and_all_others_move(splits):
    model = fresh()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(
        model,
        splits,
        replace(SETTINGS, epochs=0.5, freeze=("layer1", "conv1.*")),
        Objective(CLASSIFICATION),
    )
    stayed = {n for n, v in model.state_dict().items() if torch.equal(v, before[n])}
    assert stayed == {n for n in before if n.startswith(("layer1.", "conv1."))}
    assert all(p.requires_grad for p in model.parameters())


def test_patterns_that_freeze_nothing_are_told():
    check_freezing(fresh(), ("layer1", "*.bias"))
    with pytest.raises(UsageError, match=r"--freeze: no parameter goes by 'stem\.\*'"):
        check_freezing(fresh(), ("layer1", "stem.*"))


def test_what_is_frozen_by_the_user_stays_frozen():
    model = fresh()
    model.conv1.weight.requires_grad_(False)
    with training(model, ["fc"]):
        assert not model.fc.weight.requires_grad
    assert model.fc.weight.requires_grad
    assert not model.conv1.weight.requires_grad
    assert not model.training


def test_nothing_left_to_train_is_told(splits):
    with pytest.raises(ModelError, match="all of its parameters are frozen"):
        train(fresh(), splits, replace(SETTINGS, freeze=("*",)), Objective(CLASSIFICATION))


def test_an_optimizer_of_ones_own_trains_and_its_faults_are_one_line(splits, own):
    settings = replace(SETTINGS, epochs=0.5, learning_rate=1e-3)
    model = fresh()
    train(model, splits, replace(settings, optimizer=f"{own}:rmsprop"), Objective(CLASSIFICATION))
    assert not torch.equal(model.fc.weight, fresh().fc.weight)
    for name, problem in (
        ("nothing", "a str is no optimizer"),
        ("wrong", "the optimizer cannot be made: ValueError: no such thing"),
        ("missing", "no function 'missing' in the file"),
    ):
        with pytest.raises((UsageError, TrainingError), match=problem) as caught:
            train(
                fresh(),
                splits,
                replace(settings, optimizer=f"{own}:{name}"),
                Objective(CLASSIFICATION),
            )
        assert "\n" not in str(caught.value)
