"""Forged device answers: a program in the place of the device's Python, shell or trtexec."""

from __future__ import annotations

import math
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from tests.faults import answers
from tests.faults.campaign import Lab, Report
from tests.faults.forkserver import Limits
from tests.faults.invariants import Broken, judge
from tests.faults.material import target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from tests.faults.forkserver import Outcome
    from tests.faults.place import Place

LIMITS = Limits(seconds=60)
CONTROLS = 40
CODES = (2, 3, 5, 6)
MEASURE = ("measure", "net.onnx", "--json", "--target", "./device.toml")
TABLE = ("measure", "net.onnx", "--target", "./device.toml")
CHECK = ("targets", "check", "./device.toml")
ENDINGS = (*["exit 0"] * 10, "exit 1", "exit 255", "kill -9 $$", "kill -11 $$")
TIME = re.compile(r'"p50_ms": ?([^,}]+)')
HELP = """--onnx --saveEngine --loadEngine --timingCacheFile --profilingVerbosity --skipInference
--useDLACore --allowGPUFallback --sparsity --memPoolSize --shapes --iterations --duration --warmUp
--noDataTransfers --useCudaGraph --useSpinWait --exportTimes --dumpProfile --exportProfile
--exportLayerInfo --help --verbose --fp16 --int8 --stronglyTyped
"""
# Takes flags as trtexec does, says what it was given and writes what it was given.
TRTEXEC = """#!/bin/sh
here={here}
echo "&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # trtexec"
for word in "$@"; do
    case $word in
        --help) cat "$here/help"; exit 0 ;;
        --saveEngine=*) echo engine > "${{word#*=}}" ;;
        --exportTimes=*) cat "$here/times" > "${{word#*=}}" ;;
    esac
done
cat "$here/said"
"""


class Forged:
    """Forged answers."""

    name, short, whole = "forged", 21, 1200

    def run(self, lab: Lab, number: int, random: Random) -> Report:
        """Let a forged device answer one command."""
        place = lab.material.place(f"{self.name}/{number}")
        kind = random.choice(("agent", "agent", "agent", "phone", "trtexec"))
        is_control = number % CONTROLS == 0
        forge = {"agent": _agent, "phone": _phone, "trtexec": _trtexec}[kind]
        before_main, honest = forge(place, random, is_control=is_control)
        # A check asks for two models, where honest answers here are of one.
        argv = random.choice((MEASURE, MEASURE, TABLE, MEASURE if is_control else CHECK))
        before = place.tree()
        outcome = lab.server.run(argv, place, LIMITS, before=before_main)
        codes = (0,) if is_control else (0, *CODES) if honest is not False else CODES
        broken = judge(outcome, place, before, place.tree(), codes)
        broken += _figures(outcome)
        place.remove()
        command = f"edgespiral {' '.join(argv)}"
        return Report(f"{kind}: {'honest' if is_control else 'forged'}", command, broken)


def _agent(
    place: Place, random: Random, *, is_control: bool
) -> tuple[Callable[[], None], bool | None]:
    """In the place of the device's Python; whether what it says may become a figure."""
    (place.cwd / "device.toml").write_text(target("device"))
    output = _json(answers.honest()) if is_control else _draw(answers.outputs(), random)
    ending = "exit 0" if is_control else random.choice(ENDINGS)
    program = _program(place, "python", output, ending)

    def forge() -> None:
        sys.executable = str(program)

    # A whole answer is one, however the program ends that gave it.
    return forge, answers.is_honest(output)


def _phone(
    place: Place, random: Random, *, is_control: bool
) -> tuple[Callable[[], None], bool | None]:
    """In the place of a phone's shell; the product's own reading says what is a figure."""
    (place.cwd / "perf_test").write_bytes(b"\x7fELF")
    runtime = f'binary = "{place.cwd / "perf_test"}"'
    (place.cwd / "device.toml").write_text(target("device", kind="android", runtime=runtime))
    forged: bytes = _draw(answers.perf_test(), random)
    output = answers.perf_test_honest().encode() if is_control else forged
    program = _program(place, "sh", output, "exit 0" if is_control else random.choice(ENDINGS))

    def forge() -> None:
        os.environ["PATH"] = f"{program.parent}:{os.environ['PATH']}"

    return forge, None


def _trtexec(
    place: Place, random: Random, *, is_control: bool
) -> tuple[Callable[[], None], bool | None]:
    """In the place of trtexec, with the real agent between it and the host."""
    folder = place.root / "trt"
    folder.mkdir()
    files = _draw(answers.trtexec_files(), random)
    if is_control:
        rows = [dict.fromkeys(answers.TIMES_KEYS, 0.011 + i / 1e3) for i in range(40)]
        said = b"&&&& PASSED TensorRT.trtexec [TensorRT v100300]\n"
        files = {"times": _json(rows), "said": said}
    (folder / "help").write_text(HELP)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    program = folder / "trtexec"
    program.write_text(TRTEXEC.format(here=folder))
    program.chmod(0o755)
    own = f'precision = "fp32"\ntrtexec = "{program}"'
    (place.cwd / "device.toml").write_text(target("device", kind="tensorrt", runtime=own))
    return lambda: None, None


def _program(place: Place, name: str, output: bytes, ending: str) -> Path:
    folder = place.root / "bin"
    folder.mkdir()
    (folder / "output").write_bytes(output)
    program = folder / name
    words = "printf '\\033[31mdevice says\\033[0m\\nmore\\n' >&2\n" if "0" not in ending else ""
    program.write_text(f"#!/bin/sh\ncat {folder}/output\n{words}{ending}\n")
    program.chmod(0o755)
    return program


def _draw(strategy: Any, random: Random) -> Any:
    return answers.drawn(strategy, random.getrandbits(64))


def _json(document: object) -> bytes:
    import json

    return json.dumps(document).encode() + b"\n"


def _figures(outcome: Outcome) -> list[Broken]:
    """Figures that no model can have."""
    if outcome.exit_code != 0:
        return []
    told = [float(text) for text in TIME.findall(outcome.stdout)]
    wrong = [ms for ms in told if not (math.isfinite(ms) and answers.is_time(ms))]
    return [Broken("a figure that cannot be", f"{wrong[0]} ms")] if wrong else []
