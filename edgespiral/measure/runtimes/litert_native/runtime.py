"""LiteRT's `benchmark_model` on a device without Python; files are made here."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, TargetError
from edgespiral.measure.engine_files import no_engines
from edgespiral.measure.model_files import precision_of, read_proto
from edgespiral.measure.runtimes.agent_answer import reading, whole_answer
from edgespiral.measure.runtimes.base import INPUTS, MOST_OUTPUT_BYTES, MOST_OUTPUT_SECONDS
from edgespiral.measure.runtimes.conversions import Conversions
from edgespiral.measure.runtimes.converting import FLOAT, in_folders, subjects_of
from edgespiral.measure.runtimes.litert.convert import converted, made_by
from edgespiral.measure.runtimes.litert_native.output import TOOL, benchmark_document
from edgespiral.measure.runtimes.litert_native.script import BODY
from edgespiral.measure.runtimes.native.programs import Programs
from edgespiral.measure.runtimes.native.script import assignments, script

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job
    from edgespiral.measure.runtimes.conversions import Converted, Subject
    from edgespiral.measure.runtimes.litert_native.settings import LiteRtNativeSettings

TITLE, SCRIPT = "LiteRT's benchmark_model", "measure.sh"
GETTING = f"get {TOOL} for the device's processor (docs/targets.md, LiteRT on a phone)"
# As the program calls them, with the flags that turn each on and say in what it computes.
DELEGATES = {"xnnpack": "XNNPACK", "gpu": "GPU"}
FLAGS = {
    ("xnnpack", "fp32"): ("--use_xnnpack=true",),
    ("xnnpack", "fp16"): ("--use_xnnpack=true", "--xnnpack_force_fp16=true"),
    ("gpu", "fp32"): ("--use_gpu=true", "--gpu_precision_loss_allowed=false"),
    ("gpu", "fp16"): ("--use_gpu=true", "--gpu_precision_loss_allowed=true"),
}
# The first runs after loading are slower: memory is first touched.
SETTLING_RUNS = 3
FLOAT_BYTES = 4


class LiteRtNative:
    """Runs the program that the user has, anew for every sample of every model.

    Args:
        settings: of the profile.
        system_root: the folder that holds the device's `sys`; empty for its own.
    """

    def __init__(self, settings: LiteRtNativeSettings, *, system_root: str = "") -> None:
        self._settings = settings
        self._system_root = system_root
        self._programs = Programs(TOOL, settings, getting=GETTING)
        self._conversions = Conversions("litert", made_by(settings))

    def needs(self) -> dict[str, str]:
        """The program of the user's that is pushed.

        Raises:
            TargetError: it is missing.
        """
        return self._programs.needs()

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """The program, the converted models, the script, and inputs if any."""
        if job.mode == "build":
            raise no_engines(TITLE)
        if job.mode == "profile":
            raise TargetError(
                f"{TITLE} does not tell the times of layers", hint="ask another runtime for them"
            )
        programs = self._programs.files()
        models = [self._conversions.of(subject, self._convert) for subject in subjects_of(job)]
        values = {
            **assignments(job, self._settings, TOOL, self._system_root),
            **{f"model_{index}": f"model-{index}" for index in range(len(models))},
            "flags": shlex.join(self._flags()),
            "settling": SETTLING_RUNS,
        }
        inputs = {}
        if job.inputs is not None:
            values |= _fed(job, models)
            inputs = {INPUTS: job.inputs}
        return {**programs, **in_folders(models), **inputs, SCRIPT: script(values, BODY)}

    def argv(self, python: str) -> list[str]:  # noqa: ARG002 (a phone has none)
        """The script."""
        return ["sh", SCRIPT]

    def precision(self, model: Path) -> Precision:
        """That the file is written in."""
        return precision_of(model)

    def parse(self, completed: Completed, job: Job) -> Answer:
        """What the program printed, start by start.

        Raises:
            TargetError: the delegate leaves layers with weights to other kernels.
        """
        delegate, threads = DELEGATES[self._settings.delegate], self._settings.threads
        with reading():
            document = benchmark_document(completed, job, delegate, threads)
            pinned = [int(core) for core in document.pop("pinned")]
        document["runtime"] = {
            "runtime": "litert-native",
            "runtime_version": self._programs.version(),
            "provider": document.pop("provider"),
            "threads": threads,
            "affinity": pinned or None,
            "float_precision": self._settings.float_precision,
        }
        return whole_answer(document, job)

    def _convert(self, subject: Subject, folder: Path) -> Converted:
        return converted(subject, folder, self._settings)

    def _flags(self) -> list[str]:
        own = FLAGS[self._settings.delegate, self._settings.inference_precision]
        return [f"--num_threads={self._settings.threads}", *own]


def _fed(job: Job, models: list[Converted]) -> dict[str, object]:
    """What the script is told of samples: where they are, and what comes of them."""
    values: dict[str, object] = {"count": job.input_count, "most_seconds": int(MOST_OUTPUT_SECONDS)}
    for index, (model, made) in enumerate(zip(job.models, models, strict=True)):
        inputs, outputs = made.about["inputs"], made.about["outputs"]
        assert isinstance(inputs, dict)
        assert isinstance(outputs, list)
        if len(inputs) != 1 or len(outputs) != 1:
            what = f"{TITLE} is compared on models of one input and one output"
            raise ModelError(what, where=str(model), hint="--device-samples 0 compares nothing")
        [shape] = inputs.values()
        size = ",".join(map(str, shape))
        own = [
            "--input_layer=x",
            f"--input_layer_shape={size}",
            "--input_layer_value_files=x:sample",
        ]
        values |= {
            f"own_{index}": " ".join(own),
            f"offset_{index}": _data_offset(job),
            f"bytes_{index}": FLOAT_BYTES * math.prod(shape),
            f"row_{index}": _row(model, job.input_count),
        }
    return values


def _data_offset(job: Job) -> int:
    """Where the numbers begin in the file of samples."""
    import numpy as np

    assert job.inputs is not None
    return int(np.load(job.inputs, mmap_mode="r", allow_pickle=False).offset)


def _row(model: Path, count: int) -> str:
    """The sizes of one sample's output, as NumPy writes those that follow the first."""
    [output] = read_proto(model).graph.output
    kind = output.type.tensor_type
    sizes = [dimension.dim_value for dimension in kind.shape.dim]
    if kind.elem_type != FLOAT or not all(sizes) or sizes[:1] != [1]:
        what = f"{TITLE} is compared on a float32 output of fixed size and batch 1"
        raise ModelError(what, where=str(model), hint="--device-samples 0 compares nothing")
    if FLOAT_BYTES * math.prod(sizes) * count > MOST_OUTPUT_BYTES:
        what = f"its outputs take more than {MOST_OUTPUT_BYTES >> 20} MiB"
        raise ModelError(what, where=str(model), hint="ask for fewer samples")
    return "".join(f"{size}, " for size in sizes[1:]).rstrip()
