"""A measuring session on one target: where a runtime and a transport meet."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal, Self

from edgespiral.core.errors import MeasurementError, ModelError
from edgespiral.core.records.measurement import Measurement
from edgespiral.core.records.schema import now_utc
from edgespiral.core.statistics.stats import largest_known, paired_ratio, summarise, summed
from edgespiral.core.system.files import writing
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.model_files import (
    part_latencies,
    precision_label,
    require_unchanged,
    sha256_or_empty,
    timed_files,
)
from edgespiral.measure.runtimes.agent_answer import (
    check_clock,
    check_computed,
    check_threads,
    row_count,
)
from edgespiral.measure.runtimes.base import Job
from edgespiral.measure.runtimes.module_files import module_beside
from edgespiral.measure.tiny import write_tiny_model, write_tiny_module
from edgespiral.measure.transports.one_at_a_time import alone_on

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from edgespiral.core.records.measurement import LayerLatency, Ratio
    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.model_files import TimedFile
    from edgespiral.measure.profile import TargetProfile
    from edgespiral.measure.runtimes.base import Answer, Runtime, Samples
    from edgespiral.measure.transports.base import Transport

ATTEMPTS = 2


class Session:
    """Measures models on a target, inside its context.

    Args:
        profile: the target.
        work: where temporary files are made; the system's temporary folder if None.
        shapes: input shapes by name, for models without fixed ones; "" is the only input.
        runtime: in place of the profile's.
        transport: in place of the profile's.

    Example:
        >>> from edgespiral import Session, load_profile
        >>> with Session(load_profile("host-cpu")) as session:
        ...     [(small, speedup)] = session.compare(Path("big.onnx"), [Path("small.onnx")])
        >>> small.stats.p50_ms > 0, speedup.ci95.low <= speedup.value <= speedup.ci95.high
        (True, True)
    """

    def __init__(
        self,
        profile: TargetProfile,
        *,
        work: Path | None = None,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        runtime: Runtime | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.profile = profile
        self._work = work
        self._shapes = dict(shapes or {})
        way = profile.transport_plugin
        self._runtime = runtime or profile.runtime_plugin.make(
            profile.runtime, name=profile.name, on_host=way.is_local
        )
        self._transport = transport or way.make(profile.transport, work)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Open the way to the device."""
        self._open.enter_context(self._transport)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it, and leave nothing behind."""
        self._open.close()

    def measure(
        self,
        models: Sequence[Path],
        *,
        rounds: int | None = None,
        seconds_per_model: float | None = None,
    ) -> list[Measurement]:
        """The latency of each model; they take turns round by round in one process.

        Of a model that names parts, these are measured, and the sum of count times latency is told.

        Args:
            models: ONNX files.
            rounds: how often each has its turn; more rounds of the same length are more samples.
            seconds_per_model: the time that all of a model's rounds take together, in place of
                the profile's `round_ms` for each; shorter rounds have fewer samples at least.

        Raises:
            ModelError: a model is missing, or cannot be loaded or run.
            TargetError: the device, its runtime or the provider cannot be used.
            MeasurementError: no answer, or none to be trusted: power mode changed, too hot, or a
                model's file changed meanwhile.
        """
        files = [timed_files(model) for model in models]
        timed = [file.path for own in files for file in own]
        digests = {path: sha256_or_empty(path) for path in dict.fromkeys([*models, *timed])}
        answer = self._ask(self._job("measure", timed, rounds, seconds_per_model))
        require_unchanged(digests)
        samples = iter(answer.samples)
        return [
            self._measurement(answer, model, digests[model], own, [next(samples) for _ in own])
            for model, own in zip(models, files, strict=True)
        ]

    def _measurement(
        self,
        answer: Answer,
        model: Path,
        sha256: str,
        files: Sequence[TimedFile],
        samples: Sequence[Samples],
    ) -> Measurement:
        """Of a model, from the samples of its file or of its parts'."""
        sides = zip(files, samples, strict=True)
        rounds_ms = summed([(file.count, own.rounds_ms) for file, own in sides])
        loads_ms = [median(own.loads_ms) if own.loads_ms else 0.0 for own in samples]
        is_alone = len(answer.samples) == len(samples)
        return Measurement(
            target=self.profile.name,
            model_sha256=sha256,
            stats=summarise(rounds_ms),
            rounds_ms=rounds_ms,
            warmup_count=sum(own.warmup_count for own in samples),
            fingerprint=answer.fingerprint(precision_label(model, self._runtime.precision(model))),
            measured_at=now_utc(),
            parts=part_latencies(files, [own.rounds_ms for own in samples]),
            load_ms=math.fsum(loads_ms) if all(loads_ms) else None,
            peak_memory_mib=answer.runtime.peak_memory_mib if is_alone else None,
            cold_start_ms=answer.runtime.cold_start_ms if is_alone else None,
            waited_share=largest_known(own.waited_share for own in samples),
        )

    def prepare(self, models: Sequence[Path]) -> None:
        """Have models converted, where the runtime has files of its own; nothing is timed.

        Raises:
            ModelError, TargetError, MissingExtraError: as `measure`, of what is done here.
        """
        files = [file.path for model in models for file in timed_files(model)]
        self._runtime.files(self._job("measure", files, None, None))

    def compare(
        self,
        reference: Path,
        subjects: Sequence[Path],
        *,
        rounds: int | None = None,
        seconds_per_model: float | None = None,
    ) -> list[tuple[Measurement, Ratio]]:
        """Each subject's latency and how many times as fast as the reference it is, in pairs.

        Args:
            reference: an ONNX file that the others take turns with.
            subjects: ONNX files.
            rounds: as for `measure`, and so is `seconds_per_model`.

        Raises:
            ModelError: a model is missing, or cannot be loaded or run.
            TargetError: the device cannot be used.
            MeasurementError: no answer, or none to be trusted.
        """
        first, *others = self.measure(
            [reference, *subjects], rounds=rounds, seconds_per_model=seconds_per_model
        )
        return [(other, paired_ratio(first.rounds_ms, other.rounds_ms)) for other in others]

    def profile_layers(
        self, models: Sequence[Path], *, rounds: int | None = None
    ) -> list[list[LayerLatency]]:
        """The time of each convolution and matrix product of each model, in the order they run.

        Shapes are those that the runtime works on: ONNX Runtime pads output channels to its block.
        Times of a part's layers are those of all of its runs.

        Args:
            models: ONNX files.
            rounds: as for `measure`.

        Raises:
            ModelError: a model is missing, or cannot be loaded or run.
            TargetError: the device cannot be used.
            MeasurementError: no answer, or none to be trusted.
        """
        files = [timed_files(model) for model in models]
        timed = [file.path for own in files for file in own]
        layers = iter(self._ask(self._job("profile", timed, rounds, None)).layers)
        return [[row for file in own for row in file.all_runs(next(layers))] for own in files]

    def timed_as_they_are(
        self, files: Sequence[Path], *, rounds: int | None = None, energy_s: float = 0.0
    ) -> Answer:
        """The device's whole answer to timing files, whatever the session's runtime does with them.

        Args:
            files: one a figure; of a model that names parts its own.
            rounds: as for `measure`.
            energy_s: how long each runs to tell what it takes of energy; 0 for not at all.

        Raises:
            ModelError: one is missing, or cannot be loaded or run.
            TargetError: the device, its runtime or what that needs cannot be used.
            MeasurementError: no answer, or none to be trusted.
        """
        job = self._job("measure", files, rounds, None)
        return self._ask(replace(job, energy_s=energy_s))

    def needs(self) -> dict[str, str]:
        """What of this machine's the runtime takes along beside models, by name.

        Raises:
            TargetError: it is missing.
        """
        return dict(self._runtime.needs())

    def build(self, model: Path, goal: Path) -> Answer:
        """Build an engine of an ONNX file on the device and fetch it.

        Args:
            model: the ONNX file.
            goal: the file that the engine is written to.

        Raises:
            ModelError: the model cannot be parsed or built.
            TargetError: the device or its runtime builds no engines.
            MeasurementError: the builder broke off or took too long.
            RunFolderError: `goal` cannot be written.
        """
        job = self._job("build", [model], None, None)
        return self._transport.repeated(lambda: self._built(job, goal))

    def outputs(self, models: Sequence[Path], inputs: Path, folder: Path) -> list[Path] | None:
        """What each model computes on the device; None where its runtime does not tell.

        Args:
            models: ONNX files of one input, of batch 1.
            inputs: a `.npy` file of samples (n, ...).
            folder: where the files are put, one a model: its first output's values for the
                samples, or for as many of the first of them as the device had time for.

        Raises:
            ModelError: a model is missing, or cannot be loaded or run.
            TargetError: the device cannot be used.
            MeasurementError: no answer, none to be trusted, or fewer outputs than the time that the
                device had explains.
        """
        make = self.profile.runtime_plugin.make_outputs
        if make is None:
            return None
        runtime = make(self.profile.runtime)
        job = replace(
            self._job("outputs", models, None, None), inputs=inputs, input_count=row_count(inputs)
        )
        return self._transport.repeated(lambda: self._computed(runtime, job, folder))

    def precision(self, model: Path) -> Precision:
        """What `model` runs in here.

        Raises:
            ModelError: it cannot be read.
        """
        return self._runtime.precision(model)

    def way(self) -> dict[str, str]:
        """What there is to know of the way to the device, by name.

        Raises:
            TargetError: it cannot be used.
        """
        return self._transport.way()

    def try_out(self) -> Answer:
        """The device's whole answer to a tiny model, measured against itself.

        Raises:
            ModelError: a model is missing, or cannot be loaded or run.
            TargetError: the device cannot be used.
            MeasurementError: no answer, or none to be trusted.
        """
        with work_folder(self._work) as folder:
            tiny = write_tiny_model(folder / "tiny.onnx")
            write_tiny_module(folder)
            return self.timed_as_they_are([tiny, tiny])

    def _job(
        self,
        mode: Literal["measure", "profile", "build", "outputs"],
        models: Sequence[Path],
        rounds: int | None,
        seconds_per_model: float | None,
    ) -> Job:
        settings = self.profile.measure
        round_count = settings.rounds if rounds is None else rounds
        spread = None if seconds_per_model is None else 1e3 * seconds_per_model / round_count
        round_ms = spread or settings.round_ms
        # Shorter rounds have fewer samples, of models too that take longer than any round.
        share = min(1.0, round_ms / settings.round_ms)
        takes_modules = self.profile.capabilities.needs == "module"
        return Job(
            mode=mode,
            models=tuple(models),
            modules=tuple(map(module_beside, models)) if takes_modules else (),
            rounds=round_count,
            round_ms=round_ms,
            warmup_ms=settings.warmup_ms,
            min_round_samples=math.ceil(share * settings.min_samples / settings.rounds),
            max_round_samples=max(1, settings.max_samples // settings.rounds),
            shapes=self._shapes,
        )

    def _ask(self, job: Job) -> Answer:
        if not job.models:
            raise ModelError("no model to measure")
        for _ in range(ATTEMPTS):
            answer = self._transport.repeated(lambda: self._run(job))
            reason = answer.void(self.profile.measure.max_temp_c)
            if reason is None:
                return answer
        raise MeasurementError(
            f"{reason}, twice in a row", where=self.profile.name, hint="let it settle, then again"
        )

    def _built(self, job: Job, goal: Path) -> Answer:
        answer = self._run(job)
        self._transport.pull(answer.engines[0].file, goal)
        if goal.stat().st_size == 0:
            raise MeasurementError("the device built an empty engine", where=self.profile.name)
        return answer

    def _computed(self, runtime: Runtime, job: Job, folder: Path) -> list[Path]:
        started_s = _clock_s()
        answer = self._run(job, runtime)
        check_computed(answer, job, _clock_s() - started_s)
        files = [folder / f"outputs-{index}.npy" for index in range(len(job.models))]
        for file, computed in zip(files, answer.outputs, strict=True):
            self._transport.pull(computed.file, file)
            if row_count(file) != computed.samples:
                what = f"it tells of {computed.samples} outputs, and has {row_count(file)}"
                raise MeasurementError(what, where=self.profile.name)
        return files

    def _run(self, job: Job, runtime: Runtime | None = None) -> Answer:
        runtime = runtime or self._runtime
        with work_folder(self._work) as folder:
            for name, content in runtime.files(job).items():
                self._transport.push(_as_file(content, folder), name)
        argv = runtime.argv(self._transport.python)
        device = self.profile.transport_plugin.device_id(self.profile.transport)
        with alone_on(device):
            started_s = _clock_s()
            completed = self._transport.run(argv, self.profile.transport.timeout_s)
            elapsed_s = _clock_s() - started_s
        answer = runtime.parse(completed, job)
        check_clock(answer, elapsed_s, self.profile.capabilities.overlap)
        check_threads(answer.runtime.threads, answer.device.cores)
        return answer


def _clock_s() -> float:
    """A clock that goes on while this machine sleeps, as that of a device does."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _as_file(content: Path | str, folder: Path) -> Path:
    if isinstance(content, Path):
        return content
    with writing(file := folder / "text"):
        file.write_text(content, encoding="utf-8")
    return file
