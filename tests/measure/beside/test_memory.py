from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.core.errors import MeasurementError
from edgespiral.measure.beside.memory import least_memory_mib, peak_memory_mib
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes.onnxruntime.runtime import OnnxRuntime
from edgespiral.measure.runtimes.onnxruntime.settings import OnnxRuntimeSettings
from edgespiral.measure.session import Session

Make = Callable[..., Path]


def bare_device(folder: Path) -> OnnxRuntime:
    """One whose system shows nothing of itself."""
    return OnnxRuntime(OnnxRuntimeSettings(kind="onnxruntime"), system_root=str(folder))


def test_a_device_that_does_not_tell_its_memory_is_an_error(
    tmp_path: Path, convolution: Make, profile: TargetProfile
) -> None:
    untold = pytest.raises(MeasurementError, match="does not tell how much memory onnxruntime")
    with Session(profile, runtime=bare_device(tmp_path)) as session, untold:
        peak_memory_mib(session, convolution())


def test_a_process_with_a_model_takes_no_less_memory_than_one_with_a_tiny_one(
    convolution: Make, profile: TargetProfile
) -> None:
    with Session(profile) as session:
        own_mib, least_mib = peak_memory_mib(session, convolution()), least_memory_mib(session)
    assert 10 < least_mib < 1.1 * own_mib
