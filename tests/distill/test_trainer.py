import signal
from dataclasses import replace

import pytest
import torch
from torch import nn

from edgespiral import data, models
from edgespiral.core.errors import DataError, ModelError, RunFolderError, TrainingError
from edgespiral.distill.batchnorm import batchnorm_scales, flush_subnormals, recalibrate_batchnorm
from edgespiral.distill.evaluate import score
from edgespiral.distill.settings import TrainSettings
from edgespiral.distill.trainer import Objective, train
from edgespiral.tasks.classification import CLASSIFICATION

# What is minimised where nobody teaches.
TARGETS = Objective(CLASSIFICATION)
SETTINGS = TrainSettings(epochs=2.5, batch_size=64, learning_rate=0.1, seed=3)
STEPS = 45


@pytest.fixture(scope="module")
def splits():
    return data.load("digits")


def fresh(seed=0, dropout=False):
    torch.manual_seed(seed)
    model = models.build("resnet8", classes=10, input_shape=(1, 8, 8))
    if dropout:
        model.flatten = nn.Sequential(nn.Flatten(), nn.Dropout(0.2))
    return model


def assert_identical(model, other):
    for key, value in other.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


class KilledError(Exception):
    """Stands for SIGKILL: nothing in the trainer may catch it."""


def stop_at(step, action):
    def heard(progress):
        if progress.step == step:
            action()

    return heard


def kill():
    raise KilledError


def ctrl_c():
    raise KeyboardInterrupt


def test_training_learns_and_reports(splits):
    model, seen = fresh(), []
    report = train(model, splits, replace(SETTINGS, epochs=6), TARGETS, progress=seen.append)
    assert score(model, splits.validation, task=CLASSIFICATION) > 85
    assert report.steps == 108
    assert report.seconds > 0
    assert 0 < report.train_loss < 1
    assert [p.step for p in seen] == [*range(10, 101, 10), 108]
    assert all(p.steps == 108 and p.samples_per_s > 0 for p in seen)
    assert not model.training


def half_of(model):
    return {
        name: torch.rand(p.shape, generator=torch.Generator().manual_seed(7)) > 0.5
        for name, p in model.named_parameters()
        if p.ndim > 1
    }


def test_masked_weights_stay_zero_and_a_killed_run_goes_on_bit_for_bit(splits, tmp_path):
    masks = half_of(fresh())
    whole, killed, resumed = fresh(), fresh(), fresh()
    train(whole, splits, SETTINGS, TARGETS, masks=masks)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        train(
            killed,
            splits,
            SETTINGS,
            TARGETS,
            masks=masks,
            checkpoint=path,
            progress=stop_at(20, ctrl_c),
        )
    report = train(resumed, splits, SETTINGS, TARGETS, masks=masks, checkpoint=path)
    assert report.resumed_at_step == 20
    assert_identical(resumed, whole)
    for name, mask in masks.items():
        assert torch.equal(whole.get_parameter(name) != 0, mask)


def test_a_checkpoint_of_other_masks_is_refused(splits, tmp_path):
    path = tmp_path / "checkpoint.pt"
    settings = replace(SETTINGS, epochs=0.1)
    train(fresh(), splits, settings, TARGETS, masks=half_of(fresh()), checkpoint=path)
    with pytest.raises(RunFolderError, match="other settings"):
        train(fresh(), splits, settings, TARGETS, checkpoint=path)


def test_the_penalty_on_scales_shrinks_them(splits):
    plain, pressed = fresh(), fresh()
    train(plain, splits, replace(SETTINGS, epochs=1), TARGETS)
    train(pressed, splits, replace(SETTINGS, epochs=1, scale_l1=0.05), TARGETS)
    means = [
        float(torch.cat([s.detach().abs() for s in batchnorm_scales(model)]).mean())
        for model in (plain, pressed)
    ]
    assert means[1] < means[0] - 0.1


def test_epochs_are_counted_in_steps(splits):
    assert train(fresh(), splits, replace(SETTINGS, epochs=0.25), TARGETS).steps == 4
    assert train(fresh(), splits, replace(SETTINGS, epochs=0.001), TARGETS).steps == 1


@pytest.mark.parametrize(("teachers", "kept"), [(0, False), (2, False), (2, True)])
def test_a_killed_run_goes_on_bit_for_bit(splits, tmp_path, teachers, kept):
    given = [fresh(seed=10 + index) for index in range(teachers)]
    outputs = None
    if kept:
        splits = splits.unaugmented()
        outputs = torch.stack([outputs_of(teacher, splits.train) for teacher in given])
    undisturbed = fresh(dropout=True)
    train(undisturbed, splits, SETTINGS, Objective(CLASSIFICATION, teachers=given, outputs=outputs))
    path, resumed = tmp_path / "c.pt", fresh(dropout=True)
    with pytest.raises(KilledError):
        train(
            fresh(dropout=True),
            splits,
            SETTINGS,
            Objective(CLASSIFICATION, teachers=given, outputs=outputs),
            checkpoint=path,
            progress=stop_at(30, kill),
        )
    report = train(
        resumed,
        splits,
        SETTINGS,
        Objective(CLASSIFICATION, teachers=given, outputs=outputs),
        checkpoint=path,
    )
    assert report.resumed_at_step == 18
    assert_identical(resumed, undisturbed)


