"""What a file of weights is, which of its tensors are the model's, and under what names."""

from __future__ import annotations

import re
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import ModelError, first_few

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor, nn

# In this order where a file has several: the weights as trained come before averages of them.
PREFERRED = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "weights"),
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema"),
)
DEEPEST = 3
# Other libraries' counters in a state dict, which are no weights of the model.
COUNTERS = re.compile(r"(^|\.)(total_ops|total_params)$|^n_averaged$")
BATCHES_SEEN = "num_batches_tracked"
OTHER_SHAPE = "other shape"
# Put into names by `torch.compile` and DataParallel around a part of a model.
WRAPPING = ("_orig_mod", "module")

KEEP_STATE = "save model.state_dict() of the trained module and give that"
FORMS = {
    b"version https://git-lfs": ("a Git LFS pointer, not the file", "fetch it: git lfs pull"),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file, as Keras writes them, not PyTorch weights", KEEP_STATE),
    b"\x1f\x8b": ("packed with gzip", "unpack it first: gunzip FILE"),
    b"BZh": ("packed with bzip2", "unpack it first: bunzip2 FILE"),
    b"\xfd7zXZ\x00": ("packed with xz", "unpack it first: unxz FILE"),
    b"\x28\xb5\x2f\xfd": ("packed with Zstandard", "unpack it first: unzstd FILE"),
    b"<": ("a web page or XML, not weights", "download the file itself"),
}
SUFFIXES = {
    ".onnx": "an ONNX model",
    ".tflite": "a TensorFlow Lite model",
    ".engine": "a TensorRT engine",
}


def form_of(path: Path) -> str:
    """`safetensors`, `pickle` or an `index` of files, by what is in the file and not by its name.

    Raises:
        ModelError: it is neither; what it is is named.
    """
    with path.open("rb") as file:
        start = file.read(64)
    for magic, (what, hint) in FORMS.items():
        if start.lstrip().startswith(magic):
            raise ModelError(f"is {what}", where=str(path), hint=hint)
    if path.suffix in SUFFIXES:
        hint = KEEP_STATE
        raise ModelError(f"is {SUFFIXES[path.suffix]}, not weights", where=str(path), hint=hint)
    if start[8:9] == b"{":
        return "safetensors"
    if path.suffix == ".json":
        return "index"
    if start.startswith(b"PK"):
        _require_checkpoint(path)
        return "pickle"
    return "safetensors" if path.suffix == ".safetensors" else "pickle"


def _require_checkpoint(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return  # whoever reads it says what is wrong
    what = None
    if not any(name.endswith((".pkl", ".json", "archive_format")) for name in names):
        what = f"is a zip archive ({first_few(names)}), not weights"
        raise ModelError(what, where=str(path), hint="unpack it and name the file inside")
    if any(name.endswith("constants.pkl") for name in names):
        what = "TorchScript"
    elif any(
        re.search(r"(^|/)(archive_format|serialized_exported_program\.json)$", n) for n in names
    ):
        what = "an exported program"
    if what:
        raise ModelError(f"is {what}, not weights alone", where=str(path), hint=KEEP_STATE)


class _Passed:
    """Stands in for numbers of NumPy beside the weights: whatever it is made of is let go."""

    def __new__(cls, *_: object) -> _Passed:
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


class _Holder:
    """Stands in for an object beside the weights: it becomes a mapping, and no code of it runs."""

    def __new__(cls, *_: object) -> OrderedDict[str, Any]:  # type: ignore[misc]
        return OrderedDict()


def stand_ins(path: Path) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """For everything but tensors that a checkpoint names, something inert to load instead."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        names = get_unsafe_globals_in_checkpoint(path)
    except Exception:
        return []
    return [(_Passed if name.startswith("numpy") else _Holder, name) for name in names]


def states_in(content: object) -> dict[str, dict[str, Tensor]]:
    """Every mapping from names to tensors in a checkpoint, by its dotted key; best first.

    The key of the checkpoint itself is empty; it counts where no mapping inside has more tensors.
    """
    states = dict(_states(content, "", DEEPEST))
    most = max((len(state) for key, state in states.items() if key), default=0)
    if "" in states and len(states[""]) < most:
        del states[""]
    return {key: states[key] for key in sorted(states, key=_rank)}


def _states(content: object, key: str, depth: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    import torch

    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return
    tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if tensors:
        yield key, tensors
    if depth:
        for name, value in content.items():
            if "optim" not in name and "sched" not in name:
                yield from _states(value, f"{key}.{name}" if key else name, depth - 1)


def _rank(key: str) -> tuple[int, str]:
    if not key:
        return -1, key
    first = key.partition(".")[0]
    return (PREFERRED.index(first) if first in PREFERRED else len(PREFERRED), key)


def keys_of(content: object) -> str:
    """The keys of a checkpoint, for a message."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    return f"its keys: {first_few([str(key) for key in content])}" if content else "it is empty"


def matched(model: nn.Module, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """`state` under the model's own names, and names of the file that lie outside the model.

    Prefixes that wrappers add are taken off, and counters of other libraries are left out.
    """
    expected = set(model.state_dict())
    state = {k: v for k, v in state.items() if k in expected or not COUNTERS.search(k)}
    for wrappers in ((), WRAPPING[:1], WRAPPING):
        renamed = {_without(key, wrappers): value for key, value in state.items()}
        prefix = _prefix(expected, renamed)
        inside = {k[len(prefix) :]: v for k, v in renamed.items() if k.startswith(prefix)}
        if _covers(expected, inside):
            return inside, [key for key in renamed if not key.startswith(prefix)]
    return state, []


def _without(key: str, wrappers: tuple[str, ...]) -> str:
    return ".".join(part for part in key.split(".") if part not in wrappers)


def _prefix(expected: set[str], tensors: Mapping[str, Tensor]) -> str:
    """What most of the model's names have before them in the file."""
    prefixes = Counter(
        key[: len(key) - len(name)] for key in tensors for name in _tails(key) if name in expected
    )
    return max(prefixes, key=lambda prefix: (prefixes[prefix], -len(prefix)), default="")


def _tails(key: str) -> Iterator[str]:
    parts = key.split(".")
    return (".".join(parts[start:]) for start in range(len(parts)))


def _covers(expected: set[str], tensors: Mapping[str, Tensor]) -> bool:
    return all(name in tensors for name in expected if not name.endswith(BATCHES_SEEN))


def misfits(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """What is wrong with tensors for a model: of another shape or kind, missing or too many."""
    expected = model.state_dict()
    both = [(key, value, tensors[key]) for key, value in expected.items() if key in tensors]
    reshaped = [
        f"{key} {tuple(own.shape)} instead of {tuple(value.shape)}"
        for key, value, own in both
        if own.shape != value.shape
    ]
    kinds = [
        f"{key} {_kind(own)} instead of {_kind(value)}"
        for key, value, own in both
        if _kind_differs(own, value) and not key.endswith(BATCHES_SEEN)
    ]
    wrong = {
        "missing": [k for k in expected if k not in tensors and not k.endswith(BATCHES_SEEN)],
        "unexpected": [key for key in tensors if key not in expected],
        OTHER_SHAPE: reshaped,
        "other kind": kinds,
    }
    return [f"{kind}: {first_few(keys)}" for kind, keys in wrong.items() if keys]


def _kind_differs(tensor: Tensor, expected: Tensor) -> bool:
    if tensor.is_quantized or tensor.layout != expected.layout:
        return True
    same_sort = tensor.is_floating_point() == expected.is_floating_point()
    return not same_sort or tensor.is_complex() != expected.is_complex()


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
