"""The agent on a device that ssh reaches, with a stand-in for trtexec that ONNX Runtime backs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from devices import Board, Meanwhile

from edgespiral.core.errors import MeasurementError, ModelError, TargetError
from edgespiral.core.records.measurement import differences
from edgespiral.export.precision import convert_untrained
from edgespiral.measure.latency_cache import LatencyCache
from edgespiral.measure.session import Session

Make = Callable[..., Path]


def session(board: Board, **runtime: object) -> Session:
    return Session(board.profile({"kind": "tensorrt", **runtime}))


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
def test_models_are_measured(board: Board, convolution: Make, version: str) -> None:
    board.install_trtexec(version)
    models = [convolution("a.onnx", 8, 8), convolution("b.onnx", 64, 64)]
    with session(board) as opened:
        small, large = opened.measure(models, rounds=5)
    assert small.stats.p50_ms < large.stats.p50_ms
    assert [len(samples) >= 2 for samples in small.rounds_ms] == [True] * 5
    found = small.fingerprint
    assert (found.runtime, found.runtime_version, found.precision) == ("tensorrt", version, "fp16")
    assert found.provider == "gpu (Orin, compute capability 8.7)"
    assert list(board.folder.iterdir()) == []


@pytest.mark.parametrize(("version", "typed"), [("10.3.0", False), ("11.1.0", True)])
def test_layers_are_told_apart(board: Board, convolution: Make, version: str, typed: bool) -> None:
    board.install_trtexec(version)
    with session(board, strongly_typed=typed) as opened:
        [rows] = opened.profile_layers([convolution()], rounds=5)
    assert [row.operator for row in rows] == ["conv", "gemm"]
    assert rows[0].input_shape == (1, 3, 16, 16)
    assert all(row.latency_ms > 0 for row in rows)


def test_an_engine_is_built_once(board: Board, convolution: Make) -> None:
    calls = board.bin / "calls"
    board.install_trtexec("8.6.1", f'echo "$@" >> {calls}')
    with session(board, sparsity=True, workspace_mib=64) as opened:
        opened.measure([convolution()], rounds=5)
        opened.profile_layers([convolution()], rounds=5)
    builds = [line for line in calls.read_text().splitlines() if "--onnx=" in line]
    assert len(builds) == 1
    assert {"--fp16", "--sparsity=enable", "--memPoolSize=workspace:64"} <= set(builds[0].split())
    loads = [line for line in calls.read_text().splitlines() if "--exportTimes=" in line]
    assert len(loads) == 6
    assert all("--noDataTransfers --useCudaGraph" in line for line in loads)


def test_transfers_are_in_the_figure_if_asked_for(board: Board, convolution: Make) -> None:
    board.install_trtexec("8.6.1")
    with session(board, data_transfers=True) as opened:
        [measured] = opened.measure([convolution("a.onnx", 4, 4)], rounds=5)
    # The stand-in takes half a millisecond for each direction.
    assert measured.stats.p50_ms > 1


def test_what_a_dla_leaves_to_the_gpu_is_said(board: Board, convolution: Make) -> None:
    board.install_trtexec("8.6.1")
    with session(board, dla_core=1) as opened:
        [measured] = opened.measure([convolution()], rounds=5)
    assert measured.fingerprint.provider == (
        "dla 1 with 1 layers on the gpu (Orin, compute capability 8.7)"
    )


def test_figures_of_two_gpus_are_told_apart(
    board: Board, convolution: Make, tmp_path: Path
) -> None:
    prints = []
    for gpu in ("Orin", "Xavier"):
        board.install_trtexec("8.6.1", f"export STAND_IN_GPU={gpu}")
        with session(board) as opened:
            [measured] = opened.measure([convolution()], rounds=5)
            prints.append(measured.fingerprint)
            caches = [LatencyCache.of(tmp_path, opened.profile, own).path for own in prints]
    assert differences(*prints) == [
        "provider was gpu (Orin, compute capability 8.7), is gpu (Xavier, compute capability 8.7)"
    ]
    assert caches[0] != caches[1]


def test_shapes_can_be_given(board: Board, convolution: Make) -> None:
    calls = board.bin / "calls"
    board.install_trtexec("8.6.1", f'echo "$@" >> {calls}')
    profile = board.profile({"kind": "tensorrt"})
    with Session(profile, shapes={"": (1, 3, 16, 16)}) as opened:
        opened.measure([convolution(batch="n")], rounds=5)
    assert "--shapes=x:1x3x16x16" in calls.read_text()


def test_a_cut_in_the_middle_of_a_run_loses_nothing(
    board: Board, convolution: Make, meanwhile: Meanwhile
) -> None:
    calls = board.bin / "calls"
    board.install_trtexec("8.6.1", f'echo "$@" >> {calls}')
    with session(board) as opened:
        meanwhile(lambda: calls.exists() and "--exportTimes" in calls.read_text(), board.cut)
        [measured] = opened.measure([convolution()], rounds=5)
    assert len(measured.rounds_ms) == 5
    assert calls.read_text().count("--onnx=") == 1
    assert list(board.folder.iterdir()) == []


def test_a_device_without_trtexec_is_told_what_is_missing(board: Board, convolution: Make) -> None:
    missing = pytest.raises(TargetError, match=r"there is no trtexec on the PATH or in .*JetPack")
    with session(board) as opened, missing:
        opened.measure([convolution()])
    missing = pytest.raises(TargetError, match=r"nowhere/trtexec: No such file")
    with session(board, trtexec=f"{board.bin}/nowhere/trtexec") as opened, missing:
        opened.measure([convolution()])


def test_a_flag_that_a_version_lacks_is_not_passed_over(board: Board, convolution: Make) -> None:
    before = "[ $1 != --help ] || {{ echo 'TensorRT.trtexec [TensorRT v101400]'; echo {}; exit; }}"
    known = "--onnx --saveEngine --timingCacheFile --profilingVerbosity --skipInference"
    board.install_trtexec("10.3.0", before.format(known))
    lacking = pytest.raises(
        TargetError, match=r"trtexec of TensorRT 10\.14\.0 has no --fp16; leave"
    )
    with session(board) as opened, lacking:
        opened.measure([convolution()])


@pytest.mark.parametrize("version", ["10.3.0", "11.1.0"])
def test_strongly_typed_models_are_built_in_the_types_of_their_files(
    board: Board, convolution: Make, version: str
) -> None:
    calls = board.bin / "calls"
    board.install_trtexec(version, f'echo "$@" >> {calls}')
    model = convolution()
    models = [model, *(convert_untrained(model, kind, "tensorrt") for kind in ("fp16", "int8"))]
    with session(board, strongly_typed=True) as opened:
        found = opened.measure(models, rounds=5)
    assert [one.fingerprint.precision for one in found] == ["fp32", "fp16", "int8"]
    builds = [line.split() for line in calls.read_text().splitlines() if "--onnx=" in line]
    assert [sorted({"--stronglyTyped", "--fp16", "--int8"} & set(line)) for line in builds] == [
        ["--stronglyTyped"]
    ] * 3


def test_a_version_without_weak_types_says_what_it_needs(board: Board, convolution: Make) -> None:
    board.install_trtexec("11.1.0")
    typed = pytest.raises(
        TargetError, match=r"TensorRT 11\.1\.0 computes in the types .*; set strongly_typed = true"
    )
    with session(board) as opened, typed:
        opened.measure([convolution()])
    with session(board, precision="fp32") as opened:
        assert opened.measure([convolution()], rounds=5)[0].fingerprint.runtime_version == "11.1.0"
    board.install_trtexec("8.6.1")
    lacking = pytest.raises(
        TargetError, match=r"trtexec of TensorRT 8\.6\.1 has no --stronglyTyped"
    )
    with session(board, strongly_typed=True) as opened, lacking:
        opened.measure([convolution()])


def test_a_model_that_cannot_be_built_is_named(
    board: Board, tmp_path: Path, convolution: Make
) -> None:
    board.install_trtexec("8.6.1")
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(convolution().read_bytes()[:400])
    refused = pytest.raises(
        ModelError, match=r"bad\.onnx: trtexec failed with exit code 1: .*INVALID"
    )
    with session(board) as opened, refused:
        opened.measure([convolution(), bad])


def test_an_export_that_is_cut_in_half_is_no_measurement(board: Board, convolution: Make) -> None:
    cut = 'case "$*" in *--exportTimes*) echo \'[ { "computeMs" : 1\' > times.json; exit;; esac'
    board.install_trtexec("8.6.1", cut)
    half = pytest.raises(MeasurementError, match=r"did not write a whole times\.json")
    with session(board) as opened, half:
        opened.measure([convolution()])


def test_an_int8_engine_needs_a_quantised_model(board: Board, convolution: Make) -> None:
    with session(board, precision="int8") as opened, pytest.raises(ModelError, match="quantised"):
        opened.measure([convolution()])


def stand_in_engine(model: Path, version: str) -> Path:
    """What the stand-in for trtexec takes for an engine."""
    path = model.with_suffix(".engine")
    path.write_bytes(f"STAND-IN ENGINE {version}\n".encode() + model.read_bytes())
    return path


def test_an_engine_is_taken_as_it_is(board: Board, convolution: Make) -> None:
    calls = board.bin / "calls"
    board.install_trtexec("10.3.0", f'echo "$@" >> {calls}')
    engine = stand_in_engine(convolution("a.onnx", batch="n"), "10.3.0")
    profile = board.profile({"kind": "tensorrt", "precision": "int8"})
    with Session(profile, shapes={"x": (1, 3, 16, 16)}) as opened:
        [measured] = opened.measure([engine], rounds=5)
    assert measured.stats.p50_ms > 0
    text = calls.read_text()
    assert "--onnx=" not in text
    assert "a.engine --shapes=x:1x3x16x16" in text


@pytest.mark.parametrize(("asked", "flags"), [("fp16", ["--fp16", "--int8"]), ("fp32", ["--int8"])])
def test_quantised_models_are_built_in_int8_beside_others(
    board: Board, convolution: Make, asked: str, flags: list[str]
) -> None:
    calls = board.bin / "calls"
    board.install_trtexec("8.6.1", f'echo "$@" >> {calls}')
    model = convolution()
    quantised = convert_untrained(model, "int8", "tensorrt")
    with session(board, precision=asked) as opened:
        found = opened.measure([model, quantised], rounds=5)
    assert [one.fingerprint.precision for one in found] == [asked, "int8"]
    first, second = [line.split() for line in calls.read_text().splitlines() if "--onnx=" in line]
    assert [flag for flag in second if flag in ("--fp16", "--int8")] == flags
    assert "--int8" not in first
