from __future__ import annotations

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.spiral.sweeping.plan import (
    DIGITS,
    LONGEST_NAME,
    MORE_DIGITS,
    load_sweep,
    name_of,
    runs_of,
)

HEAD = """schema = 1
[plan]
model = "resnet8"
data = "digits"
"""


def written(tmp_path, vary):
    path = tmp_path / "sweep.toml"
    path.write_text(f"{HEAD}[vary]\n{vary}\n")
    return path


def test_every_combination_is_a_run(tmp_path):
    path = written(tmp_path, 'speedup = [1.5, 2.0]\nseed = [0, 1]\ncriterion = ["fisher", "l1"]')
    runs = runs_of(load_sweep(path), str(path))
    assert len(runs) == len({run.name for run in runs}) == 8
    assert [run.values["criterion"] for run in runs[:2]] == ["fisher", "l1"]
    last = runs[-1].plan
    assert (last.model, last.speedup, last.seed, last.criterion) == ("resnet8", 2.0, 1, "l1")


def test_a_name_is_that_of_its_values_and_fit_for_a_folder():
    assert name_of({"seed": 1}) == name_of({"seed": 1})
    assert name_of({"seed": 1}) != name_of({"seed": 2})
    assert "/" not in name_of({"target": "targets/my board.toml"})
    assert name_of({"target": "a/b"}) != name_of({"target": "a b"})
    assert len(name_of({"keep": ["x" * 300]})) < 100


def test_runs_whose_short_names_are_alike_have_longer_ones(tmp_path):
    # Alike in what is left of long values, and in the short hash.
    seen = {}
    for number in range(100_000):
        other = "x" * 90 + str(number)
        before = seen.setdefault(name_of({"speedup": 2.0, "weights": other})[-DIGITS:], other)
        if before != other:
            break
    path = written(tmp_path, f'speedup = [2.0]\nweights = ["{before}", "{other}", "y"]')
    assert before != other
    first, second, third = runs_of(load_sweep(path), str(path))
    assert first.name != second.name
    assert len(first.name) == len(second.name) == LONGEST_NAME + 1 + MORE_DIGITS
    assert third.name == name_of(third.values)


@pytest.mark.parametrize(
    ("vary", "problem"),
    [
        ("speedup = [2, 2.0]", r"vary: the run of speedup = 2 is that of speedup = 2.0, too"),
        ("sped = [2.0]", r"sweep.toml:vary.sped: unknown field 'sped'; did you mean"),
        ("speedup = []", r"sweep.toml:vary.speedup: has no value"),
        ("speedup = [2.0, 2.0]", r"sweep.toml:vary.speedup: has the same value twice"),
        ('out = ["a"]', r"sweep.toml:vary.out: is set by the sweep"),
        ("speedup = [2.0]\nmodel = ['x']", r"sweep.toml:vary.model: is in plan, too"),
        ('speedup = [2.0]\ntask = ["depth"]', r"vary.task: would compare scores of another kind"),
        (
            f"speedup = [2.0]\nseed = {[*range(101)]}\nturns = {[*range(1, 101)]}",
            r"vary: 10,100 combinations, and at most 10,000 are done; vary fewer fields at once",
        ),
        ("speedup = [2.0]\nseed = [2020-01-01]", r'seed = "2020-01-01": .*--seed: '),
        ("seed = [0]", r"seed = 0: .*a goal is needed"),
        ("speedup = [0.5]", r"speedup = 0.5: .*must be > 1"),
        ("speedup = 2.0", r"vary.speedup"),
        ("", "vary"),
    ],
)
def test_what_is_wrong_is_told_before_any_run(tmp_path, vary, problem):
    path = written(tmp_path, vary)
    with pytest.raises(UsageError, match=problem):
        runs_of(load_sweep(path), str(path))
