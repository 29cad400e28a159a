"""What is written is read back as it was meant."""

from pathlib import Path

import pytest

from edgespiral.cli.verbs.init.writing import plan_text, suite_text, write_all
from edgespiral.core.errors import UsageError
from edgespiral.gate.suite import load_suite
from edgespiral.measure.tiny import write_tiny_model
from edgespiral.spiral.plan import Plan, load_plan


@pytest.mark.parametrize(
    "plan",
    [
        Plan(model="net.py:net", data="folder:my 'photos'?size=64", speedup=2),
        Plan(model="m", data='a"b', latency_ms=3.5, weights=Path("w/x.pt"), max_drop=0.25),
        Plan(model="m", data="d", target=("a", "b"), speedup={"a": 1.5, "b": 2}, task="binary"),
    ],
)
def test_a_plan_is_read_back_as_it_was(plan: Plan) -> None:
    Path("plan.toml").write_text(plan_text(plan), encoding="utf-8")
    assert load_plan(Path("plan.toml"), {}) == plan


def test_a_suite_is_read_back() -> None:
    write_tiny_model(Path("a b.onnx"))
    Path("s.toml").write_text(suite_text(Path("a b.onnx"), "host-cpu", None, (1, 3, 8, 8)), "utf-8")
    [case] = load_suite(Path("s.toml")).models
    assert (case.path, case.budget_ms, case.shape) == ("a b.onnx", None, (1, 3, 8, 8))


def test_nothing_is_written_where_one_is_there() -> None:
    Path("b").symlink_to("nowhere")
    with pytest.raises(UsageError, match="b: is there already"):
        write_all({Path("a"): "", Path("b"): ""})
    assert not Path("a").exists()
