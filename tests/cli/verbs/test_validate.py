from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from edgespiral.cli.verbs.validate import described
from edgespiral.core.errors import ExitCode
from edgespiral.spiral.plan import load_plan

Command = Callable[..., CompletedProcess[str]]
GOOD = 'model = "resnet20"\ndata = "digits"\nweights = "t.safetensors"\nspeedup = 2\n'


def write(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    (tmp_path / "t.safetensors").touch()


def test_a_good_plan_is_told_back_and_nothing_is_touched(
    edgespiral: Command, tmp_path: Path
) -> None:
    write(tmp_path, GOOD)
    before = sorted(tmp_path.iterdir())
    done = edgespiral("validate", "plan.toml")
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert done.stdout == (
        "ok: resnet20 on digits would be compressed to 2x as fast on host-cpu, in as many turns "
        "as needed, with 4 epochs of distillation in all, losing at most 2 in its metric's unit\n"
    )
    assert sorted(tmp_path.iterdir()) == before


def test_files_that_a_plan_names_may_exist(edgespiral: Command, tmp_path: Path) -> None:
    (tmp_path / "net.py").touch()
    (tmp_path / "pictures").mkdir()
    write(
        tmp_path,
        'model = "net.py:make"\ndata = "folder:pictures?size=64"\nlatency_ms = 1.5\nturns = 3\n',
    )
    done = edgespiral("validate", "plan.toml")
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert "compressed to 1.5 ms on host-cpu, in 3 turns" in done.stdout


def test_each_target_is_told_with_its_budget(edgespiral: Command, tmp_path: Path) -> None:
    budgets = "[latency_ms]\nhost-cpu = 1.5\n[speedup]\nmissing = 2\n"
    targets = 'target = ["host-cpu", "missing"]\n'
    write(tmp_path, GOOD.replace("speedup = 2\n", targets + budgets))
    missing = edgespiral("validate", "plan.toml")
    assert missing.returncode == ExitCode.USAGE
    assert "plan.toml:target: unknown target 'missing'" in missing.stderr
    (tmp_path / "targets").mkdir()
    profile = Path(__file__).parents[3] / "targets" / "host-cpu.toml"
    own = profile.read_text(encoding="utf-8").replace('"host-cpu"', '"missing"')
    (tmp_path / "targets" / "missing.toml").write_text(own, encoding="utf-8")
    told = edgespiral("validate", "plan.toml").stdout
    assert "compressed to 1.5 ms on host-cpu and 2x as fast on missing, in" in told


def test_every_problem_is_in_one_line(edgespiral: Command, tmp_path: Path) -> None:
    write(
        tmp_path,
        'model = "resnet21"\nweights = "none.pt"\ndata = "digit"\ntarget = "host"\nspeedup = 2\n',
    )
    done = edgespiral("validate", "plan.toml")
    assert done.returncode == ExitCode.USAGE
    problems = done.stderr.removeprefix("error: ").rstrip("\n").split("; ")
    assert len(problems) == 4
    assert problems[0].startswith("plan.toml:model: unknown model 'resnet21', did you mean resnet")
    assert problems[1:3] == [
        "plan.toml:weights: none.pt: no such file",
        "plan.toml:data: unknown data set 'digit', did you mean digits?",
    ]
    assert problems[3].startswith("plan.toml:target: ")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("model = ", "plan.toml: is not TOML: Invalid value (at line 1, column 9)"),
        ("spedup = 2", "plan.toml:spedup: unknown key 'spedup', did you mean speedup"),
    ],
)
def test_what_a_plan_file_itself_gets_wrong_is_told(
    edgespiral: Command, tmp_path: Path, line: str, problem: str
) -> None:
    write(tmp_path, f"{line}\n{GOOD}")
    done = edgespiral("validate", "plan.toml")
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith(f"error: {problem}")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("resnet20", "net.py:make"), "plan.toml:model: net.py: no such file"),
        (("resnet20", "net.py"), "plan.toml:model: net.py: no factory named, write"),
        (("digits", "folder:none"), "plan.toml:data: none: no such folder"),
        (("digits", "my.py:data"), "plan.toml:data: my.py: no such file"),
        (('weights = "t.safetensors"', ""), "plan.toml:weights: is missing, resnet20 comes"),
    ],
)
def test_what_a_plan_names_must_be_there(
    edgespiral: Command, tmp_path: Path, change: tuple[str, str], problem: str
) -> None:
    write(tmp_path, GOOD.replace(*change))
    done = edgespiral("validate", "plan.toml")
    assert done.returncode == ExitCode.USAGE
    assert problem in done.stderr


def test_a_target_that_times_nothing_cannot_be_compressed_for(
    edgespiral: Command, tmp_path: Path
) -> None:
    write(tmp_path, GOOD + 'target = "tensorrt-rtx"\n')
    done = edgespiral("validate", "plan.toml")
    assert done.returncode == ExitCode.USAGE
    assert "plan.toml:target: tensorrt-rtx: latency cannot be measured here" in done.stderr


@pytest.mark.parametrize(("sparsity", "said"), [(0.8, "80 %"), ("2:4", "2:4")])
def test_sparse_weights_are_told_back(sparsity: float | str, said: str) -> None:
    plan = load_plan(None, {"model": "m", "data": "d", "speedup": 2, "sparsity": sparsity})
    assert described(plan).endswith(f"at most 2 in its metric's unit, with {said} sparse weights")


def test_a_precision_that_cannot_be_had_is_told(edgespiral: Command, tmp_path: Path) -> None:
    write(tmp_path, GOOD + 'precision = "fp16"\n')
    done = edgespiral("validate", "plan.toml")
    assert done.returncode == ExitCode.USAGE
    assert "plan.toml:precision: fp16 is not to be had on host-cpu" in done.stderr


@pytest.mark.parametrize("key", ["train", "optimizer"])
def test_a_training_of_ones_own_must_be_there(
    edgespiral: Command, tmp_path: Path, key: str
) -> None:
    write(tmp_path, f'{GOOD}{key} = "own.py:make"\n')
    done = edgespiral("validate", "plan.toml")
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == f"error: plan.toml:{key}: own.py: no such file (see docs/commands.md)\n"
    (tmp_path / "own.py").touch()
    assert edgespiral("validate", "plan.toml").returncode == ExitCode.OK
