"""The whole job, for real: ONNX Runtime in its own process, digits, NNI, distillation."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import onnx
import pytest
import torch
from command import command
from forked import Forked
from quick_runs import FINISHED, PLAIN, flags
from small_disk import small_disk

from edgespiral import api
from edgespiral.core.errors import DataError, ExitCode, ModelError, RunFolderError, TargetError
from edgespiral.core.records.events import Baseline, Outcome, TurnFinished, TurnPlanned
from edgespiral.core.records.journal import read
from edgespiral.models import build

if TYPE_CHECKING:
    from pathlib import Path


def test_a_target_that_times_nothing_is_refused_before_anything_is_done(teacher, digits, tmp_path):
    with pytest.raises(TargetError, match="tensorrt-rtx: latency cannot be measured here"):
        api.compress(teacher, digits, out=tmp_path / "run", target="tensorrt-rtx", speedup=2.0)
    assert not (tmp_path / "run").exists()


def test_a_net_that_could_be_left_without_channels_is_compressed(
    in_branches, digits, quick_options, tmp_path
):
    asked = {**quick_options, "speedup": 1.3, "max_drop": 90.0}
    done = api.compress(in_branches, digits, out=tmp_path / "run", **asked)
    assert done.result.outcome is Outcome.MET
    assert done.result.devices[0].speedup.value > 1.3


class Views:
    """The training part of digits, which notes the batch sizes of passes with random views."""

    def __init__(self, stored):
        self.stored, self.sizes = stored, set()

    def __len__(self):
        return len(self.stored)

    def epoch(self, *, batch_size, **how):
        self.sizes.add(batch_size)
        return self.stored.epoch(batch_size=batch_size, **how)

    def unaugmented(self):
        return self.stored


@pytest.mark.parametrize("augment", [None, False, True])
def test_students_see_random_views_only_if_asked_to(wide, digits, tmp_path, augment):
    views = Views(digits.train)
    of_training_alone = 48
    api.compress(
        wide,
        replace(digits, train=views),
        out=tmp_path / "run",
        augment=augment,
        batch_size=of_training_alone,
        **PLAIN | {"speedup": 1.3, "turns": 1, "epochs": 0.1, "max_drop": 95.0},
    )
    assert (of_training_alone in views.sizes) is bool(augment)
    assert bool(views.sizes) is bool(augment)


def test_it_meets_the_budget_and_lands_close_to_it(finished):
    result = finished.result
    assert (result.outcome, result.exit_code) == (Outcome.MET, ExitCode.OK)
    assert 1.6 <= result.devices[0].speedup.value <= 1.6 / 0.8
    assert result.student.validation_score > 80.0
    assert result.student.test_score is not None
    assert result.teacher.test_score is not None


def test_channels_are_physically_gone(finished, teacher):
    result = finished.result
    assert result.student.parameter_count < result.teacher.parameter_count
    count = sum(parameter.numel() for parameter in finished.model.parameters())
    assert count == result.student.parameter_count
    names = {tensor.name for tensor in onnx.load(finished.folder / "model.onnx").graph.initializer}
    assert len(names) <= len(list(teacher.state_dict()))
    assert finished.model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_the_journal_has_the_network_and_what_is_left_of_its_layers(finished, teacher):
    events = read(finished.folder / "journal.jsonl")
    network = next(event for event in events if isinstance(event, Baseline)).network
    best = finished.result.best_turn
    turn = next(event for event in events if isinstance(event, TurnFinished) and event.turn == best)
    whole = {node.layer: node.channels for node in network if node.channels is not None}
    assert whole == weighted(teacher)
    assert turn.layers == weighted(finished.model)
    assert sum(turn.layers.values()) < sum(whole.values())
    joins = [node for node in network if node.operator == "add"]
    assert [len(node.inputs) for node in joins] == [2] * 9
    page = (finished.folder / "report.html").read_text("utf-8")
    assert "The network, and what was cut" in page
    assert "Channels per group" not in page


def weighted(model):
    """Outputs of each layer of convolutions or products, by name."""
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    return {n: len(m.weight) for n, m in model.named_modules() if isinstance(m, kinds)}


def test_the_folder_holds_what_ships_and_says_so(finished):
    folder, result = finished.folder, finished.result
    for name in ("model.onnx", "model.py", "model.safetensors", "journal.jsonl", "report.html"):
        assert (folder / name).stat().st_size > 0
    stored = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert stored["schema_version"] == 2
    assert stored["devices"][0]["speedup"]["value"] == result.devices[0].speedup.value
    assert not (folder / "candidates").exists()
    assert not (folder / "outputs").exists()


def test_the_exported_file_measures_within_the_budget_again(finished):
    teacher_again, student_again = api.measure_models(
        [finished.folder / "teacher" / "model.onnx", finished.folder / "model.onnx"]
    )
    # Far from 1.6, so that a busy machine does not decide it: the figure itself is bench's.
    assert teacher_again.stats.p50_ms / student_again.stats.p50_ms > 1.2


def test_a_finished_run_is_not_done_again(finished, teacher, digits):
    again = api.compress(teacher, digits, out=finished.folder, resume=True, **FINISHED)
    assert again.result == finished.result


def test_an_existing_run_needs_resume(finished, teacher, digits):
    before = (finished.folder / "journal.jsonl").read_bytes()
    with pytest.raises(RunFolderError, match="--resume"):
        api.compress(teacher, digits, out=finished.folder, **FINISHED)
    with pytest.raises(RunFolderError, match="another plan"):
        api.compress(teacher, digits, out=finished.folder, resume=True, **FINISHED | {"seed": 9})
    assert (finished.folder / "journal.jsonl").read_bytes() == before


def test_a_run_of_another_teacher_is_refused(finished, digits):
    torch.manual_seed(1)
    other = build("resnet20", classes=10, input_shape=digits.input_shape)
    with pytest.raises(RunFolderError, match="another teacher"):
        api.compress(other, digits, out=finished.folder, resume=True, **FINISHED)


def words(weights: Path, out: Path, *more: str) -> tuple[str, ...]:
    return (
        *("compress", "resnet20", "--data", "digits", "--weights", str(weights)),
        *("--speedup", "1.3", "--epochs", "1.25", "--max-drop", "20", "--out", str(out)),
        *(*flags(PLAIN), "--pruner", "depgraph", *more),
    )


def has(out: Path, kind: str) -> bool:
    journal = out / "journal.jsonl"
    return journal.exists() and f'"kind":"{kind}"' in journal.read_text(encoding="utf-8")


def start_until(asked, ready, end):
    process = Forked(*asked)
    deadline = time.monotonic() + 240
    while not ready() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    process.send_signal(end)
    output = process.communicate(timeout=60)
    return process.returncode, "".join(output)


def test_killed_at_any_point_it_goes_on_to_the_same_widths(weights, tmp_path):
    out = tmp_path / "run"
    moments = {
        "candidate": lambda: has(out, "candidate"),
        "turn-planned": lambda: has(out, "turn-planned"),
        "outputs": (out / "outputs" / "turn-00.safetensors").exists,
        "checkpoint": (out / "turn-01" / "checkpoint.pt").exists,
    }
    for number, ready in enumerate(moments.values()):
        more = ["--resume"] if number else []
        status, _ = start_until(words(weights, out, *more), ready, signal.SIGKILL)
        assert status == -signal.SIGKILL
    killed = read(out / "journal.jsonl")
    done = command(*words(weights, out, "--resume"))
    assert done.returncode == ExitCode.OK, done.stderr
    events = read(out / "journal.jsonl")
    assert list(events[: len(killed)]) == list(killed)
    (planned,) = [event for event in events if isinstance(event, TurnPlanned)]
    turn = next(event for event in events if isinstance(event, TurnFinished))
    assert turn.widths == planned.widths


def test_ctrl_c_keeps_everything_and_prints_the_command_that_goes_on(weights, tmp_path):
    out = tmp_path / "run"
    status, output = start_until(
        words(weights, out), lambda: has(out, "turn-planned"), signal.SIGINT
    )
    assert status == ExitCode.INTERRUPTED
    (told,) = [line for line in output.splitlines() if line.endswith("--resume")]
    assert f"compress resnet20 --data digits --weights {weights}" in told
    assert "Traceback" not in output
    assert has(out, "turn-planned")


def test_two_processes_do_not_share_a_folder(weights, tmp_path):
    out = tmp_path / "run"
    first = Forked(*words(weights, out))
    try:
        while not has(out, "run-started") and first.poll() is None:
            time.sleep(0.02)
        second = command(*words(weights, out))
        assert second.returncode == ExitCode.RUN_FOLDER
        assert "another edgespiral is working in this folder" in second.stderr
    finally:
        first.kill()
        first.communicate()


def test_the_teachers_weights_are_needed(tmp_path):
    asked = ("--data", "digits", "--speedup", "2", "--out", tmp_path / "run")
    done = command("compress", "resnet20", *asked)
    assert done.returncode == ExitCode.USAGE
    assert "edgespiral train resnet20 --data digits" in done.stderr


def test_an_output_folder_that_cannot_be_written_is_named(teacher, digits):
    with pytest.raises(RunFolderError, match="/proc/edgespiral"):
        api.compress(teacher, digits, out="/proc/edgespiral", **FINISHED)


def test_a_full_disk_is_told_and_loses_nothing(teacher, digits, tmp_path):
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", "600k") as disk:
        with pytest.raises(RunFolderError, match="cannot write"):
            api.compress(teacher, digits, out=disk / "run", **FINISHED)
        read(disk / "run" / "journal.jsonl")


def test_a_batch_larger_than_the_data_is_refused(teacher, digits, tmp_path):
    with pytest.raises(DataError, match="batch"):
        api.compress(teacher, digits, out=tmp_path / "run", **FINISHED, batch_size=5000)


def test_a_model_without_logits_is_refused(digits, tmp_path):
    class Pair(torch.nn.Module):
        def forward(self, inputs):
            return inputs, inputs

    with pytest.raises(ModelError, match="logits"):
        api.compress(Pair(), digits, out=tmp_path / "run", **FINISHED)
