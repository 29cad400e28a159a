import re
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from edgespiral.cli.app import main
from edgespiral.cli.verbs.compress import default_folder
from edgespiral.core.errors import ExitCode
from edgespiral.spiral.plan import Plan, load_plan

Command = Callable[..., CompletedProcess[str]]
COARSE = """
schema = 1
name = "coarse"
[runtime]
kind = "onnxruntime"
[transport]
kind = "local"
[device]
channel_multiple = 64
"""


def test_the_help_shows_every_field_of_a_plan_with_its_own_default(edgespiral: Command) -> None:
    page = edgespiral("compress", "--help").stdout
    # Without the frame, an option's text is in one piece however often it is broken.
    text = " ".join(page.replace("│", " ").split())
    for name, field in Plan.model_fields.items():
        if name in ("schema_version", "model"):
            continue
        flag = name.replace("_", "-")
        assert f"--{flag} " in text
        default = field.default
        if isinstance(default, bool):
            default = flag if default else f"no-{flag}"
        if default not in (None, "", ()):
            # Flags are named in others' texts too, and a default may go on, as "fewer where ...".
            shown = re.findall(rf"(?=--{flag} .*?\[default: \(([^),]*))", text)
            assert str(default) in shown, name


def test_problems_of_flags_and_file_are_told_in_one_line(
    edgespiral: Command, tmp_path: Path
) -> None:
    (tmp_path / "plan.toml").write_text('model = "resnet20"\nseed = -1\n', encoding="utf-8")
    done = edgespiral(
        *("compress", "--config", "plan.toml", "--latency-ms", "nan"),
        *("--criterion", "fischer", "--turns", "some"),
    )
    assert done.returncode == ExitCode.USAGE
    problems, page = done.stderr.removeprefix("error: ").split(" (see ")
    assert page == "docs/commands.md)\n"
    assert sorted(problems.split("; ")) == [
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


NETS = Path(__file__).parents[1] / "nets.py"
REFUSED = {
    "gradients without labels": (
        ("net", "unlabelled"), ExitCode.DATA,
        "nets.py:unlabelled: train: samples have no labels; data without targets says labelled=F"),
    "nothing to cut": (
        ("flat", "data"), ExitCode.MODEL, "no layer has channels that can be cut"),
    "a target that has no profile": (
        ("net", "nowhere", "--target", "jetson-orinn"), ExitCode.USAGE,
        "unknown target 'jetson-orinn'; did you mean jetson-orin or"),
    "a multiple larger than every layer": (
        ("net", "data", "--target", "coarse.toml"), ExitCode.USAGE,
        "device.channel_multiple: nothing to cut: the widest group has 33 channels and the step"),
    "2:4 where no width divides by 4": (
        ("net", "data", "--sparsity", "2:4"), ExitCode.MODEL,
        "--sparsity: no layer can be 2:4 sparse: 0 (1 input channel, not a multiple of 4), 2 (33"),
    "scales without batch norm": (
        ("net", "data", "--criterion", "l1-reg"), ExitCode.MODEL,
        "0: l1-reg reads scaling factors of batch norm, and no batch norm follows this layer"),
    "a recurrent net with projections": (
        ("projected", "text"), ExitCode.MODEL,
        "embed and 1 more: channels are not followed through (LSTM rnn)"),
    "packed sequences": (
        ("packing", "text"), ExitCode.MODEL, "must not branch on tensor values, nor pack sequen"),
    "outputs that depend on the batch": (
        ("batch_statistics", "data"), ExitCode.MODEL,
        "1 (BatchNorm2d): what it says of a sample depends on the others in its batch; the file"),
    "a share of weights above all": (
        ("net", "data", "--sparsity", "1.5"), ExitCode.USAGE,
        "--sparsity: must be a share of weights between 0 and 1"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_work_is_told_in_one_line_before_any_training(
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (model, data, *flags), code, told = REFUSED[what]
    (tmp_path / "coarse.toml").write_text(COARSE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    command = ["compress", f"{NETS}:{model}", "--data", f"{NETS}:{data}", "--speedup", "2"]
    more = ["--batch-size", "8", "--out", "run", *flags]
    monkeypatch.setattr(sys, "argv", ["edgespiral", *command, *more])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert told in line
    assert not (tmp_path / "run" / "journal.jsonl").exists()


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


def test_a_folder_of_the_user_s_is_not_taken_for_the_run_s(
    edgespiral: Command, tmp_path: Path
) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "precious").touch()
    layers = "nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1152, 10)"
    (tmp_path / "net.py").write_text(
        f"from torch import nn\ndef net(): return nn.Sequential({layers})\n"
    )
    words = ("compress", "net.py:net", "--data", "digits", "--target", "host-cpu")
    done = edgespiral(*words, "--speedup", "2", "--out", ".")
    assert done.returncode == ExitCode.RUN_FOLDER
    assert "outputs: is in the way" in done.stderr
    assert (tmp_path / "outputs" / "precious").exists()
