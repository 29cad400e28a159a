"""Finished and interrupted runs whose files are not, or no longer, what was judged."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from quick_runs import FINISHED

from edgespiral import api
from edgespiral.core.errors import ExitCode, RunFolderError
from edgespiral.core.listener import Silent
from edgespiral.core.records.journal import read
from edgespiral.core.system.files import sha256_file
from edgespiral.measure.build import build_engine
from edgespiral.measure.engine_files import engine_path, record_path, written_record
from edgespiral.measure.fleet import Fleet
from edgespiral.measure.profile import TargetProfile, load_profile
from edgespiral.spiral.shipping.publishing import fetch_engine, hashes_of, restore

STAND_IN = Path(__file__).parents[2] / "stand_ins" / "trtexec.py"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


def forget(run: Path, records: int) -> None:
    """As if it had been killed before its last `records` were written."""
    journal = run / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-records]))


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run."""
    return shutil.copytree(finished.folder, tmp_path / "run")


@pytest.fixture
def resumed(run, teacher, digits):
    """Goes on with the copy."""
    return lambda: api.compress(teacher, digits, out=run, resume=True, **FINISHED)


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "model.py"])
def test_a_file_that_changed_before_it_is_published_is_refused(finished, run, resumed, name):
    forget(run, 1)
    (run / name).unlink()
    flip(run / f"turn-{finished.result.best_turn:02d}" / name)
    with pytest.raises(RunFolderError, match=f"{name}: is not the file that was judged") as caught:
        resumed()
    assert caught.value.exit_code == ExitCode.RUN_FOLDER
    assert not (run / name).exists()


def test_a_teacher_that_changed_is_no_longer_measured_against(run, resumed):
    kinds = [event.kind for event in read(run / "journal.jsonl")]
    forget(run, len(kinds) - kinds.index("baseline") - 1)
    flip(run / "teacher" / "model.onnx")
    with pytest.raises(RunFolderError, match=r"teacher/model\.onnx: is not the file that was judg"):
        resumed()


@pytest.mark.parametrize("damage", [Path.unlink, flip])
@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "model.py"])
def test_a_finished_run_is_made_whole_again(finished, run, resumed, name, damage):
    damage(run / name)
    assert resumed().result == finished.result
    assert hashes_of(run) == finished.result.files


def test_a_finished_run_without_its_turns_is_whole_as_long_as_its_files_are(finished, run, resumed):
    shutil.rmtree(run / f"turn-{finished.result.best_turn:02d}")
    assert resumed().result == finished.result
    (run / "model.onnx").unlink()
    with pytest.raises(RunFolderError, match=r"model\.onnx: is missing"):
        resumed()


@pytest.fixture
def building(tmp_path):
    """A target whose engines are built here, by the stand-in for trtexec."""
    program = tmp_path / "trtexec"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} 10.3.0 "$@"\n')
    program.chmod(0o755)
    sections = {
        "runtime": {"kind": "tensorrt", "trtexec": str(program)},
        "transport": {"kind": "local"},
    }
    return TargetProfile.model_validate({"schema": 1, "name": "here", **sections})


def test_what_a_device_builds_comes_back_beside_the_model(finished, building, tmp_path):
    """A whole run is in test_run_over_ssh.py."""
    shutil.copy(finished.folder / "model.onnx", tmp_path)
    # The first of the run's targets builds none.
    with Fleet.of([load_profile("host-cpu"), building]) as fleet:
        facts = fetch_engine(tmp_path / "model.onnx", fleet.sessions)
    assert facts == written_record(tmp_path / "model.engine", "tensorrt")
    assert facts.model_sha256 == sha256_file(tmp_path / "model.onnx")


def test_a_device_that_builds_no_engine_leaves_none(finished):
    assert not list(finished.folder.glob("*.engine*"))
    assert read(finished.folder / "journal.jsonl")[-1].engine is None


def test_an_engine_is_that_of_the_run_or_a_later_one_of_the_same_file(run, building):
    events = read(run / "journal.jsonl")
    engine = engine_path(run / "model.onnx")
    with Fleet.of([building]) as fleet:
        first = build_engine(fleet.sessions[0], run / "model.onnx", engine)
        last = events[-1].model_copy(update={"engine": first})
        record_path(engine).unlink()
        restore(run, events, last, Silent())
        assert written_record(engine, "tensorrt") == first
        flip(engine)
        with pytest.raises(
            RunFolderError, match=r"not the engine of this run; build it anew: edge"
        ):
            restore(run, events, last, Silent())
        build_engine(fleet.sessions[0], run / "model.onnx", engine)
    restore(run, events, last, Silent())
    engine.unlink()
    with pytest.raises(RunFolderError, match="the engine is missing"):
        restore(run, events, last, Silent())
