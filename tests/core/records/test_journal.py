import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import EVENT, TurnPlanned
from edgespiral.core.records.journal import Journal, read


def planned(turn: int, groups: int = 3) -> TurnPlanned:
    widths = {f"layer{index}": 8 + turn for index in range(groups)}
    return TurnPlanned(turn=turn, target_ms=1.5, widths=widths, importance_lost=0.1, epochs=2)


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    events = [planned(turn) for turn in (1, 2, 3)]
    for event in events:
        journal.append(event)
    assert journal.read() == events
    assert read(journal.path) == events


def test_a_journal_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    assert journal.read() == []
    assert not journal.path.exists()


def test_reading_a_folder_without_a_journal_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"absent\.jsonl: cannot read the journal: No such"):
        read(tmp_path / "absent.jsonl")


@given(cut=st.integers(min_value=1), groups=st.integers(min_value=1, max_value=3000))
def test_a_torn_last_line_is_ignored_and_cut_off_by_the_next_append(
    tmp_path_factory: pytest.TempPathFactory, cut: int, groups: int
) -> None:
    journal = Journal(tmp_path_factory.mktemp("run") / "journal.jsonl")
    journal.append(planned(1))
    whole_bytes = journal.path.stat().st_size
    journal.append(planned(2, groups))
    torn_bytes = journal.path.stat().st_size - whole_bytes
    os.truncate(journal.path, whole_bytes + cut % torn_bytes)
    assert journal.read() == [planned(1)]
    journal.append(planned(3))
    assert journal.read() == [planned(1), planned(3)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"kind": "turn-pl', "Invalid JSON"),
        (b'{"kind": "turn-planned", "turn": 1}', "turn-planned.target_ms: Field required"),
        (b'{"kind": "nonsense"}', "nonsense"),
        (b"", "Invalid JSON"),
    ],
)
def test_damage_before_the_last_line_names_the_line(
    tmp_path: Path, line: bytes, message: str
) -> None:
    path = tmp_path / "journal.jsonl"
    good = EVENT.dump_json(planned(1))
    path.write_bytes(b"\n".join([good, line, good, b""]))
    with pytest.raises(RunFolderError, match=message) as caught:
        read(path)
    assert caught.value.where == f"{path}:2"


def test_a_folder_that_is_gone_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot write the journal: No such file"):
        Journal(tmp_path / "gone" / "journal.jsonl").append(planned(1))


def test_a_full_disk_is_one_clear_error_and_the_journal_stays_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(planned(1))
    before = journal.path.read_bytes()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, unlimited[1]))
    try:
        with pytest.raises(RunFolderError, match="cannot write the journal: File too large"):
            journal.append(planned(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert journal.path.read_bytes() == before


WRITER = """
    import sys
    from pathlib import Path
    from edgespiral.core.records.journal import Journal
    from edgespiral.core.records.events import TurnPlanned

    journal = Journal(Path(sys.argv[1]))
    widths = {f"layer{index}": 8 for index in range(5000)}
    for turn in range(int(sys.argv[2]), 10**6):
        event = TurnPlanned(turn=turn, target_ms=1, widths=widths, importance_lost=0, epochs=1)
        journal.append(event)
        print(turn, flush=True)
"""


@pytest.mark.slow
def test_killed_while_appending_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for lines_before_kill in (1, 2, 5):
        start = len(Journal(path).read())
        acknowledged = append_until_killed(path, start, lines_before_kill)
        turns = [event.turn for event in Journal(path).read() if isinstance(event, TurnPlanned)]
        assert acknowledged >= lines_before_kill
        assert turns == list(range(len(turns)))
        assert len(turns) >= start + acknowledged


def append_until_killed(path: Path, start: int, lines: int) -> int:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(lines):
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read()
        assert writer.wait() == -signal.SIGKILL
    return lines + rest.count("\n")


def test_a_link_in_place_of_the_journal_is_not_written_through(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("one line, and a precious part of one")
    (tmp_path / "journal.jsonl").symlink_to(victim)
    with pytest.raises(RunFolderError, match=r"journal\.jsonl: cannot write the journal"):
        Journal(tmp_path / "journal.jsonl").append(planned(1))
    assert victim.read_text() == "one line, and a precious part of one"


def test_a_pipe_in_place_of_the_journal_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "journal.jsonl")
    with pytest.raises(RunFolderError, match="cannot read the journal: not a regular file"):
        read(tmp_path / "journal.jsonl")
    with pytest.raises(RunFolderError, match="cannot write the journal: not a regular file"):
        Journal(tmp_path / "journal.jsonl").append(planned(1))
