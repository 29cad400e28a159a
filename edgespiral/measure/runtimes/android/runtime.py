"""ONNX Runtime's own `onnxruntime_perf_test` on a phone, which has no Python."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError
from edgespiral.measure.engine_files import no_engines
from edgespiral.measure.model_files import is_engine, precision_of, pushed_models
from edgespiral.measure.runtimes.agent import PROFILED_RUNS
from edgespiral.measure.runtimes.agent_answer import reading, whole_answer
from edgespiral.measure.runtimes.android.free_dimensions import free_dimensions
from edgespiral.measure.runtimes.android.output import TOOL, perf_test_document
from edgespiral.measure.runtimes.android.script import BODY
from edgespiral.measure.runtimes.native.programs import Programs
from edgespiral.measure.runtimes.native.script import assignments, script

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.android.settings import AndroidSettings
    from edgespiral.measure.runtimes.base import Answer, Job

SCRIPT = "measure.sh"
# What the tool calls the providers.
PROVIDERS = {
    "CPUExecutionProvider": "cpu",
    "XnnpackExecutionProvider": "xnnpack",
    "NnapiExecutionProvider": "nnapi",
    "QNNExecutionProvider": "qnn",
    "ACLExecutionProvider": "acl",
}
# The first runs after loading are slower: memory is first touched.
SETTLING_RUNS = 3
# A shared library of ONNX Runtime has its version as a symbol's.
VERSION = re.compile(rb"VERS_(\d+\.\d+\.\d+)\b")
GETTING = f"build {TOOL} for the device's processor (docs/targets.md, Android)"


class AndroidPerfTest:
    """Runs the tool that the user built, anew for every round of every model.

    Args:
        settings: of the profile.
        system_root: the folder that holds the device's `sys` and `proc`; empty for its own.
    """

    def __init__(self, settings: AndroidSettings, *, system_root: str = "") -> None:
        self._settings = settings
        self._system_root = system_root
        self._programs = Programs(TOOL, settings, getting=GETTING, version=VERSION)

    def needs(self) -> dict[str, str]:
        """The programs of the user's that are pushed.

        Raises:
            TargetError: one of them is missing.
        """
        return self._programs.needs()

    def files(self, job: Job) -> Mapping[str, Path | str]:
        """The tool, the models with what belongs to them, and the script."""
        if job.mode == "build":
            raise no_engines()
        for model in job.models:
            if is_engine(model) or model.suffix == ".tflite":
                raise ModelError(
                    "is not an ONNX file, and ONNX Runtime reads no other", where=str(model)
                )
        models, names = pushed_models(job.models)
        values = {
            **assignments(job, self._settings, TOOL, self._system_root),
            **self._numbers(job),
            **{f"model_{index}": name for index, name in enumerate(names)},
            **{f"own_{index}": self._own(model, job) for index, model in enumerate(job.models)},
        }
        return {**self._programs.files(), **models, SCRIPT: script(values, BODY)}

    def argv(self, python: str) -> list[str]:  # noqa: ARG002 (a phone has none)
        """The script."""
        return ["sh", SCRIPT]

    def precision(self, model: Path) -> Precision:
        """That the file is written in."""
        return precision_of(model)

    def parse(self, completed: Completed, job: Job) -> Answer:
        """What the tool wrote, round by round."""
        with reading():
            document = perf_test_document(completed, job, SETTLING_RUNS)
            pinned = [int(core) for core in document.pop("pinned")]
        document["runtime"] = {
            "runtime": "onnxruntime",
            "runtime_version": self._programs.version(),
            "provider": self._settings.provider,
            "threads": self._settings.threads,
            "affinity": pinned or None,
        }
        return whole_answer(document, job)

    def _numbers(self, job: Job) -> dict[str, object]:
        own: dict[str, object] = {"flags": shlex.join(self._flags()), "settling": SETTLING_RUNS}
        if job.mode == "profile":
            own["least"] = min(job.min_round_samples, PROFILED_RUNS)
            own["most"] = min(job.max_round_samples, PROFILED_RUNS)
        return own

    def _flags(self) -> list[str]:
        """Made-up inputs, threads, subnormal numbers flushed to zero, and the provider."""
        provider = PROVIDERS[self._settings.provider]
        flags = ["-I", "-S", "1", "-m", "times", "-x", str(self._settings.threads), "-y", "1"]
        # Another provider has to run the whole model, or loading it is an error.
        alone = [] if provider == "cpu" else ["-C", "session.disable_cpu_ep_fallback|1"]
        return [*flags, "-z", "-e", provider, *alone]

    def _own(self, model: Path, job: Job) -> str:
        sizes = free_dimensions(model, job.shapes)
        return shlex.join(word for name, size in sizes.items() for word in ("-f", f"{name}:{size}"))
