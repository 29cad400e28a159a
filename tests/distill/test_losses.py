import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from edgespiral.core.errors import UsageError
from edgespiral.distill import losses

torch.manual_seed(0)
STUDENT, TEACHER, OTHER = (torch.randn(6, 5, dtype=torch.float64).float() * 3 for _ in range(3))
LABELS = torch.randint(0, 5, (6,))


def kl_by_hand(target, probabilities):
    return (target * (target.log() - probabilities.log())).sum(dim=1).mean()


def value(name, student=STUDENT, teacher=TEACHER, *, temperature=4.0, alpha=0.9):
    return losses.get(name)(student, teacher, LABELS, temperature=temperature, alpha=alpha)


@given(temperature=st.floats(0.5, 10), alpha=st.floats(0, 1))
def test_kd_is_the_formula_of_hinton(temperature, alpha):
    soft_teacher, soft_student = ((z / temperature).softmax(dim=1) for z in (TEACHER, STUDENT))
    expected = (1 - alpha) * F.cross_entropy(STUDENT, LABELS)
    expected += alpha * temperature**2 * kl_by_hand(soft_teacher, soft_student)
    found = losses.distillation_loss(STUDENT, TEACHER, LABELS, temperature=temperature, alpha=alpha)
    assert float(found) == pytest.approx(float(expected), rel=1e-4, abs=1e-5)


def test_standardised_is_nine_times_kd_of_z_scores():
    def z_score(logits):
        return (logits - logits.mean(1, keepdim=True)) / logits.std(1, keepdim=True)

    expected = 9 * value("kd", z_score(STUDENT), z_score(TEACHER), temperature=2.0, alpha=1.0)
    found = value("standardised", temperature=2.0, alpha=1.0)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_dist_is_one_minus_the_correlations_of_rows_and_columns():
    tau = 2.0
    student, teacher = ((z / tau).softmax(dim=1) for z in (STUDENT, TEACHER))

    def mean_correlation(first, second):
        pairs = zip(first, second, strict=True)
        return sum(torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs) / len(first)

    rows, columns = mean_correlation(student, teacher), mean_correlation(student.T, teacher.T)
    expected = tau**2 * ((1 - rows) + (1 - columns))
    found = value("dist", temperature=tau, alpha=1.0)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("name", losses.names())
def test_a_perfect_student_has_no_distance(name):
    assert float(value(name, TEACHER, TEACHER, alpha=1.0)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", ["standardised", "dist"])
def test_scale_is_forgiven_where_the_paper_says_so(name):
    shifted = TEACHER + 7 if name == "dist" else 3 * TEACHER + 7
    assert float(value(name, shifted, TEACHER, alpha=1.0)) == pytest.approx(0, abs=1e-4)


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
    with pytest.raises(UsageError, match="unknown loss 'standardized'; did you mean standardised"):
        losses.get("standardized")
