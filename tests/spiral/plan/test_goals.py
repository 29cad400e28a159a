from plans import GOOD, problems_of

from edgespiral.measure.beside.limits import limited
from edgespiral.spiral.plan import load_plan


def test_memory_and_energy_may_be_limited_on_some_targets() -> None:
    asked = {**GOOD, "target": ["host-cpu", "board"]}
    plan = load_plan(None, {**asked, "memory_mib": {"board": 80.0}, "energy_mj": {"board": 4.0}})
    assert limited(plan.targets, plan.memory_mib) == {"board": 80.0}
    assert limited(plan.targets, plan.energy_mj) == {"board": 4.0}
    everywhere = load_plan(None, {**asked, "memory_mib": 80.0})
    assert limited(everywhere.targets, everywhere.memory_mib) == {"host-cpu": 80.0, "board": 80.0}
    [problem] = problems_of(None, {**asked, "memory_mib": {"broad": 80.0}})
    assert problem.endswith("a budget is given for broad, the plan's targets are: host-cpu, board")
    [problem] = problems_of(None, {**asked, "memory_mib": {"board": 2.0**31}})
    assert problem.startswith("--memory-mib: must be <= 1073741824")
