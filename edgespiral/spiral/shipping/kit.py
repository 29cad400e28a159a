"""A folder to build on: a run's model in a runtime's form, with programs that run and check it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from edgespiral.core.errors import ExportError, ModelError, RunFolderError, UsageError
from edgespiral.core.system.files import make_folder, sha256_file, write_text, writing
from edgespiral.core.system.temporary import work_folder
from edgespiral.core.text import printable
from edgespiral.measure.model_files import timed_files
from edgespiral.measure.runtimes import RUNTIMES
from edgespiral.spiral.shipping.on_device import limits_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgespiral.core.records.measurement import Fingerprint, Measurement
    from edgespiral.core.records.schema import Precision
    from edgespiral.measure.kits.base import Kit, KitModel, Port
    from edgespiral.spiral.shipping.sample import FileSample

# Of its program, which loads a model and runs it once.
LONGEST_S = 300


@dataclass(frozen=True)
class Shipment:
    """What a kit is made of.

    Attributes:
        path: the ONNX file.
        runtime: by name.
        samples: of each file that runs for it.
        figures: what was measured with the runtime.
        is_measured_now: for the kit, and not in the run.
        precision: that the file is written in.
        about: `model`, `task` and `data`, as the README says them.
    """

    path: Path
    runtime: str
    samples: Sequence[FileSample]
    figures: Sequence[Measurement]
    is_measured_now: bool
    precision: Precision
    about: Mapping[str, str]

    @property
    def least_db(self) -> float | None:
        """How near a kit's outputs are to be to the recorded ones."""
        return limits_for(self.precision, self.figures[0].fingerprint.precision).least_sqnr_db


def kit_of(runtime: str, fingerprint: Fingerprint) -> Kit:
    """A runtime's kit, set as a figure was measured.

    Raises:
        UsageError: there is no such runtime, or it ships nothing.
    """
    require_kit(runtime)
    make = RUNTIMES.get(runtime).kit
    assert make is not None
    return make(fingerprint)


def require_kit(runtime: str) -> None:
    """Refuse a runtime that ships nothing.

    Raises:
        UsageError: so it is, or there is no such runtime.
    """
    if RUNTIMES.get(RUNTIMES.check(runtime)).kit is None:
        able = [name for name in RUNTIMES.names() if RUNTIMES.get(name).kit is not None]
        raise UsageError(
            f"{runtime} has nothing to ship models with",
            where="--runtime",
            hint=f"those that have: {', '.join(able)}",
        )


def write_kit(shipment: Shipment, out: Path) -> Kit:
    """Write a kit into a new folder, and run its Python program there.

    Args:
        out: a folder that is not there yet, or an empty one.

    Raises:
        UsageError: something is in `out`.
        MissingExtraError: what converts for the runtime is not installed.
        ModelError: the runtime does not take the model.
        ExportError: its outputs are not the recorded ones; no folder is left.
        RunFolderError: it cannot be written.
    """
    require_empty(out)
    kit = kit_of(shipment.runtime, shipment.figures[0].fingerprint)
    with work_folder() as work:
        folder = work / "kit"
        folder.mkdir()
        models = _written_models(shipment, kit, folder)
        for name, source in kit.files().items():
            shutil.copyfile(source, folder / name)
        _run_example(folder, shipment)
        write_text(folder / "README.md", _readme(shipment, kit, models))
        copied_whole(folder, out)
    return kit


def copied_whole(folder: Path, out: Path) -> None:
    """Copy all of `folder` into the empty or new folder `out`; nothing of it, if that fails.

    Raises:
        RunFolderError: a file cannot be written, as on a disk that is full.
    """
    is_new = not out.exists()
    make_folder(out)
    written: list[Path] = []
    try:
        for source in sorted(folder.rglob("*")):
            goal = out / source.relative_to(folder)
            with writing(goal):
                if source.is_dir():
                    goal.mkdir()
                    written.append(goal)
                    continue
                written.append(goal)
                shutil.copyfile(source, goal)
    except BaseException:
        for goal in reversed([out, *written] if is_new else written):
            with suppress(OSError):
                goal.rmdir() if goal.is_dir() else goal.unlink()
        raise


