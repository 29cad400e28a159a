"""The short form of the campaigns, and what they themselves have to keep."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import damage, sandbox, texts
from tests.faults.campaign import random_of
from tests.faults.campaigns.sockets import REACHED
from tests.faults.campaigns.table import CAMPAIGNS
from tests.faults.forkserver import ForkServer, Outcome
from tests.faults.invariants import appended, documented, judge, published
from tests.faults.place import Place

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def short_form(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the short form of all campaigns came to."""
    why = sandbox.why_not()
    if why is not None:
        pytest.skip(why)
    out = tmp_path_factory.mktemp("faults") / "faults.json"
    # The other processor has other tests, and each sandbox makes its material anew.
    words = [sys.executable, "-m", "tests.faults", "--short", "--workers", "1", "--out", str(out)]
    subprocess.run(words, cwd=sandbox.ROOT, check=False)
    document: dict[str, Any] = json.loads(out.read_text())
    return document


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_every_invariant_holds(short_form: dict[str, Any], name: str) -> None:
    campaign = short_form["campaigns"][name]
    assert campaign["failures"] == []
    assert short_form["lost"] == []
    if campaign["skipped"]:
        pytest.skip(campaign["skipped"])
    assert campaign["numbers"] == campaign["held"] == CAMPAIGNS[name].short
    assert campaign["faults"] > 0


def test_nothing_is_done_outside_the_sandbox() -> None:
    with pytest.raises(sandbox.NotSealedError):
        ForkServer()


def test_a_sealed_process_is_not_made_of_one_that_sees_the_machine() -> None:
    words = [sys.executable, "-m", "tests.faults.sandbox", "tests.faults.worker", "0"]
    done = subprocess.run(words, cwd=sandbox.ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "NotSealedError: seals nothing but a process table of its own" in done.stderr


def test_faults_are_the_same_for_a_seed() -> None:
    def damaged(seed: int) -> list[bytes]:
        return [damage.flip_bits(bytes(64), random_of(seed, "files", n)) for n in range(8)]

    assert damaged(1) == damaged(1) != damaged(2)


@pytest.mark.parametrize(
    "edit", [*texts.JSON_EDITS, *texts.LINE_EDITS], ids=lambda one: one.__name__
)
def test_every_edit_of_a_text_changes_some(edit: Any) -> None:
    text = '{"name": "x", "values": [1, 2.5, 3], "inner": {"a": "b"}}\n{"name": "y"}\n'
    given = text.splitlines()[0] if edit in texts.JSON_EDITS else text
    assert any(edit(given, Random(seed)) != given for seed in range(20))


@pytest.mark.parametrize("edit", damage.BYTES, ids=lambda one: one.__name__)
def test_every_edit_of_bytes_changes_some(edit: Any) -> None:
    content = bytes(range(256)) * 4
    assert any(edit(content, Random(seed)) != content for seed in range(20))


def test_documented_codes_are_those_of_the_page() -> None:
    assert {0, 2, 8, 12, 130} <= documented("compress")
    assert 1 not in documented("compress")
    assert {0, 1, 2, 3, 130} <= documented("bench")
    assert 8 not in documented("bench")


def test_a_journal_that_lost_a_line_is_seen() -> None:
    assert appended(b"a\nb\n", b"a\nb\nc\n") == []
    assert appended(b"a\nb\ntor", b"a\nb\n") == []
    assert appended(b"a\nb\n", b"a\n")
    assert appended(b"a\nb\n", b"a\nx\nc\n")


def test_a_published_file_that_is_another_is_seen(tmp_path: Path) -> None:
    digest = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"
    records = [
        {"kind": "turn-finished", "turn": 1, "files": {"model.onnx": digest}},
        {"kind": "run-finished", "best_turn": 1},
    ]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "journal.jsonl").write_text(text)
    (tmp_path / "result.json").write_text(json.dumps({"files": {"model.onnx": digest}}))
    (tmp_path / "model.onnx").write_text("0")
    assert published(tmp_path) == []
    (tmp_path / "model.onnx").write_text("1")
    assert {one.detail for one in published(tmp_path)} == {"model.onnx"}


def test_a_death_by_a_signal_is_seen_but_not_that_by_sigkill(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path / "o", tmp_path / "e", tmp_path, tmp_path)

    def kinds(code: int, signals: list[int]) -> list[str]:
        outcome = Outcome(("train",), code, "", "", 1.0, signalled=signals)
        return [one.kind for one in judge(outcome, place, {}, {})]

    assert kinds(-9, [9]) == []
    assert kinds(143, [15]) == []
    assert kinds(-15, [15]) == ["it is killed by SIGTERM"]
    assert kinds(-9, []) == ["it is killed by SIGKILL"]


def test_a_connection_is_seen_in_a_trace_of_real_ones(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing")
    code = "import socket; socket.socket(%s, socket.SOCK_DGRAM).connect(%s)"
    reaches = {
        code % ("socket.AF_INET", "('127.0.0.1', 9)"): True,
        code % ("socket.AF_UNIX", "'nowhere'"): False,
    }
    for index, (program, is_reached) in enumerate(reaches.items()):
        log = tmp_path / f"{index}"
        words = [strace, "-f", "-qq", "-e", "trace=network", "-o", str(log), sys.executable]
        subprocess.run([*words, "-c", program], capture_output=True, check=False)
        lines = log.read_text().splitlines()
        assert lines
        assert any(REACHED.search(line) for line in lines) is is_reached
