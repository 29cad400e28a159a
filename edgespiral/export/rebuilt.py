"""What a saved model computes for someone who has nothing but its two files."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from threading import Timer
from typing import TYPE_CHECKING, Self

import safetensors.torch

from edgespiral.core.errors import ExportError
from edgespiral.core.nested import count, joined, leaves
from edgespiral.core.system.files import require_room
from edgespiral.core.system.temporary import work_folder
from edgespiral.export.parity import predicting_file
from edgespiral.models.saved import SOURCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from torch import Tensor

    from edgespiral.core.nested import Tensors

# Between float32 kernels of two frameworks, as a share of the largest output.
LARGEST_SHARE = 1e-3
TIMEOUT_S = 600
DONE = "done"
# Answers each folder, file of inputs and form of these with a file of outputs. What a model's
# source prints is no answer. A parent that is gone closes the input, which ends it; on Linux it
# ends at once, while it imports or computes too.
PROGRAM = f"""
import ctypes, os, signal, sys
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        os._exit(0)
answers = os.fdopen(os.dup(1), "w", buffering=1)
sys.stdout = sys.stderr
sys.modules["edgespiral"] = None
import torch
from safetensors.torch import load_file, save_file
def ends(value):
    if isinstance(value, (tuple, list, dict)):
        entries = value.values() if isinstance(value, dict) else value
        return [end for entry in entries for end in ends(entry)]
    return [value.clone()]
for line in sys.stdin:
    folder, inputs, outputs, form = line.rstrip("\\n").split("\\0")
    sys.modules.pop("model", None)
    sys.path.insert(0, folder)
    try:
        from model import load
        with torch.no_grad():
            given = load_file(inputs)
            if form == "dict":
                found = load()(**given)
            else:
                found = load()(*[given[str(place)] for place in range(len(given))])
        save_file({{str(n): t.contiguous() for n, t in enumerate(ends(found))}}, outputs)
        print({DONE!r}, file=answers)
    except Exception as error:
        print(type(error).__name__, " ".join(str(error).split())[:200], file=answers)
    sys.path.remove(folder)
"""


class FreshProcess:
    """A Python that has torch, and in which EdgeSpiral cannot be imported; ends with its context.

    It starts beside what this process does, since importing torch takes it two seconds.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self._process = self._started()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        self._end()

    def outputs(self, folder: Path, batch: Tensors) -> list[Tensor]:
        """What the model that `save_model` wrote into `folder` says of `batch` there.

        Returns:
            Its outputs in a row.

        Raises:
            ExportError: it cannot be loaded or run there.
        """
        with work_folder() as work:
            inputs, outputs = work / "inputs", work / "outputs"
            # As bytes: the library's own writer reports a full disk as an error of another kind.
            tensors = leaves(batch if isinstance(batch, dict | tuple) else (batch,))
            content = {name: tensor.contiguous() for name, tensor in tensors.items()}
            inputs.write_bytes(safetensors.torch.save(content))
            form = type(batch).__name__
            answer = self._ask("\0".join((str(folder.resolve()), str(inputs), str(outputs), form)))
            if answer != DONE:
                require_room(work)
                raise ExportError(
                    f"cannot be run in a process without EdgeSpiral: {answer or 'it broke off'}",
                    where=str(folder / SOURCE),
                )
            answers = safetensors.torch.load_file(outputs)
            return [answers[str(place)] for place in range(len(answers))]

    def _ask(self, line: str) -> str:
        """The answer; empty where the process ended or took too long."""
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = self._started()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = Timer(TIMEOUT_S, process.kill)
        deadline.start()
        try:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            answer = process.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        finally:
            deadline.cancel()
        if not answer:
            self._end()  # it is ending, though it may not have ended yet
        return answer

    def _end(self) -> None:
        """End it and close its pipes; what was not read of a request is lost with it."""
        if self._process is not None:
            self._process.kill()
            with suppress(BrokenPipeError):
                self._process.communicate()
            self._process = None

    @staticmethod
    def _started() -> subprocess.Popen[str]:
        # Without the present folder on its path, where another `model.py` may lie, and with nothing
        # left in the model's. Ctrl-C is for this process, which then ends that one.
        command = [sys.executable, "-P", "-B", "-c", PROGRAM, str(os.getpid())]
        try:
            return subprocess.Popen(  # noqa: S603 (the program is this package's own)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                start_new_session=True,
            )
        except OSError as error:
            what = f"another Python cannot be started: {error.strerror}"
            raise ExportError(what, where=sys.executable) from error


def check_rebuilt(fresh: FreshProcess, folder: Path, onnx: Path, inputs: Sequence[Tensors]) -> None:
    """Compare what `folder`'s model computes without EdgeSpiral with what `onnx` does.

    Args:
        folder: what `save_model` wrote.
        onnx: the float32 file that was exported from the same model.
        inputs: samples, of batch 1 each.

    Raises:
        ExportError: it cannot be loaded or run there, or computes something else.
    """
    batch = joined(list(inputs))
    rebuilt = fresh.outputs(folder, batch)
    with predicting_file(onnx) as predict:
        expected = [*leaves(predict(batch)).values()]
    if [own.shape for own in rebuilt] != [output.shape for output in expected]:
        what = f"has other outputs than {onnx.name}"
        raise ExportError(what, where=str(folder / SOURCE))
    for own, output in zip(rebuilt, expected, strict=True):
        difference = float((own.double() - output.double()).abs().max())
        allowed = LARGEST_SHARE * float(output.double().abs().max())
        # Written so that a difference that is not a number fails.
        if not difference <= allowed:
            raise ExportError(
                f"computes something else than {onnx.name}: it differs by {difference:.2g} on "
                f"{count(batch)} samples, {allowed:.2g} is allowed",
                where=str(folder / SOURCE),
            )
