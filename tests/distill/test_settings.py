from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgespiral.core.errors import UsageError
from edgespiral.distill.settings import TrainSettings, precision_of


@given(
    steps=st.integers(1, 300),
    warmup=st.floats(0, 0.9),
    schedule=st.sampled_from(["one-cycle", "cosine"]),
)
def test_rates_rise_to_the_highest_and_fall_towards_zero(steps, warmup, schedule):
    settings = TrainSettings(epochs=1, learning_rate=0.3, schedule=schedule, warmup_fraction=warmup)
    rates = [settings.rate_at(step, steps) for step in range(steps)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.3)
    assert all(0 < rate <= 0.3 + 1e-12 for rate in rates)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_schedules_fall_as_named():
    line, curve = (
        TrainSettings(epochs=1, learning_rate=1.0, schedule=s, warmup_fraction=0)
        for s in ("one-cycle", "cosine")
    )
    assert line.rate_at(26, 101) == pytest.approx(0.75)
    assert curve.rate_at(26, 101) == pytest.approx(0.5 + 0.5**1.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": float("nan")},
        {"epochs": float("inf")},
        {"batch_size": 1},
        {"learning_rate": -1.0},
        {"temperature": 0.0},
        {"alpha": 1.5},
        {"warmup_fraction": 1.0},
        {"seed": -1},
        {"label_smoothing": 1.0},
        {"clip_norm": 0.0},
        {"ema_decay": 1.0},
        {"accumulate": 0},
        {"accumulate": 129},
    ],
)
def test_impossible_settings_are_named(wrong):
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} cannot be"):
        TrainSettings(**{"epochs": 1, **wrong})


def test_distillation_defaults_give_way_to_what_is_asked():
    def rate(asked):
        return TrainSettings.for_distillation(
            epochs=1, batch_size=8, learning_rate=asked, temperature=2, alpha=0.5, seed=1
        ).learning_rate

    assert rate(0.7) == 0.7
    assert rate(None) > 0


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"schedule": "cosin"}, "unknown schedule 'cosin', did you mean cosine"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"optimizer": "adam"}, "unknown optimizer 'adam', did you mean adamw"),
    ],
)
def test_unknown_names_get_the_nearest(wrong, problem):
    with pytest.raises(UsageError, match=problem.replace(", did", "; did")):
        TrainSettings(**{"epochs": 1, **wrong})


def test_a_constant_rate_stays_after_it_rose():
    settings = TrainSettings(epochs=1, learning_rate=0.3, schedule="constant", warmup_fraction=0.2)
    assert [settings.rate_at(step, 10) for step in range(10)] == [0.15, *[0.3] * 9]


def test_each_optimizer_has_defaults_of_its_own():
    sgd, adamw = (
        TrainSettings.for_distillation(
            epochs=1, batch_size=8, learning_rate=None, temperature=2, alpha=0.5, seed=1,
            optimizer=name,
        )
        for name in ("sgd", "adamw")
    )  # fmt: skip
    assert sgd.learning_rate > 10 * adamw.learning_rate
    assert adamw.weight_decay > sgd.weight_decay > 0


def test_checkpoints_of_before_there_were_more_settings_are_the_same_training():
    settings = TrainSettings(epochs=1)
    assert "ema_decay" not in settings.identity
    assert replace(settings, ema_decay=0.9).identity["ema_decay"] == 0.9


def test_what_amp_means():
    assert [precision_of(amp) for amp in ("auto", "off", "bf16", "fp16")] == [
        *("auto", "fp32", "bf16", "fp16")
    ]
    with pytest.raises(UsageError, match="unknown --amp 'on'"):
        precision_of("on")
