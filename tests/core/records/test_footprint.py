from edgespiral.core.records.footprint import MIB, Footprint, FootprintBudget, footprint_budgets
from edgespiral.core.records.measurement import Verdict

TEACHER = Footprint(size_bytes=4 * MIB, parameter_count=1_000_001)


def test_a_share_is_of_the_teacher_s_parameters() -> None:
    [size, half] = footprint_budgets(1.5, 0.5, TEACHER)
    assert (size.kind, size.limit, str(size)) == ("size", 1.5 * MIB, "1.5 MiB")
    assert (half.kind, half.limit) == ("parameters", 500_000.5)
    [count] = footprint_budgets(None, 250, TEACHER)
    assert str(count) == "250 parameters"
    assert footprint_budgets(None, None, TEACHER) == ()


def test_what_is_exactly_as_large_as_it_may_be_is_within() -> None:
    budget = FootprintBudget(kind="parameters", limit=1_000_001)
    assert budget.verdict(TEACHER) is Verdict.MET
    more = Footprint(size_bytes=1, parameter_count=1_000_002)
    assert budget.verdict(more) is Verdict.MISSED
