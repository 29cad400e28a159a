"""Energy by a real agent, whose system is a tree of files that stands in for one with RAPL.

The stand-in's counter moves as the agent's process takes time of the processor: 10 watts.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event, Thread

import psutil
import pytest

from edgespiral.core.errors import MeasurementError
from edgespiral.measure.beside.energy import energy_of
from edgespiral.measure.completed import Completed
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes.base import Answer, Job, Spent
from edgespiral.measure.runtimes.onnxruntime.runtime import OnnxRuntime
from edgespiral.measure.runtimes.onnxruntime.settings import OnnxRuntimeSettings
from edgespiral.measure.session import Session

Make = Callable[..., Path]
WATTS = 10.0


def device(root: Path) -> OnnxRuntime:
    return OnnxRuntime(OnnxRuntimeSettings(kind="onnxruntime"), system_root=str(root))


@contextmanager
def stand_in(root: Path) -> Iterator[None]:
    """A counter that moves with what this process's children compute, while the context lasts."""
    zone = root / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    counter, done = zone / "energy_uj", Event()
    counter.write_text("0\n")

    def move() -> None:
        while not done.is_set():
            seconds = 0.0
            for child in psutil.Process().children(recursive=True):
                try:
                    seconds += sum(child.cpu_times()[:2])
                except psutil.Error:
                    continue
            fresh = counter.with_suffix(".new")
            fresh.write_text(f"{int(1e6 * WATTS * seconds)}\n")
            fresh.replace(counter)
            time.sleep(0.005)

    mover = Thread(target=move, daemon=True)
    mover.start()
    try:
        yield
    finally:
        done.set()
        mover.join()


def test_an_inference_takes_its_time_of_the_processors_power(
    tmp_path: Path, convolution: Make, profile: TargetProfile
) -> None:
    model = convolution(channels=64, size=64)
    with stand_in(tmp_path), Session(profile, runtime=device(tmp_path)) as session:
        energy = energy_of(session, model)
        [measured] = session.measure([model])
    # One thread: what an inference takes is watts times its time; clocks tick in 10 ms of 500.
    expected_mj = WATTS * measured.stats.p50_ms
    assert 0.4 * expected_mj < energy.inference_mj < 2.5 * expected_mj
    assert energy.source == "RAPL, package-0"
    assert energy.idle_watts < WATTS / 2


@pytest.mark.parametrize(
    "forged",
    [
        {"inferences": 10**9},
        {"inferences": 1, "seconds": 0.4},
        {"joules": 1e9},
        {"seconds": 0.0},
        {"idle_watts": 1e6},
        {"seconds": 1e6, "inferences": 10**9},
        {"joules": 0.0},
    ],
)
def test_energy_that_the_models_own_latency_gives_the_lie_is_refused(
    convolution: Make, profile: TargetProfile, forged: dict[str, float]
) -> None:
    class Forging(OnnxRuntime):
        def parse(self, completed: Completed, job: Job) -> Answer:
            answer = super().parse(completed, job)
            honest = {"source": "RAPL", "joules": 5.0, "seconds": 0.5, "idle_watts": 1.0}
            times_ms = [ms for own in answer.samples[0].rounds_ms for ms in own]
            count = round(500 / median(times_ms))
            spent = Spent.model_validate(honest | {"inferences": count} | forged)
            samples = answer.samples[0].model_copy(update={"energy": spent})
            return answer.model_copy(update={"samples": (samples,)})

    runtime = Forging(OnnxRuntimeSettings(kind="onnxruntime"))
    told = "answer is not valid|no more energy with this model than when idle"
    with Session(profile, runtime=runtime) as session, pytest.raises(MeasurementError, match=told):
        energy_of(session, convolution())


def test_a_device_that_does_not_tell_its_energy_is_an_error(
    tmp_path: Path, convolution: Make, profile: TargetProfile
) -> None:
    untold = pytest.raises(MeasurementError, match="does not tell its energy: this system shows")
    with Session(profile, runtime=device(tmp_path)) as session, untold:
        energy_of(session, convolution())
