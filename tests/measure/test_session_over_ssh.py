"""The measuring session and the agent over a real ssh connection, and what goes wrong there."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from devices import Board, Meanwhile

from edgespiral.core.errors import MeasurementError, ModelError, TargetError
from edgespiral.core.system.files import sha256_file
from edgespiral.measure.session import Session

Make = Callable[..., Path]


def test_models_are_measured_and_profiled(board: Board, convolution: Make) -> None:
    models = [convolution("a.onnx", 16, 8), convolution("b.onnx", 64, 32)]
    with Session(board.profile()) as session:
        small, large = session.measure(models)
        [layers] = session.profile_layers(models[:1])
    assert (small.target, small.model_sha256) == ("board", sha256_file(models[0]))
    assert small.stats.p50_ms < large.stats.p50_ms
    assert [row.operator for row in layers] == ["conv", "gemm"]
    assert list(board.folder.iterdir()) == []


def test_what_a_model_computes_is_fetched(board: Board, convolution: Make, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "given.npy", values)
    model = convolution()
    with Session(board.profile()) as session:
        files = session.outputs([model], tmp_path / "given.npy", tmp_path)
    alone = onnxruntime.InferenceSession(model)
    expected = [alone.run(None, {"x": sample[None]})[0] for sample in values]
    assert files is not None
    assert np.load(files[0]) == pytest.approx(np.concatenate(expected), abs=1e-5)
    assert list(board.folder.iterdir()) == []


def test_a_cut_in_the_middle_of_a_run_loses_nothing(
    board: Board, convolution: Make, meanwhile: Meanwhile, caplog: pytest.LogCaptureFixture
) -> None:
    with Session(board.profile()) as session:
        meanwhile(lambda: board.processes("agent.py"), board.cut)
        [measured] = session.measure([convolution()], seconds_per_model=0.5)
        assert board.processes("agent.py") == []
    assert len(measured.rounds_ms) == 6
    assert "the connection broke" in caplog.text
    assert list(board.folder.iterdir()) == []


def test_a_server_that_restarts_in_the_middle_of_a_run_is_awaited(
    board: Board, convolution: Make, meanwhile: Meanwhile
) -> None:
    def restart() -> None:
        board.stop()
        board.start()

    with Session(board.profile()) as session:
        meanwhile(lambda: board.processes("agent.py"), restart)
        [measured] = session.measure([convolution()], seconds_per_model=0.5)
    assert len(measured.rounds_ms) == 6
    assert list(board.folder.iterdir()) == []


def test_a_model_that_cannot_be_loaded_there_is_named(
    board: Board, tmp_path: Path, convolution: Make
) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(convolution().read_bytes()[:400])
    with Session(board.profile()) as session, pytest.raises(ModelError, match=r"bad\.onnx: cannot"):
        session.measure([bad])


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        # Without the folder of installed packages.
        (f'exec {sys.executable} -I -S "$@"', "No module named .*install onnxruntime for the Py"),
        # A stand-in for an old interpreter: a new one that tells a lower version.
        (
            f'exec {sys.executable} -c "import platform, runpy, sys; sys.argv = sys.argv[1:]; '
            "sys.version_info = (3, 8, 10); platform.python_version = lambda: '3.8.10'; "
            'runpy.run_path(sys.argv[0], run_name=\'__main__\')" "$@"',
            r"Python 3\.8\.10 is too old; name Python 3\.10 or later",
        ),
    ],
)
def test_a_python_that_will_not_do_is_told(
    board: Board, convolution: Make, program: str, problem: str
) -> None:
    board.program("stand-in-python", program)
    told = pytest.raises(TargetError, match=problem)
    with Session(board.profile(python="stand-in-python")) as session, told:
        session.measure([convolution()])


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("echo this is no Python >&2; exit 4", "failed with exit code 4: this is no Python"),
        (f'{sys.executable} "$@" | head -c 200', "broke off in its answer"),
        ("kill -9 $$", "was killed by SIGKILL"),
    ],
)
def test_an_answer_that_is_not_whole_is_no_measurement(
    board: Board, convolution: Make, program: str, problem: str
) -> None:
    board.program("stand-in-python", program)
    told = pytest.raises(MeasurementError, match=problem)
    with Session(board.profile(python="stand-in-python")) as session, told:
        session.measure([convolution()])


def test_a_device_that_is_full_while_it_measures_is_told(board: Board, convolution: Make) -> None:
    board.stop()
    # The model still fits; the profile of a run does not.
    board.largest_file_bytes = 20_000
    board.start()
    full = pytest.raises(MeasurementError, match=r"failed with exit code 1: .*Error.*and space on")
    with Session(board.profile()) as session:
        session.measure([convolution()])
        with full:
            session.profile_layers([convolution()])
    assert list(board.folder.iterdir()) == []


def test_the_agent_writes_in_the_work_folder_alone(
    board: Board, tmp_path: Path, convolution: Make
) -> None:
    # The interpreter itself tells of all that its Python code opens to write, moves or removes.
    log = tmp_path / "log"
    watch = f"""
import os, runpy, sys
log, opening = open({str(log)!r}, "a"), os.O_WRONLY | os.O_RDWR | os.O_CREAT
def hook(event, args):
    if event == "open" and isinstance(args[0], int):
        pass  # a stream that the process has already
    elif event == "open" and isinstance(args[2], int) and args[2] & opening:
        print(os.path.realpath(args[0]), file=log)
    elif event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree"):
        print(os.path.realpath(args[0]), file=log)
sys.argv = sys.argv[1:]
sys.path.insert(0, "")
sys.addaudithook(hook)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    (board.bin / "watch.py").write_text(watch)
    board.program("stand-in-python", f'exec {sys.executable} {board.bin}/watch.py "$@"')
    with Session(board.profile(python="stand-in-python")) as session:
        [work] = board.folder.iterdir()
        session.measure([convolution()])
        session.profile_layers([convolution()])
    written = [line for line in log.read_text().splitlines() if line != os.devnull]
    assert written != []
    assert [line for line in written if not line.startswith(f"{work}/")] == []
    assert list(board.folder.iterdir()) == []


def test_a_stepped_clock_does_not_change_a_latency(board: Board, convolution: Make) -> None:
    # Every reading of the wall clock on this device lies years after the one before.
    step = "import runpy, sys, time; ticks = iter(range(10**9)); sys.argv = sys.argv[1:]; "
    step += "time.time = lambda: 1e8 * next(ticks); "
    step += "runpy.run_path(sys.argv[0], run_name='__main__')"
    board.program("stand-in-python", f'exec {sys.executable} -c "{step}" "$@"')
    with Session(board.profile(python="stand-in-python")) as session:
        [measured] = session.measure([convolution()])
    assert 0 < measured.stats.p50_ms < 1000
