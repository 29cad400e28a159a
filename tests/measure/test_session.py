import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edgespiral.core.errors import MeasurementError, ModelError, TargetError
from edgespiral.core.records.measurement import MOST_WAITED_SHARE
from edgespiral.core.system.files import sha256_file
from edgespiral.measure.completed import Completed
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes.agent import waited_ms
from edgespiral.measure.runtimes.base import Answer, Job
from edgespiral.measure.runtimes.onnxruntime.runtime import OnnxRuntime
from edgespiral.measure.runtimes.onnxruntime.settings import OnnxRuntimeSettings
from edgespiral.measure.session import Session

Make = Callable[..., Path]
CPU = "CPUExecutionProvider"
# Part of every package of ONNX Runtime. It can be asked for, and leaves all to the CPU.
IDLE = "AzureExecutionProvider"


def changed(profile: TargetProfile, section: str, **values: object) -> TargetProfile:
    plain = profile.model_dump(by_alias=True)
    return TargetProfile.model_validate(plain | {section: plain[section] | values})


def test_models_are_measured_in_pairs(
    tmp_path: Path, convolution: Make, profile: TargetProfile
) -> None:
    models = [convolution("a.onnx", 16, 8), convolution("b.onnx", 64, 32)]
    (tmp_path / "work").mkdir()
    with Session(profile, work=tmp_path / "work") as session:
        small, large = session.measure(models)
        longer = session.measure(models[:1], rounds=9)[0]
    assert (small.target, small.model_sha256) == ("brief", sha256_file(models[0]))
    assert len(small.rounds_ms) == len(large.rounds_ms) == 6
    assert len(longer.rounds_ms) == 9
    assert small.stats.p50_ms < large.stats.p50_ms
    assert small.stats.count == sum(map(len, small.rounds_ms)) >= 12
    assert small.fingerprint.runtime == "onnxruntime"
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.skipif(waited_ms(Path("/")) is None, reason="this system does not count waits")
def test_what_is_measured_on_a_core_that_others_take_is_in_doubt(
    convolution: Make, profile: TargetProfile
) -> None:
    core = min(os.sched_getaffinity(0))
    alone = changed(profile, "runtime", threads=1, affinity=[core])
    # Longer by far than the system lets a program run before another's turn.
    alone = changed(alone, "measure", round_ms=50)
    begun = f"import os; os.sched_setaffinity(0, [{core}]); print(flush=True)"
    busy = f"{begun}\nwhile True: pass"
    others = [
        subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) for _ in range(2)
    ]
    try:
        for other in others:
            assert other.stdout is not None
            other.stdout.readline()
        with Session(alone) as session:
            [measured] = session.measure([convolution()])
    finally:
        for other in others:
            other.kill()
            other.communicate()
    assert measured.waited_share is not None
    assert measured.waited_share > MOST_WAITED_SHARE
    [doubt] = measured.doubts
    assert doubt.startswith("on brief other programs took the core for ")
    assert measured.model_copy(update={"waited_share": MOST_WAITED_SHARE}).doubts == ()
    assert measured.model_copy(update={"waited_share": None}).doubts == ()


def test_a_time_per_model_is_spread_over_its_rounds(
    convolution: Make, profile: TargetProfile
) -> None:
    with Session(profile) as session:
        [brief] = session.measure([convolution()], seconds_per_model=0.001)
        [long] = session.measure([convolution()], seconds_per_model=0.1)
        # As of a model that takes longer than any round.
        [least] = session.measure([convolution()], seconds_per_model=1e-6)
    assert brief.stats.count < long.stats.count
    assert {len(samples) for samples in least.rounds_ms} == {1}


def test_a_comparison_says_how_many_times_as_fast(
    convolution: Make, profile: TargetProfile
) -> None:
    large, small = convolution("b.onnx", 64, 64), convolution("a.onnx", 16, 8)
    with Session(profile) as session:
        [(measurement, ratio)] = session.compare(large, [small])
    assert ratio.ci95.low > 2
    assert measurement.model_sha256 == sha256_file(small)


def test_layers_are_profiled_for_each_model(convolution: Make, profile: TargetProfile) -> None:
    with Session(profile) as session:
        rows = session.profile_layers([convolution("a.onnx", 16), convolution("b.onnx", 48)])
    assert [[row.operator for row in layers] for layers in rows] == [["conv", "gemm"]] * 2
    assert [layers[1].input_shape for layers in rows] == [(1, 16), (1, 48)]


@pytest.mark.parametrize(("kind", "rows"), [("LSTM", 32), ("GRU", 24)])
def test_recurrent_layers_have_their_shapes_and_times(
    recurrent: Make, profile: TargetProfile, kind: str, rows: int
) -> None:
    with Session(profile) as session:
        [[layer]] = session.profile_layers([recurrent(kind, features=5, hidden=8)])
    assert layer.latency_ms > 0
    assert (layer.operator, layer.input_shape) == (kind.lower(), (7, 1, 5))
    assert (layer.weight_shape, layer.output_shape) == ((rows, 5), (7, 2, 1, 8))


def test_shapes_can_be_given(convolution: Make, profile: TargetProfile) -> None:
    model = convolution(batch="n")
    with Session(profile) as session, pytest.raises(ModelError, match=r"net\.onnx: input 'x'"):
        session.measure([model])
    with Session(profile, shapes={"": (4, 3, 16, 16)}) as session:
        assert session.measure([model])[0].stats.count > 0


