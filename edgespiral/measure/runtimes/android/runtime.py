"""ONNX Runtime's own `onnxruntime_perf_test` on a phone, which has no Python."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError, TargetError
from edgespiral.measure.engine_files import no_engines
from edgespiral.measure.model_files import is_engine, precision_of, pushed_models
from edgespiral.measure.runtimes.agent import PROFILED_RUNS, orders
from edgespiral.measure.runtimes.agent_answer import reading, whole_answer
from edgespiral.measure.runtimes.android.free_dimensions import free_dimensions
from edgespiral.measure.runtimes.android.output import perf_test_document
from edgespiral.measure.runtimes.android.script import BODY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.android.settings import AndroidSettings
    from edgespiral.measure.runtimes.base import Answer, Job

TOOL, SCRIPT = "onnxruntime_perf_test", "measure.sh"
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
LONGEST_US = 2_000_000_000


class AndroidPerfTest:
    """Runs the tool that the user built, anew for every round of every model.

    Args:
        settings: of the profile.
        system_root: the folder that holds the device's `sys` and `proc`; empty for its own.
    """

    def __init__(self, settings: AndroidSettings, *, system_root: str = "") -> None:
        self._settings = settings
        self._system_root = system_root

    def needs(self) -> dict[str, str]:
        """The programs of the user's that are pushed.

        Raises:
            TargetError: one of them is missing.
        """
        programs = self._programs()
        size_mb = sum(path.stat().st_size for path in programs.values()) / 1e6
        listed = ", ".join(map(str, programs.values()))
        return {"program": f"{listed} ({size_mb:.1f} MB)", "version": self._version()}

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
        assignments = {
            **self._numbers(job),
            **{f"model_{index}": name for index, name in enumerate(names)},
            **{f"own_{index}": self._own(model, job) for index, model in enumerate(job.models)},
        }
        lines = [f"{key}={shlex.quote(str(value))}" for key, value in assignments.items()]
        return {**self._programs(), **models, SCRIPT: "\n".join(lines) + "\n" + BODY}

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
            "runtime_version": self._version(),
            "provider": self._settings.provider,
            "threads": self._settings.threads,
            "affinity": pinned or None,
        }
        return whole_answer(document, job)

    def _numbers(self, job: Job) -> dict[str, object]:
        shuffled = orders(len(job.models), job.rounds)
        most, named = job.max_round_samples, self._settings.affinity
        return {
            "mode": job.mode,
            "root": self._system_root,
            "threads": self._settings.threads,
            "cores": "" if named == "big" else " ".join(map(str, named)),
            "flags": shlex.join(self._flags()),
            "models": " ".join(map(str, range(len(job.models)))),
            "rounds": "\n".join(" ".join(map(str, order)) for order in shuffled),
            "round_us": min(round(1e3 * job.round_ms), LONGEST_US),
            "warmup_us": min(round(1e3 * job.warmup_ms), LONGEST_US),
            "least": min(job.min_round_samples, PROFILED_RUNS)
            if job.mode == "profile"
            else job.min_round_samples,
            "most": min(most, PROFILED_RUNS) if job.mode == "profile" else most,
            "settling": SETTLING_RUNS,
        }

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

    def _programs(self) -> dict[str, Path]:
        """The tool and its libraries by the names that they get on the device."""
        named = {"binary": [self._settings.binary], "libraries": self._settings.libraries}
        programs: dict[str, Path] = {}
        for key, paths in named.items():
            for text in paths:
                path = Path(text).expanduser()
                if not path.is_file():
                    hint = (
                        f"build {TOOL} for the device's processor (docs/targets.md, Android) and "
                        f"name the file in the target's [runtime] {key}"
                    )
                    raise TargetError(f"no such file: {path}", where=f"runtime.{key}", hint=hint)
                programs[TOOL if key == "binary" else path.name] = path
        return programs

    def _version(self) -> str:
        """The version where a file tells it, else what tells one build from another."""
        contents = [path.read_bytes() for path in self._programs().values()]
        versions = sorted(
            {match[1].decode() for content in contents for match in VERSION.finditer(content)}
        )
        digest = hashlib.sha256(b"".join(contents)).hexdigest()[:12]
        return versions[-1] if versions else f"build {digest}"