def require_empty(out: Path) -> None:
    """Refuse a folder with something in it.

    Raises:
        UsageError: so it is.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("is not an empty folder", where=str(out), hint="name another --out")


def _written_models(shipment: Shipment, kit: Kit, folder: Path) -> list[KitModel]:
    """Convert each file and write `sample.txt` with the arrays that it names."""
    (folder / "sample").mkdir()
    lines = [f"least_db\t{shipment.least_db:g}"]
    lines += [f"{key}\t{value}" for key, value in kit.options.items()]
    models = []
    files = timed_files(shipment.path)
    for number, (file, sample) in enumerate(zip(files, shipment.samples, strict=True)):
        shapes = {name: values.shape for name, values in sample.inputs.items()}
        model = kit.convert(file.path, folder, shapes)
        if sha256_file(file.path) != sample.sha256:
            raise RunFolderError(
                "changed while it was shipped",
                where=str(file.path),
                hint="ship it again once it rests",
            )
        lines.append(f"model\t{model.file}")
        for way, ports, arrays in (
            ("input", model.inputs, sample.inputs),
            ("output", model.outputs, sample.outputs),
        ):
            for place, port in enumerate(ports):
                name = f"sample/{number}-{way}-{place}.bin"
                array = _without_batch(port, arrays[port.onnx], file.path)
                (folder / name).write_bytes(array.tobytes())
                lines.append(_line(way, name, array, port))
        models.append(model)
    write_text(folder / "sample.txt", "\n".join(lines) + "\n")
    return models


def _without_batch(port: Port, array: NDArray[Any], path: Path) -> NDArray[Any]:
    """The array as the runtime has it, in the order of bytes that programs read."""
    if port.batch_axis is not None:
        if array.ndim <= port.batch_axis or array.shape[port.batch_axis] != 1:
            what = f"{port.onnx} {array.shape} has no batch of 1 on axis {port.batch_axis}"
            raise ModelError(what, where=str(path))
        array = array.squeeze(port.batch_axis)
    little: NDArray[Any] = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    return little


def _line(way: str, file: str, array: NDArray[Any], port: Port) -> str:
    sizes = ",".join(map(str, array.shape))
    return "\t".join((way, file, array.dtype.name, sizes, printable(port.name)))


def _run_example(folder: Path, shipment: Shipment) -> None:
    try:
        done = subprocess.run(
            [sys.executable, "example.py"],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        what = f"its example runs for more than {LONGEST_S} s"
        raise ExportError(what, where=str(shipment.path)) from error
    finally:
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()[-1:]]
    if done.returncode:
        wrong = [line for line in lines if "NOT" in line or line.startswith("error")]
        reason = (wrong or lines or [f"exit code {done.returncode}"])[0]
        raise ExportError(
            f"by {shipment.runtime} it does not compute what was recorded: {reason}",
            where=str(shipment.path),
            hint="ship it by another runtime; those that compute the same are in a race's rows",
        )


def _readme(shipment: Shipment, kit: Kit, models: Sequence[KitModel]) -> str:
    environment = Environment(
        loader=PackageLoader("edgespiral.spiral.shipping", ""),
        autoescape=False,  # noqa: S701 (it is text, of which nothing is run)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    ports = [port for model in models for port in (*model.inputs, *model.outputs)]
    return environment.get_template("kit_readme.md.j2").render(
        kit=kit,
        files=[f"`{model.file}`" for model in models],
        figures=shipment.figures,
        is_measured_now=shipment.is_measured_now,
        precision=shipment.precision,
        least_db=shipment.least_db,
        without_batch=any(port.batch_axis is not None for port in ports),
        versions=[f"{name} {version(name)}" for name in kit.packages],
        **{key: printable(value) for key, value in shipment.about.items()},
    )