def test_a_corrupt_model_is_named(
    tmp_path: Path, convolution: Make, profile: TargetProfile
) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(convolution().read_bytes()[:400])
    with Session(profile) as session, pytest.raises(ModelError, match=r"bad\.onnx: cannot be load"):
        session.measure([convolution(), bad])


def test_a_missing_model_and_none_are_errors(tmp_path: Path, profile: TargetProfile) -> None:
    with Session(profile) as session:
        with pytest.raises(ModelError, match="cannot be read: No such file"):
            session.measure([tmp_path / "nothing.onnx"])
        with pytest.raises(ModelError, match="no model to measure"):
            session.measure([])


def test_a_provider_that_is_not_there_is_an_error(
    convolution: Make, profile: TargetProfile
) -> None:
    elsewhere = changed(profile, "runtime", provider="TPUExecutionProvider")
    with Session(elsewhere) as session, pytest.raises(TargetError, match="this ONNX Runtime has"):
        session.measure([convolution()])


@pytest.mark.parametrize("mode", ["measure", "profile_layers"])
def test_a_provider_that_runs_nothing_is_an_error(
    convolution: Make, profile: TargetProfile, mode: str
) -> None:
    idle = changed(profile, "runtime", provider=IDLE)
    left = pytest.raises(
        TargetError, match=rf"net\.onnx: {IDLE} left 2 layers of the model to {CPU}: "
    )
    with Session(idle) as session, left:
        getattr(session, mode)([convolution()])


def test_a_hanging_device_is_given_up(convolution: Make, profile: TargetProfile) -> None:
    hurried = changed(profile, "transport", timeout_s=0.01)
    with Session(hurried) as session, pytest.raises(MeasurementError, match="no answer within"):
        session.measure([convolution()])


def test_a_killed_agent_is_an_error(convolution: Make, profile: TargetProfile) -> None:
    killer = threading.Thread(target=_kill_agent)
    killer.start()
    killed = pytest.raises(MeasurementError, match="was killed by SIGKILL")
    with Session(profile) as session, killed:
        session.measure([convolution()], seconds_per_model=50)
    killer.join()


def _kill_agent() -> None:
    for _ in range(3000):
        for child in psutil.Process().children():
            if "onnxruntime_agent.py" in child.cmdline():
                child.kill()
                return
        time.sleep(0.01)


def hot_device(folder: Path, temperature_mc: int) -> OnnxRuntime:
    zone = folder / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text(str(temperature_mc))
    return OnnxRuntime(OnnxRuntimeSettings(kind="onnxruntime"), system_root=str(folder))


def test_heat_voids_a_measurement(
    tmp_path: Path, convolution: Make, profile: TargetProfile
) -> None:
    limited = changed(profile, "measure", max_temp_c=70)
    too_hot = pytest.raises(MeasurementError, match=r"at 71 C, above 70 C, twice in a row")
    with Session(limited, runtime=hot_device(tmp_path, 71_000)) as session, too_hot:
        session.measure([convolution()])


def test_a_device_within_its_limit_is_measured(
    tmp_path: Path, convolution: Make, profile: TargetProfile
) -> None:
    limited = changed(profile, "measure", max_temp_c=70)
    with Session(limited, runtime=hot_device(tmp_path, 69_000)) as session:
        assert session.measure([convolution()])[0].fingerprint.temperature_after_c == 69.0


def test_a_device_that_is_slowed_down_voids_a_measurement(
    tmp_path: Path, convolution: Make, profile: TargetProfile
) -> None:
    runtime = hot_device(tmp_path, 69_000)
    cooling = tmp_path / "sys/class/thermal/cooling_device0"
    cooling.mkdir()
    (cooling / "type").write_text("thermal-cpufreq-0")
    (cooling / "cur_state").write_text("2")
    slowed = pytest.raises(MeasurementError, match=r"slowed down by thermal-cpufreq-0, twice in a")
    with Session(profile, runtime=runtime) as session, slowed:
        session.measure([convolution()])


def test_a_tiny_model_tries_the_target_out(profile: TargetProfile) -> None:
    with Session(profile) as session:
        answer = session.try_out()
        way = session.way()
    assert Path(way["work folder"]).is_absolute()
    assert (answer.runtime.provider, len(answer.samples)) == (CPU, 2)


class Rewriting(OnnxRuntime):
    """Has a model's file written anew, or removed, while it is measured."""

    change: Callable[[], object]

    def parse(self, completed: Completed, job: Job) -> Answer:
        self.change()
        return super().parse(completed, job)


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_file_that_changes_while_it_is_measured_gets_no_figure(
    convolution: Make, profile: TargetProfile, is_gone: bool
) -> None:
    kept, changing, other = convolution("a.onnx"), convolution("b.onnx"), convolution("c.onnx", 4)
    runtime = Rewriting(OnnxRuntimeSettings(kind="onnxruntime"))
    runtime.change = changing.unlink if is_gone else lambda: other.replace(changing)
    with (
        Session(profile, runtime=runtime) as session,
        pytest.raises(MeasurementError, match=r"b\.onnx: the file changed while it was measured"),
    ):
        session.measure([kept, changing])
