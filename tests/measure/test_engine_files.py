"""Engines that a device built: fetched with their records, and timed nowhere else."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.core.errors import ModelError, RunFolderError, TargetError
from edgespiral.core.records.exported import EngineFacts
from edgespiral.core.system.files import sha256_file
from edgespiral.measure.build import build_engine
from edgespiral.measure.engine_files import (
    bound_to,
    engine_path,
    record_path,
    require_timing,
    written_record,
)
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.session import Session
from edgespiral.measure.tiny import write_tiny_model

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> TargetProfile:
    """A target of which trtexec is a stand-in on this machine."""
    program = tmp_path_factory.mktemp("bin") / "trtexec"
    stand_in = Path(__file__).parents[1] / "stand_ins" / "trtexec.py"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {stand_in} 10.3.0 "$@"\n')
    program.chmod(0o755)
    return TargetProfile.model_validate(
        {
            "schema": 1,
            "name": "here",
            "runtime": {"kind": "tensorrt", "trtexec": str(program)},
            "transport": {"kind": "local", "timeout_s": 60},
            "measure": {"warmup_ms": 2, "rounds": 5, "round_ms": 1, "min_samples": 10},
        }
    )


@pytest.fixture(scope="module")
def original(here: TargetProfile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = write_tiny_model(tmp_path_factory.mktemp("built") / "net.onnx")
    with Session(here) as session:
        build_engine(session, model, engine_path(model))
    return engine_path(model)


@pytest.fixture
def built(original: Path, tmp_path: Path) -> Path:
    """An engine with its record beside it."""
    for path in (original, record_path(original), original.with_suffix(".onnx")):
        shutil.copy(path, tmp_path)
    return tmp_path / original.name


def measured(target: TargetProfile, engine: Path) -> float:
    with Session(target) as session:
        return session.measure([engine])[0].stats.p50_ms


def changed(engine: Path, **fields: object) -> None:
    path = record_path(engine)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_an_engine_has_a_record_of_what_it_is(built: Path) -> None:
    facts = EngineFacts.model_validate_json(record_path(built).read_text())
    assert built.read_bytes().startswith(b"STAND-IN ENGINE 10.3.0")
    assert facts.sha256 == sha256_file(built)
    assert facts.model_sha256 == sha256_file(built.with_suffix(".onnx"))
    assert (facts.runtime, facts.runtime_version) == ("tensorrt", "10.3.0")
    assert (facts.gpu, facts.compute_capability, facts.precision) == ("Orin", "8.7", "fp16")
    assert facts.warnings == ("This engine is a stand-in",)
    assert facts.unfused is None
    assert bound_to(facts) == (
        f"{facts.built_on} (Orin, compute capability 8.7), with tensorrt 10.3.0"
    )


def test_an_engine_is_timed_where_it_was_built(here: TargetProfile, built: Path) -> None:
    assert measured(here, built) > 0


@pytest.mark.parametrize(
    ("field", "other", "told"),
    [
        ("gpu", "Xavier", "GPU Xavier, and this is Orin"),
        ("runtime_version", "8.6.1", "TensorRT 8.6.1, and this is 10.3.0"),
        ("built_on", "another board", "device another board, and this is "),
    ],
)
def test_an_engine_of_another_device_is_not_timed(
    here: TargetProfile, built: Path, field: str, other: str, told: str
) -> None:
    changed(built, **{field: other})
    with pytest.raises(ModelError, match=f"was built for {told}.*; an engine is not portable"):
        measured(here, built)


def test_a_record_of_another_file_is_not_believed(here: TargetProfile, built: Path) -> None:
    built.write_bytes(built.read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"is not the engine that net\.engine\.json describes"):
        measured(here, built)
    record_path(built).write_text("{}")
    with pytest.raises(ModelError, match="is not the record of an engine"):
        measured(here, built)
    record_path(built).unlink()
    assert written_record(built, "tensorrt") is None


def test_an_engine_for_another_runtime_is_not_timed(here: TargetProfile, built: Path) -> None:
    changed(built, runtime="tensorrt-rtx")
    with pytest.raises(ModelError, match="was built for tensorrt-rtx, which tensorrt cannot run"):
        measured(here, built)


def test_a_folder_that_cannot_be_written_is_an_error(here: TargetProfile, built: Path) -> None:
    nowhere = pytest.raises(RunFolderError, match="no/such")
    with Session(here) as session, nowhere:
        build_engine(session, built.with_suffix(".onnx"), Path("no/such/net.engine"))


def test_only_a_target_that_runs_models_can_time_them(profile: TargetProfile) -> None:
    assert require_timing(profile) is profile
    runtime = {"kind": "tensorrt-rtx", "compute_capability": "8.9"}
    builder = TargetProfile.model_validate(
        {**profile.model_dump(by_alias=True), "runtime": runtime}
    )
    with pytest.raises(TargetError, match="brief: latency cannot be measured here"):
        require_timing(builder)
