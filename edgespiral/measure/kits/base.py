"""What a runtime brings to ship a model: a conversion, and programs that run what comes of it.

`sample.py` and `sample.hpp` beside this file go along with every kit: they read the recorded
sample and compare outputs with the recorded ones. They import nothing of EdgeSpiral.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Shapes = Mapping[str, Sequence[int]]

# What all kits have, beside their own programs.
SHARED = tuple(Path(__file__).with_name(name) for name in ("sample.py", "sample.hpp"))
PROGRAMS = ("example.py", "main.cpp", "CMakeLists.txt")


@dataclass(frozen=True)
class Port:
    """An input or an output of a converted model.

    Attributes:
        onnx: what the ONNX file calls it.
        name: what the runtime calls it.
        batch_axis: the axis of the batch, which the runtime does not have; None where it has it.
    """

    onnx: str
    name: str
    batch_axis: int | None = None


@dataclass(frozen=True)
class KitModel:
    """A model in a runtime's form.

    Attributes:
        file: what the programs load, by its name in the folder.
        inputs, outputs: in the order in which the runtime has them.
    """

    file: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass(frozen=True)
class Kit:
    """What a runtime ships models with.

    Attributes:
        title: what a person calls the runtime.
        packages: that its Python example needs, beside NumPy.
        library: where its C++ library and headers come from, and how CMake is told, in Markdown.
        programs: the folder with `PROGRAMS`.
        convert: writes the model of an ONNX file into a folder, named after it, given the shapes of
            its inputs by name.
        options: what the programs are told, such as the number of threads.
    """

    title: str
    packages: tuple[str, ...]
    library: str
    programs: Path
    convert: Callable[[Path, Path, Shapes], KitModel]
    options: Mapping[str, str] = field(default_factory=dict)

    def files(self) -> dict[str, Path]:
        """Programs and what they share, by the name that each has in the folder."""
        own = [self.programs / name for name in PROGRAMS]
        return {path.name: path for path in (*own, *SHARED)}
