"""Outputs of a model for all samples of a split, in a file that one process or several write.

The file is safetensors': a header in JSON with its length before it, then the numbers.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch

from edgespiral.core.errors import RunFolderError
from edgespiral.core.nested import filled, leaves, template
from edgespiral.core.system.files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from edgespiral.core.nested import Template, Tensors

CHUNK = 2**22
# As safetensors calls them.
KINDS = {
    torch.float32: "F32",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
# One tensor by itself, the form of several, and what they are of.
KEY, FORM, OF, DIGEST = "outputs", "form", "of", "sha256"
# A digest that is not reckoned yet.
UNKNOWN = b"0" * 64
LENGTH_BYTES = 8


@dataclass(frozen=True)
class MappedOutputs:
    """A file of outputs that is written batch by batch, into memory that it is mapped to.

    Attributes:
        file: all of it, (bytes,).
        ends: each tensor (N, ...) of the outputs, in it.
        form: of the outputs.
    """

    file: Tensor
    ends: list[Tensor]
    form: Any

    @classmethod
    def made(cls, path: Path, first: Tensors, samples: int, identity: str) -> MappedOutputs:
        """Make the file, with room for as many samples.

        Args:
            path: written to.
            first: outputs of a batch, (B, ...).
            samples: how many there will be.
            identity: says what they are of.

        Raises:
            OSError: the disk is full.
            RunFolderError: outputs are of a kind that files do not have.
        """
        head, size = _header(first, samples, identity, path)
        with path.open("wb") as file:
            # A mapped file that meets a full disk while it is written to ends the process.
            os.posix_fallocate(file.fileno(), 0, len(head) + size)
            file.write(head)
        return cls.opened(path)

    @classmethod
    def opened(cls, path: Path) -> MappedOutputs:
        """The file that `made` has made, in this process or another.

        Raises:
            RunFolderError: this machine does not see it, or it is damaged.
        """
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(LENGTH_BYTES), "little")
                header = json.loads(file.read(length))
            form = json.loads(header.pop("__metadata__")[FORM])
            size = path.stat().st_size
            whole = torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8)
            kinds = {name: kind for kind, name in KINDS.items()}
            ends = {}
            for name, stated in header.items():
                start, end = (LENGTH_BYTES + length + at for at in stated["data_offsets"])
                ends[name] = whole[start:end].view(kinds[stated["dtype"]]).view(stated["shape"])
            return cls(whole, [ends[name] for name in _names(form)], form)
        except (OSError, ValueError, KeyError, AttributeError, RuntimeError) as error:
            raise damaged(path) from error

    def put(self, start: int, batch: Tensors) -> None:
        """Write outputs (B, ...) of the samples from `start` on."""
        for array, part in zip(self.ends, leaves(batch).values(), strict=True):
            array[start : start + len(part)] = part

    def seal(self) -> None:
        """Write the digest of all, once each sample has its outputs."""
        digest = _digest(filled(self.form, iter(self.ends))).encode()
        length = int.from_bytes(self.file[:LENGTH_BYTES].numpy().tobytes(), "little")
        where = self.file[: LENGTH_BYTES + length].numpy().tobytes().index(UNKNOWN)
        self.file[where : where + len(digest)] = torch.frombuffer(
            bytearray(digest), dtype=torch.uint8
        )


def write_outputs(path: Path, identity: str, outputs: Tensors) -> None:
    """Write outputs (N, ...), one tensor or several, to a file; `identity` says what they are of.

    Raises:
        RunFolderError: it cannot be written.
    """
    ends = {name or KEY: tensor.contiguous() for name, tensor in leaves(outputs).items()}
    metadata = {OF: identity, DIGEST: _digest(outputs), FORM: json.dumps(template(outputs))}
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(ends, metadata=metadata))


def _header(first: Tensors, samples: int, identity: str, path: Path) -> tuple[bytes, int]:
    """How the file begins, and how many bytes of numbers come behind that."""
    metadata = {OF: identity, DIGEST: UNKNOWN.decode(), FORM: json.dumps(template(first))}
    header: dict[str, object] = {"__metadata__": metadata}
    start = 0
    # Large numbers first, so that each begins at a multiple of its size.
    for name, leaf in sorted(leaves(first).items(), key=lambda end: -end[1].element_size()):
        if leaf.dtype not in KINDS:
            raise RunFolderError(f"cannot keep outputs of {leaf.dtype}", where=str(path))
        end = start + samples * leaf[0].numel() * leaf.element_size()
        shape = [samples, *leaf.shape[1:]]
        kind = KINDS[leaf.dtype]
        header[name or KEY] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text, start


def read_outputs(path: Path, identity: str | None, *, is_checked: bool = False) -> Tensors | None:
    """What the file has, if it is there and of this identity; mapped into memory, not read.

    Args:
        path: of the file.
        identity: that it has to be of; None: whatever it is of.
        is_checked: whether another process has compared its digest already.

    Raises:
        RunFolderError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            form = json.loads(metadata.get(FORM, "null"))
            outputs = filled(form, iter([file.get_tensor(name) for name in _names(form)]))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise damaged(path) from error
    if identity not in (None, metadata.get(OF)) or DIGEST not in metadata:
        return None
    if not is_checked and metadata[DIGEST] != _digest(outputs):
        raise damaged(path)
    return outputs


def _names(form: Template) -> list[str]:
    """What the file calls the tensors of a form."""
    return [name or KEY for name in leaves(filled(form, itertools.repeat(0)) if form else 0)]


def _digest(outputs: Tensors) -> str:
    digest = hashlib.sha256()
    for leaf in leaves(outputs).values():
        for chunk in leaf.flatten().split(CHUNK):
            digest.update(chunk.numpy().tobytes())
    return digest.hexdigest()


def damaged(path: Path) -> RunFolderError:
    """The error of a file that is not as it was written."""
    return RunFolderError(
        "the teacher's kept outputs are damaged", where=str(path), hint="delete the file"
    )
