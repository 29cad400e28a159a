import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from edgespiral.cli.compress import default_folder
from edgespiral.core.errors import ExitCode
from edgespiral.core.plan import Plan, load_plan

Command = Callable[..., CompletedProcess[str]]


def test_the_help_shows_every_field_of_a_plan_with_its_own_default(edgespiral: Command) -> None:
    lines = edgespiral("compress", "--help").stdout
    for name, field in Plan.model_fields.items():
        if name in ("schema_version", "model"):
            continue
        shown = re.search(rf"--{name.replace('_', '-')} (.*)", lines)
        assert shown, name
        if field.default is not None and not field.is_required():
            assert f"[default: ({field.default})]" in shown[1], name


def test_problems_of_flags_and_file_are_told_in_one_line(
    edgespiral: Command, tmp_path: Path
) -> None:
    (tmp_path / "plan.toml").write_text('model = "resnet20"\nseed = -1\n', encoding="utf-8")
    done = edgespiral(
        *("compress", "--config", "plan.toml", "--latency-ms", "nan"),
        *("--criterion", "fischer", "--turns", "some"),
    )
    assert done.returncode == ExitCode.USAGE
    assert sorted(done.stderr.removeprefix("error: ").rstrip("\n").split("; ")) == [
        "--criterion: unknown criterion 'fischer', did you mean fisher?",
        "--latency-ms: must be a finite number, is nan",
        "--turns: must be a whole number from 1 up or \"auto\", is 'some'",
        "plan.toml:data: is missing",
        "plan.toml:seed: must be >= 0, is -1",
    ]


def test_both_budgets_at_once_are_refused(edgespiral: Command) -> None:
    done = edgespiral("compress", "m", "--data", "d", "--speedup", "2", "--latency-ms", "1")
    assert done.returncode == ExitCode.USAGE
    assert "exactly one of latency_ms and speedup is needed" in done.stderr


def test_the_run_folder_is_named_after_what_is_asked_for() -> None:
    plan = load_plan(None, {"model": "a/net.py:make", "data": "folder:pics", "speedup": 2})
    assert default_folder(plan) == Path("runs/a-net.py-make-folder-pics-host-cpu")


def test_several_targets_and_their_budgets_are_read(edgespiral: Command) -> None:
    plan = load_plan(None, {"model": "m", "data": "d", "target": ["a", "b"], "speedup": 2})
    assert default_folder(plan) == Path("runs/m-d-a-b")
    done = edgespiral(
        *("compress", "m", "--data", "d", "--target", "a", "--target", "b"),
        *("--latency-ms", "a=8", "--speedup", "c=2"),
    )
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith(
        "error: --latency-ms, --speedup: exactly one of latency_ms and speedup is needed for b"
    )
