"""Models that run in parts: an encoder once a sample, say, and a decoder's step for each word.

The ONNX file of such a model names the files of its parts in its metadata, each with its SHA-256,
so that whoever has the file's own has theirs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from edgespiral.core.errors import ModelError
from edgespiral.core.system.files import is_file, sha256_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from edgespiral.core.nested import Tensors

PARTS = "edgespiral.parts"


@dataclass(frozen=True)
class Part:
    """What of a model runs by itself.

    Attributes:
        name: what files and tables call it.
        module: takes `inputs`, as a model takes them.
        inputs: of N samples, as they come when the model runs.
        count: how often it runs for a sample, in the mean.
    """

    name: str
    module: nn.Module
    inputs: Tensors
    count: int


@dataclass(frozen=True)
class PartFile:
    """A part's ONNX file, which lies beside that of the whole model.

    Attributes:
        name: of the part.
        file: the name of its file.
        count: how often it runs for a sample.
        sha256: of the file.
    """

    name: str
    file: str
    count: int
    sha256: str


@dataclass(frozen=True)
class PredictByParts:
    """What a whole model says of inputs, and what each of its parts does of its own."""

    whole: Callable[[Tensors], Tensors]
    parts: Mapping[str, Callable[[Tensors], Tensors]]

    def __call__(self, inputs: Tensors) -> Tensors:
        """Outputs of the whole model."""
        return self.whole(inputs)


def by_parts(
    whole: Callable[[Tensors], Tensors], parts: Mapping[str, Callable[[Tensors], Tensors]]
) -> Callable[[Tensors], Tensors]:
    """`whole`, which also knows its parts where there are some."""
    return PredictByParts(whole, parts) if parts else whole


def described(parts: Sequence[PartFile]) -> str:
    """What the metadata of a whole model's file say of its parts."""
    return json.dumps([asdict(part) for part in parts])


def part_files(path: Path, content: bytes | None = None) -> tuple[PartFile, ...]:
    """The parts that an ONNX file names; none of most models.

    Args:
        path: the file.
        content: of the file, where it is known.

    Raises:
        ModelError: what it says of them is damaged, or it is no ONNX model and seems to.
    """
    content = path.read_bytes() if content is None else content
    if PARTS.encode() not in content:
        return ()
    from onnx import load_model_from_string

    try:
        metadata = {
            entry.key: entry.value for entry in load_model_from_string(content).metadata_props
        }
        parts = [PartFile(**entry) for entry in json.loads(metadata.get(PARTS, "[]"))]
    except Exception as error:  # protobuf's own has no public home
        raise ModelError(
            "what its metadata say of its parts is damaged", where=str(path)
        ) from error
    if not all(_is_sound(part) for part in parts):
        raise ModelError("what its metadata say of its parts is damaged", where=str(path))
    return tuple(parts)


def part_path(whole: Path, part: PartFile) -> Path:
    """Where a part's file lies, which is the one that the whole model's file means.

    Raises:
        ModelError: it is missing, or another file.
    """
    path = whole.with_name(part.file)
    if not is_file(path):
        raise ModelError(
            f"its part {part.name} is missing: {part.file}",
            where=str(whole),
            hint="keep the files of a model of parts together",
        )
    if sha256_file(path) != part.sha256:
        raise ModelError(
            f"is not the part {part.name} that {whole.name} was written with",
            where=str(path),
            hint="put it back, or export the model again",
        )
    return path


def _is_sound(part: PartFile) -> bool:
    words = (part.name, part.file, part.sha256)
    is_beside = isinstance(part.file, str) and PurePosixPath(part.file).name == part.file
    return (
        is_beside
        and all(isinstance(word, str) for word in words)
        and (isinstance(part.count, int) and part.count >= 1)
    )
