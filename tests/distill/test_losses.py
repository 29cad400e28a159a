import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from edgespiral.core.errors import UsageError
from edgespiral.distill import losses
from edgespiral.tasks.classification import CLASSIFICATION

torch.manual_seed(0)
STUDENT, TEACHER, OTHER = (torch.randn(6, 5, dtype=torch.float64).float() * 3 for _ in range(3))
LABELS = torch.randint(0, 5, (6,))


def kl_by_hand(target, probabilities):
    return (target * (target.log() - probabilities.log())).sum(dim=1).mean()


def value(name, student=STUDENT, teacher=TEACHER, *, temperature=4.0, alpha=0.9):
    return losses.get(name, task=CLASSIFICATION)(
        student, teacher, LABELS, temperature=temperature, alpha=alpha
    )


@given(temperature=st.floats(0.5, 10), alpha=st.floats(0, 1))
def test_kd_is_the_formula_of_hinton(temperature, alpha):
    soft_teacher, soft_student = ((z / temperature).softmax(dim=1) for z in (TEACHER, STUDENT))
    expected = (1 - alpha) * F.cross_entropy(STUDENT, LABELS)
    expected += alpha * temperature**2 * kl_by_hand(soft_teacher, soft_student)
    found = losses.get("kd", CLASSIFICATION)(
        STUDENT, TEACHER, LABELS, temperature=temperature, alpha=alpha
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", losses.names())
def test_a_perfect_student_has_no_distance(name):
    assert float(value(name, TEACHER, TEACHER, alpha=1.0)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", losses.names())
def test_without_alpha_only_cross_entropy_counts(name):
    expected = float(F.cross_entropy(STUDENT, LABELS))
    assert float(value(name, alpha=0.0)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", losses.names())
def test_several_equal_teachers_are_one(name):
    both = torch.stack([TEACHER, TEACHER])
    assert float(value(name, teacher=both)) == pytest.approx(float(value(name)), rel=1e-5)


def test_softened_outputs_of_teachers_are_averaged():
    tau = 3.0
    mean = ((TEACHER / tau).softmax(1) + (OTHER / tau).softmax(1)) / 2
    expected = tau**2 * kl_by_hand(mean, (STUDENT / tau).softmax(1))
    found = value("kd", teacher=torch.stack([TEACHER, OTHER]), temperature=tau, alpha=1.0)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("name", losses.names())
def test_gradients_reach_the_student_and_are_finite(name):
    student = STUDENT.clone().requires_grad_()
    value(name, student).backward()
    assert student.grad.isfinite().all()
    assert student.grad.abs().sum() > 0


def test_unknown_loss_names_the_nearest():
    with pytest.raises(UsageError, match="unknown loss 'kb'; did you mean kd"):
        losses.get("kb", task=CLASSIFICATION)
