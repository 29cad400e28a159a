"""What a run's steps share; tests/spiral/test_run.py has whole runs."""

from pathlib import Path
from typing import Any, cast

from edgespiral.spiral.context import RunContext, Stopwatch


def test_each_phase_s_seconds_add_up() -> None:
    watch = Stopwatch()
    with watch.timing("plan"):
        pass
    first = watch.seconds["plan"]
    with watch.timing("plan"), watch.timing("distil"):
        pass
    assert watch.seconds["plan"] > first > 0
    assert set(watch.seconds) == {"plan", "distil"}


def test_turns_have_folders_of_their_own_and_no_cache_unless_asked(tmp_path: Path) -> None:
    names = ("plan", "splits", "fleet", "journal", "listener", "teacher", "task")
    unused: dict[str, Any] = dict.fromkeys(names)
    context = RunContext(
        out=tmp_path,
        teacher_onnx=tmp_path / "teacher" / "model.onnx",
        precisions=cast("Any", None),
        sparse_kernels="none",
        **unused,
    )
    assert [context.folder(turn).name for turn in (0, 1, 12)] == ["teacher", "turn-01", "turn-12"]
    assert context.caches(cast("Any", None)) == []
