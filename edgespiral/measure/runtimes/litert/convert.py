"""LiteRT's files of the PyTorch modules that runs have beside their ONNX files.

litert-torch asks for versions of packages that others here may not bear, so it may be in an
environment of its own, whose Python is named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import MissingExtraError, ModelError, UsageError
from edgespiral.core.system.files import SETTINGS_BYTES, parse_json, read_text
from edgespiral.core.system.temporary import work_folder
from edgespiral.measure.model_files import read_proto
from edgespiral.measure.runtimes.conversions import Conversions, Converted
from edgespiral.measure.runtimes.converting import (
    described,
    float_inputs,
    run_converter,
    write_module_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from edgespiral.measure.runtimes.conversions import Convert, Subject
    from edgespiral.measure.runtimes.litert.settings import LiteRtFileSettings

PACKAGE, NAMED = "litert_torch", "EDGESPIRAL_LITERT_PYTHON"
PROGRAM = Path(__file__).with_name("to_tflite.py")
ROUNDING = Path(__file__).with_name("round_weights.py")
MODEL, PORTS, FAILED = "model.tflite", "ports.json", "failed.txt"
KIND, TITLE = "litert", "LiteRT"
LOOKS = f"from importlib.util import find_spec; raise SystemExit(find_spec({PACKAGE!r}) is None)"
HOW = (
    "python -m venv litert && litert/bin/pip install litert-torch, then name it: "
    f'converter_python = "litert/bin/python" in the target\'s [runtime], or ${NAMED}'
)


def converted(subject: Subject, folder: Path, settings: LiteRtFileSettings) -> Converted:
    """Make a file of a module, in `folder`.

    Args:
        subject: the ONNX file, which says what inputs and outputs are called, and the module that
            it was exported from.
        folder: where the file is put.
        settings: which Python converts, and how weights are stored.

    Raises:
        UsageError: what is named as that Python cannot be run.
        MissingExtraError: it has no litert-torch.
        ModelError: there is no module, the file is not of float32 or has no fixed shape, or the
            module cannot be converted.
    """
    if settings.weights == "fp32":
        _convert([(subject, folder)], settings, (MODEL, PORTS))
        return _made(subject, folder)
    # To round a file takes far less than to make another one.
    exact = settings.model_copy(update={"weights": "fp32"})
    conversions = Conversions(KIND, made_by(exact))
    made = conversions.of(subject, lambda own, place: converted(own, place, exact))
    shutil.copyfile(made.files[MODEL], folder / MODEL)
    return _rounded(Converted({MODEL: folder / MODEL}, made.about), subject, settings)


@contextmanager
def converting_together(
    subjects: Mapping[str, Subject],
    key: Callable[[Subject], str],
    settings: LiteRtFileSettings,
) -> Iterator[Convert]:
    """Inside, what converts subjects, of which these were converted by one process.

    litert-torch takes several times as long to import as to convert a small model.

    Args:
        subjects: by their keys.
        key: tells the key of a subject.
        settings: as for `converted`.

    Raises:
        As `converted`; of a module that cannot be converted, where it is asked for.
    """
    with work_folder() as work:
        folders = {name: work / str(number) for number, name in enumerate(subjects)}
        for folder in folders.values():
            folder.mkdir()
        _convert([(subjects[name], folder) for name, folder in folders.items()], settings, ())

        def convert(subject: Subject, folder: Path) -> Converted:
            source = folders.get(key(subject))
            if source is None:
                return converted(subject, folder, settings)
            shutil.copytree(source, folder, dirs_exist_ok=True)
            made = _made(subject, folder)
            return made if settings.weights == "fp32" else _rounded(made, subject, settings)

        yield convert


def _rounded(made: Converted, subject: Subject, settings: LiteRtFileSettings) -> Converted:
    """The same file with its weights in 8 bits."""
    file = made.files[MODEL]
    command = [converting_python(settings.converter_python), "-I", str(ROUNDING), file.name]
    run_converter(TITLE, command, file.parent, (MODEL,), subject.model)
    return made


def _convert(
    subjects: Sequence[tuple[Subject, Path]],
    settings: LiteRtFileSettings,
    outputs: Sequence[str],
) -> None:
    """Convert each into its folder; which of several fails is told by a file there.

    Args:
        subjects: with their folders.
        settings: as for `converted`.
        outputs: what is to be in the first folder then.
    """
    requests = []
    for subject, folder in subjects:
        inputs = float_inputs(subject.model, subject.shapes, TITLE)
        requests.append(write_module_request(subject, TITLE, inputs, folder))
    python = converting_python(settings.converter_python)
    [(first, folder), *_] = subjects
    command = [python, "-I", str(PROGRAM), *map(str, requests)]
    run_converter(TITLE, command, folder, outputs, first.model)


def _made(subject: Subject, folder: Path) -> Converted:
    """What a conversion has left in its folder.

    Raises:
        ModelError: no file, with the reason.
    """
    if not all((folder / name).is_file() for name in (MODEL, PORTS)):
        failed = folder / FAILED
        reason = failed.read_text(encoding="utf-8") if failed.is_file() else "without a word"
        raise ModelError(f"{TITLE} cannot convert it: {reason}", where=str(subject.model))
    model = subject.model
    inputs = float_inputs(model, subject.shapes, TITLE)
    counts = {"input_ports": len(inputs), "output_ports": len(read_proto(model).graph.output)}
    ports = _ports(folder / PORTS, counts, model)
    return Converted({MODEL: folder / MODEL}, {**described(model, inputs), **ports})


def _ports(file: Path, counts: Mapping[str, int], model: Path) -> dict[str, list[str]]:
    """What the file that was made calls its inputs and outputs, as its converter has told.

    Raises:
        ModelError: it has not, or the file is of another model.
    """
    try:
        ports = parse_json(read_text(file, SETTINGS_BYTES))
    except (OSError, ValueError) as error:
        what = f"LiteRT cannot convert it: {file.name} is damaged"
        raise ModelError(what, where=str(model)) from error
    for key, count in counts.items():
        names = ports.get(key) if isinstance(ports, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ModelError(f"LiteRT cannot convert it: {file.name} is damaged", where=str(model))
        if len(names) != count:
            kind = key.replace("_ports", "s")
            what = f"LiteRT's file of it has {len(names)} {kind}, and it has {count}"
            raise ModelError(what, where=str(model))
    assert isinstance(ports, dict)
    return {key: ports[key] for key in counts}


def made_by(settings: LiteRtFileSettings) -> dict[str, object]:
    """What a file depends on beside its module."""
    return settings.model_dump(include={"weights", "converter_python"})


def converting_python(named: str | None) -> str:
    """The Python that has litert-torch, as a whole path.

    Args:
        named: of the target; None for that of the environment, and else this one.

    Raises:
        UsageError: it cannot be run.
        MissingExtraError: it has no litert-torch.
    """
    wanted = named or os.environ.get(NAMED) or sys.executable
    where = "runtime.converter_python" if named else f"${NAMED}"
    # As it is written: a path would lose the `./` that says where to look.
    program = shutil.which(str(Path(wanted).expanduser()) if wanted.startswith("~") else wanted)
    if program is None:
        raise UsageError(f"{wanted} is no program", where=where, hint="name a Python")
    # Of an environment's Python, which is a link, the place says which environment it is.
    python = str(Path(program).absolute())
    try:
        looked = subprocess.run(  # noqa: S603 (the user's own Python)
            [python, "-I", "-c", LOOKS], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        what = f"{wanted} cannot be run: {error}"
        raise UsageError(what, where=where, hint="name a Python") from error
    if looked.returncode:
        raise MissingExtraError("making files for LiteRT", "litert", hint=HOW)
    return python
