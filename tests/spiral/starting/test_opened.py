from __future__ import annotations

import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.core.listener import Silent
from edgespiral.core.records.events import RunStarted
from edgespiral.spiral.plan import Plan
from edgespiral.spiral.starting.opened import opened
from edgespiral.spiral.starting.request import RunRequest
from edgespiral.tasks.classification import CLASSIFICATION

PLAN = Plan(model="ResNet", data="digits", speedup=2.0, pruner="depgraph")


def begun(teacher, digits, out, plan=PLAN, *, resume=False, **other):
    request = RunRequest(
        plan=plan,
        model=teacher,
        splits=digits,
        task=CLASSIFICATION,
        out=out,
        resume=resume,
        listener=Silent(),
        command="test",
    )
    return opened(request, **other)


def test_a_folder_is_opened_with_its_journal_begun(teacher, digits, tmp_path):
    with begun(teacher, digits, tmp_path, journal="own.jsonl") as (context, _):
        (started,) = context.journal.read()
        assert isinstance(started, RunStarted)
        assert context.journal.path == tmp_path / "own.jsonl"
        with (
            pytest.raises(RunFolderError, match="another edgespiral is working in this folder"),
            begun(teacher, digits, tmp_path),
        ):
            pass
    assert not (tmp_path / "journal.jsonl").exists()
    with (
        pytest.raises(RunFolderError, match="go on with --resume"),
        begun(teacher, digits, tmp_path, journal="own.jsonl"),
    ):
        pass
    with begun(teacher, digits, tmp_path, journal="own.jsonl", resume=True) as (context, _):
        assert context.journal.read() == [started]
