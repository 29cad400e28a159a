"""A run tried without writing anything."""

from pathlib import Path

import pytest
from example_records import an_exploration, explored_point
from quick_runs import QUICK

from edgespiral.core.errors import ModelError, TargetError, UsageError
from edgespiral.core.listener import Silent
from edgespiral.core.records.comparing.exploration import EXPLORATION
from edgespiral.data import load
from edgespiral.models.load import load_model_for
from edgespiral.models.saved import weights_sha256
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.starting.rehearsal import Rehearsal, rehearse


def test_it_says_what_is_cut_timed_and_trained_and_leaves_nothing(
    rehearsed: tuple[Rehearsal, list[str], set[Path]],
) -> None:
    rehearsal, lines, left = rehearsed
    assert left == set()
    assert any(line.startswith("  can be cut: ") for line in lines)
    assert (rehearsal.groups, rehearsal.channels) == (2, 64)
    [latency_ms], [budget] = rehearsal.teacher_ms, rehearsal.budgets.each
    assert budget.latency_ms == pytest.approx(latency_ms / 2)
    work = rehearsal.work
    assert (work.turns, work.train, work.validation, work.test) == (1, 1167, 270, 360)
    assert work.steps == 2 * (1167 // 64)
    assert work.keeps_outputs
    assert rehearsal.seconds == sum(part.seconds for part in rehearsal.parts)
    assert all(part.seconds > 0 for part in rehearsal.parts)


def test_a_budget_that_is_met_takes_no_turn(digits_plan: Plan) -> None:
    slow = digits_plan.model_copy(update={"speedup": None, "latency_ms": 1e4})
    rehearsal = rehearse(slow, Silent())
    assert rehearsal.work.turns == 0
    assert [part.name for part in rehearsal.parts] == ["the teacher", "the end"]


def test_other_goals_are_rehearsed_too(digits_plan: Plan) -> None:
    sized = digits_plan.model_copy(update={"speedup": None, "parameters": 0.1, "size_mib": 99.0})
    rehearsal = rehearse(sized, Silent())
    assert rehearsal.work.turns == 2, "a tenth of the parameters is more than one turn may cut"
    goal = digits_plan.model_copy(update={"speedup": None, "turns": 3})
    students = rehearse(goal, Silent()).work
    assert students.turns == 3
    assert students.steps == 3 * rehearsal.work.steps, "each may be the one that ships"


def explored(plan: Plan, folder: Path, teacher_sha256: str) -> Plan:
    """As `plan`, from a point of an exploration of a teacher with these weights."""
    folder.mkdir()
    found = an_exploration(explored_point(1, 4.0, 0.1), teacher_sha256=teacher_sha256)
    (folder / EXPLORATION).write_text(found.model_dump_json())
    return plan.model_copy(update={"explored": folder, "point": 1})


def test_a_run_from_a_point_has_one_turn_and_the_teacher_of_the_exploration(
    digits_plan: Plan, tmp_path: Path
) -> None:
    far = digits_plan.model_copy(update={"speedup": 12.0})
    with pytest.raises(UsageError, match=r"--explored: .* is another teacher than this one"):
        rehearse(explored(far, tmp_path / "other", "0" * 64), Silent())
    model = load_model_for(load("digits"), digits_plan.model, weights=None)
    own = explored(far, tmp_path / "own", weights_sha256(model))
    assert rehearse(own, Silent()).work.turns == 1
    alone = own.model_copy(update={"explored": None, "point": None})
    assert rehearse(alone, Silent()).work.turns == 2


def test_a_precision_is_refused_as_by_the_run(digits_plan: Plan, tmp_path: Path) -> None:
    other = tmp_path / "b.toml"
    other.write_text(Path(QUICK).read_text().replace('name = "quick"', 'name = "b"'))
    several = {"target": (QUICK, str(other)), "precision": "int8"}
    with pytest.raises(UsageError, match="--precision: int8 is for runs of one target"):
        rehearse(digits_plan.model_copy(update=several), Silent())
    parts = {"task": "translation", "precision": "int8"}
    with pytest.raises(UsageError, match=r"a model that runs in parts .* is exported in fp32"):
        rehearse(digits_plan.model_copy(update=parts), Silent())
    with pytest.raises(UsageError, match="recipe"):
        rehearse(digits_plan.model_copy(update={"recipe": "none such"}), Silent())


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"weights": Path("none.pt")}, ModelError),
        ({"target": "nowhere"}, UsageError),
        ({"freeze": ("nothing*",)}, UsageError),
        ({"model": "resnet8"}, UsageError),
    ],
)
def test_what_would_stop_the_run_is_told(
    digits_plan: Plan, change: dict[str, object], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        rehearse(digits_plan.model_copy(update=change), Silent())


def test_a_device_that_is_not_there_is_told(digits_plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "gone.toml"
    path.write_text(
        'schema = 1\nname = "gone"\n[runtime]\nkind = "onnxruntime"\n'
        '[transport]\nkind = "ssh"\nhost = "nobody.invalid"\nretry_s = 0\n'
    )
    with pytest.raises(TargetError):
        rehearse(digits_plan.model_copy(update={"target": str(path)}), Silent())
