"""The script in this machine's own shell with a made-up `/sys`; test_android.py has it over adb."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgespiral.measure.runtimes.android.runtime import AndroidPerfTest
from edgespiral.measure.runtimes.android.settings import AndroidSettings
from edgespiral.measure.runtimes.base import Job

Ran = Callable[..., "subprocess.CompletedProcess[str]"]
SHELL = shutil.which("mksh") or "sh"


pytestmark = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores to choose from")


@pytest.fixture
def ran(
    tmp_path: Path,
    perf_test: Path,
    convolution: Callable[..., Path],
) -> Ran:
    """Runs the script on two cores, of which the second one is the faster."""
    sys_folder, work = tmp_path / "sys", tmp_path / "work"
    for core, khz in enumerate((1_800_000, 2_800_000)):
        told = sys_folder / f"devices/system/cpu/cpu{core}/cpufreq"
        told.mkdir(parents=True)
        (told / "cpuinfo_max_freq").write_text(f"{khz}\n")
        (told / "scaling_governor").write_text("schedutil\n")
    zone = sys_folder / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-big\n")
    (zone / "temp").write_text("41000\n")

    def run(**settings: Any) -> "subprocess.CompletedProcess[str]":
        profile = AndroidSettings(kind="android", binary=str(perf_test), **settings)
        runtime = AndroidPerfTest(profile, system_root=str(tmp_path))
        job = Job("measure", (convolution(),), 2, 1.0, 2.0, 3, 4)
        for name, content in runtime.files(job).items():
            goal = work / name
            goal.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content.read_bytes()
            goal.write_bytes(data)
        command = [SHELL, *runtime.argv("")[1:]]
        return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)

    return run


def test_one_thread_gets_the_fastest_core(ran: Ran) -> None:
    told = ran()
    assert (told.returncode, told.stdout.splitlines()[-1]) == (0, "@ end"), told
    assert "pinned= 1\n" in told.stdout
    assert told.stdout.count("@ round 0\n") == 2
    assert told.stdout.count("zone=cpu-big 41000\n") == 2
    assert told.stdout.count("scaling_governor=schedutil\n") == 2


def test_more_threads_get_slower_cores_too(ran: Ran) -> None:
    assert "pinned= 1 0\n" in ran(threads=2).stdout


def test_cores_may_be_named(ran: Ran) -> None:
    assert "pinned= 0\n" in ran(affinity=[0]).stdout
    told = ran(affinity=[29])
    assert told.returncode == 1
    assert told.stdout == "@ unpinnable 29\n"


def test_more_threads_than_cores_are_told_before_anything_runs(ran: Ran) -> None:
    told = ran(threads=3)
    assert (told.returncode, told.stdout) == (1, "@ crowded 3 2\n")
    told = ran(threads=2, affinity=[0])
    assert (told.returncode, told.stdout) == (1, "@ crowded 2 1\n")