@pytest.mark.parametrize("kept", [False, True])
def test_ctrl_c_keeps_the_very_step(splits, tmp_path, kept):
    undisturbed, resumed, path = fresh(), fresh(), tmp_path / "c.pt"
    teacher = fresh(seed=10)
    splits = splits.unaugmented()
    outputs = outputs_of(teacher, splits.train)[None] if kept else None
    taught = Objective(CLASSIFICATION, [teacher], outputs)
    train(undisturbed, splits, SETTINGS, taught)
    interrupt = stop_at(30, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(fresh(), splits, SETTINGS, taught, checkpoint=path, progress=interrupt)
    report = train(resumed, splits, SETTINGS, taught, checkpoint=path)
    assert report.resumed_at_step == 30
    assert_identical(resumed, undisturbed)


class Interrupted(nn.Module):
    """A student in whose forward pass Ctrl-C is pressed twice, at the given call."""

    def __init__(self, inner, at):
        super().__init__()
        self.inner, self.at, self.calls = inner, at, 0

    def forward(self, inputs):
        outputs = self.inner(inputs)
        self.calls += 1
        if self.calls == self.at:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return outputs


def test_a_second_ctrl_c_within_a_step_does_not_save_half_of_it(splits, tmp_path):
    undisturbed, resumed = Interrupted(fresh(), 0), Interrupted(fresh(), 0)
    path = tmp_path / "c.pt"
    train(undisturbed, splits, SETTINGS, TARGETS)
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(fresh(), 25), splits, SETTINGS, TARGETS, checkpoint=path)
    report = train(resumed, splits, SETTINGS, TARGETS, checkpoint=path)
    assert report.resumed_at_step == 18
    assert_identical(resumed, undisturbed)


def test_a_finished_run_is_not_done_again(splits, tmp_path):
    first, second, path = fresh(), fresh(seed=1), tmp_path / "c.pt"
    settings = replace(SETTINGS, epochs=0.5)
    report = train(first, splits, settings, TARGETS, checkpoint=path)
    again = train(second, splits, settings, TARGETS, checkpoint=path)
    assert again.resumed_at_step == again.steps == report.steps
    assert again.train_loss == report.train_loss
    assert_identical(second, first)


def test_a_checkpoint_of_other_settings_is_refused(splits, tmp_path):
    path = tmp_path / "c.pt"
    train(fresh(), splits, replace(SETTINGS, epochs=0.2), TARGETS, checkpoint=path)
    with pytest.raises(RunFolderError, match="other settings"):
        train(fresh(), splits, replace(SETTINGS, epochs=0.3), TARGETS, checkpoint=path)


def test_seeds_matter_and_repeat(splits):
    settings = replace(SETTINGS, epochs=0.5)
    first, second, other = fresh(), fresh(), fresh()
    train(first, splits, settings, TARGETS)
    train(second, splits, settings, TARGETS)
    train(other, splits, replace(settings, seed=4), TARGETS)
    assert_identical(first, second)
    assert not torch.equal(first.fc.weight, other.fc.weight)


def test_divergence_keeps_the_last_good_weights(splits, tmp_path):
    model, path = fresh(), tmp_path / "c.pt"
    poison = stop_at(30, lambda: model.fc.weight.data.fill_(torch.nan))
    with pytest.raises(TrainingError, match="at epoch 2, step 36 of 45") as caught:
        train(model, splits, SETTINGS, TARGETS, checkpoint=path, progress=poison)
    assert "of step 18, are kept; try a lower --learning-rate" in str(caught.value)
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_a_rate_far_too_high_is_told(splits):
    with pytest.raises(TrainingError, match="--learning-rate"):
        train(fresh(), splits, replace(SETTINGS, learning_rate=1e12, warmup_fraction=0.0), TARGETS)


