"""The stages around a network, timed on a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, TargetError
from edgespiral.core.stages.files import StageFile
from edgespiral.core.stages.latencies import StageLatency, Stages
from edgespiral.core.statistics.stats import summarise
from edgespiral.measure.runtimes.agent import CPU
from edgespiral.measure.runtimes.onnxruntime.runtime import OnnxRuntime
from edgespiral.measure.runtimes.onnxruntime.settings import OnnxRuntimeSettings
from edgespiral.measure.session import Session
from edgespiral.measure.stages.decoding import Decoding
from edgespiral.measure.transports.base import DeviceLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgespiral.core.stages.files import StageFiles
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.measure.runtimes.base import Runtime
    from edgespiral.measure.settings import Affinity

DECODE = {"picture": "decode a picture", "sound": "decode a sound"}


def stage_latencies(profile: TargetProfile, files: StageFiles) -> Stages:
    """What each stage takes on a target, one after another, or why that is not known.

    Graphs run on the processor, by ONNX Runtime's Python package where the target has a Python, and
    else by its own runtime. Decoding needs Python.

    Args:
        profile: of the target.
        files: the stages.

    Raises:
        MeasurementError: no answer, or none to be trusted.
        DeviceLostError: the device does not answer.
    """
    each = [_timed(profile, file, lambda: _stage_runtime(profile)) for file in files.graphs]
    if files.encoded is not None:
        frame, affinity = files.encoded, _affinity(profile)
        refused = "" if profile.capabilities.has_python else "there is no Python to decode it"
        stage = StageFile("decode", DECODE[frame.kind], frame.path, refused)
        each = [_timed(profile, stage, lambda: Decoding(frame, affinity)), *each]
    return Stages.of(profile.name, files.frame, each)


def _timed(
    profile: TargetProfile, file: StageFile, runtime: Callable[[], Runtime | None]
) -> StageLatency:
    """One stage in a process of its own; `runtime` in place of the target's, if there is one."""
    if file.path is None or file.refused:
        return StageLatency(stage=file.stage, what=file.what, refused=file.refused)
    try:
        with Session(profile, runtime=runtime()) as session:
            answer = session.timed_as_they_are([file.path])
    except DeviceLostError:
        raise
    except (ModelError, TargetError) as error:
        return StageLatency(stage=file.stage, what=file.what, refused=error.what)
    [samples] = answer.samples
    return StageLatency(
        stage=file.stage,
        what=file.what,
        by=f"{answer.runtime.runtime} {answer.runtime.runtime_version}",
        stats=summarise(samples.rounds_ms),
        rounds_ms=samples.rounds_ms,
    )


def _stage_runtime(profile: TargetProfile) -> Runtime | None:
    """ONNX Runtime on the processor, with the target's threads and cores; None: the target's."""
    if not profile.capabilities.has_python:
        return None
    threads = getattr(profile.runtime, "threads", 1)
    settings = OnnxRuntimeSettings(
        kind="onnxruntime", threads=threads, affinity=_affinity(profile), provider=CPU
    )
    return OnnxRuntime(settings)


def _affinity(profile: TargetProfile) -> Affinity | None:
    affinity: Affinity | None = getattr(profile.runtime, "affinity", None)
    return affinity