class Counting(nn.Module):
    """Notes what it was shown."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.seen = []

    def forward(self, inputs):
        self.seen.append((inputs.clone(), self.training, torch.is_grad_enabled()))
        return self.inner(inputs)


def test_teachers_see_each_view_once_in_eval_mode(splits):
    teachers = [Counting(fresh(seed=5)), Counting(fresh(seed=6))]
    student = Counting(fresh())
    before = {key: value.clone() for key, value in teachers[0].state_dict().items()}
    report = train(
        student, splits, replace(SETTINGS, epochs=0.3), Objective(CLASSIFICATION, teachers=teachers)
    )
    for teacher in teachers:
        assert len(teacher.seen) == len(student.seen) == report.steps
        for (view, training, gradients), (same, _, _) in zip(
            teacher.seen, student.seen, strict=True
        ):
            assert torch.equal(view, same)
            assert not training
            assert not gradients
    for key, value in before.items():
        assert torch.equal(teachers[0].state_dict()[key], value)


@torch.inference_mode()
def outputs_of(teacher, source):
    return torch.cat([teacher.eval()(inputs) for inputs, _ in source.epoch(batch_size=64)])


def test_kept_outputs_teach_what_the_teacher_would(splits):
    plain, exact = splits.unaugmented(), replace(SETTINGS, precision="fp32", epochs=1.5)
    teacher = Counting(fresh(seed=5))
    asked, looked_up = fresh(), fresh()
    train(asked, plain, exact, Objective(CLASSIFICATION, teachers=[teacher]))
    outputs = outputs_of(teacher.inner, plain.train)[None]
    calls = len(teacher.seen)
    train(looked_up, plain, exact, Objective(CLASSIFICATION, teachers=[teacher], outputs=outputs))
    assert len(teacher.seen) == calls
    for name, value in asked.state_dict().items():
        assert torch.allclose(looked_up.state_dict()[name], value, atol=1e-3), name


def test_kept_outputs_are_of_no_use_for_random_views(splits):
    outputs = torch.zeros(1, len(splits.train), 10)
    with pytest.raises(DataError, match="not of random views"):
        train(
            fresh(),
            splits,
            SETTINGS,
            Objective(CLASSIFICATION, teachers=[fresh(1)], outputs=outputs),
        )


def test_a_student_follows_its_teacher(splits):
    teacher = fresh(seed=1)
    train(teacher, splits, replace(SETTINGS, epochs=6), TARGETS)
    student = fresh(seed=2)
    settings = replace(SETTINGS, epochs=5, alpha=0.9)
    train(student, splits, settings, Objective(CLASSIFICATION, teachers=[teacher]))
    assert score(student, splits.validation, task=CLASSIFICATION) > 80


def test_fewer_samples_than_a_batch(splits):
    with pytest.raises(DataError, match="1167 training samples do not fill a batch of 2000"):
        train(fresh(), splits, replace(SETTINGS, batch_size=2000), TARGETS)


def test_the_callers_random_state_is_left_alone(splits):
    model = fresh()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    train(model, splits, replace(SETTINGS, epochs=0.1), TARGETS)
    assert torch.equal(torch.rand(1), expected)


def test_batchnorm_recalibration_mends_spoiled_statistics(splits):
    model = fresh()
    train(model, splits, replace(SETTINGS, epochs=6), TARGETS)
    good = score(model, splits.validation, task=CLASSIFICATION)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.add_(3.0)
    spoiled = score(model, splits.validation, task=CLASSIFICATION)
    recalibrate_batchnorm(model, splits.train, batches=9, seed=1)
    assert spoiled < 50
    assert score(model, splits.validation, task=CLASSIFICATION) > good - 5
    assert not model.training
    assert model.bn1.momentum == 0.1


def test_batchnorm_recalibration_is_the_mean_over_batches(splits):
    layer = nn.BatchNorm2d(1)
    recalibrate_batchnorm(layer, splits.train, batches=5, batch_size=32, seed=7)
    batches = [inputs for inputs, _ in splits.train.epoch(batch_size=32, seed=7)][:5]
    expected = torch.stack([inputs.mean() for inputs in batches]).mean()
    assert float(layer.running_mean) == pytest.approx(float(expected), abs=1e-2)


def test_subnormal_weights_become_zero():
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[1e-40, -1e-30]])
    flush_subnormals(layer)
    assert layer.weight[0, 0] == 0
    assert layer.weight[0, 1] == torch.tensor(-1e-30)


class Fragile(nn.Module):
    """Fails at its third batch, forward or backward."""

    def __init__(self, error, *, backward=False):
        super().__init__()
        self.layer, self.error, self.backward, self.calls = nn.Linear(64, 10), error, backward, 0

    def fail(self, _gradient=None):
        raise self.error

    def forward(self, inputs):
        logits = self.layer(inputs.flatten(1))
        self.calls += 1
        if self.calls == 3 and self.backward:
            logits.register_hook(self.fail)
        elif self.calls == 3:
            self.fail()
        return logits


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("error", [KeyError("size"), SystemExit(2), RuntimeError("a\nb")])
def test_a_model_that_fails_while_it_trains_is_one_line(splits, error, backward):
    name = type(error).__name__
    words = f"Fragile: the model fails at step 3: {name}"
    with pytest.raises(ModelError, match=words) as caught:
        train(Fragile(error, backward=backward), splits, SETTINGS, TARGETS)
    assert "\n" not in str(caught.value)


def test_a_model_that_fails_while_it_is_scored_is_one_line(splits):
    with pytest.raises(ModelError, match=r"Fragile: the model fails on \d+ samples of .*KeyError"):
        score(Fragile(KeyError("size")), splits.test, batch_size=50, task=CLASSIFICATION)
