"""How a sample is made: the file or the bytes that it comes as, and what is done to these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from edgespiral.core import audio
from edgespiral.core.stages.decoding import decoded
from edgespiral.core.system.files import read_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgespiral.core.stages.graph import StageGraph

# What a byte stands for is a number of these.
GREY_LEVELS = 255
# Filters of two programs clip and round at other moments, which shows at hard edges alone: by so
# many grey levels values may differ in the mean.
MOST_LEVELS = 1.0
# Of features, whose logarithm magnifies the order of sums.
MOST_FEATURE = 1e-2
MOST_NORMALISED = 1e-3
# Pillow's own, which most of the world's pictures are scaled by.
CUBIC = -0.5
FULL_SCALE = 32768


class Preparation(Protocol):
    """Pre-processing: what is done to a decoded frame before the network sees it."""

    @property
    def words(self) -> str:
        """What it is."""

    @property
    def tolerance(self) -> float:
        """By how much the graph may be off from the sample in the mean, in the sample's unit."""

    def add(self, graph: StageGraph, frame: str, shape: Sequence[int]) -> str:
        """Add it to a graph: the name of the network's input (1, ...).

        Args:
            graph: which it is a part of.
            frame: the decoded frame's name, (1, *shape).
            shape: of one frame.
        """


@dataclass(frozen=True)
class ScaledPicture:
    """Pictures (H, W, 3) of bytes resized, cropped in the middle and normalised.

    Attributes:
        size: width and height that the network sees.
        edge: what the shorter side is scaled to, before `size` is cropped; None scales both sides.
        filter: between pixels; against aliasing too.
        mean, std: a channel each, of values from 0 to 1.
    """

    size: tuple[int, int]
    filter: Literal["linear", "cubic"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    edge: int | None = None

    @property
    def words(self) -> str:
        """What it is."""
        return f"resize to {self.size[0]} x {self.size[1]}, normalise"

    @property
    def tolerance(self) -> float:
        """A grey level."""
        return MOST_LEVELS / GREY_LEVELS / min(self.std)

    def scaled(self, shape: Sequence[int]) -> tuple[int, int]:
        """Height and width that a picture of such a height and width is resized to."""
        if self.edge is None:
            return self.size[1], self.size[0]
        height, width = shape[:2]
        longer = int(self.edge * max(height, width) / min(height, width))
        return (longer, self.edge) if height > width else (self.edge, longer)

    def add(self, graph: StageGraph, frame: str, shape: Sequence[int]) -> str:
        """See `Preparation.add`."""
        from onnx import TensorProto

        height, width = self.scaled(shape)
        sizes = graph.constant(np.array([1, 3, height, width], np.int64))
        pixels = graph.add("Transpose", frame, perm=[0, 3, 1, 2])
        # As Pillow, which has weights for the pixels that there are.
        cubic: dict[str, object] = {"cubic_coeff_a": CUBIC} if self.filter == "cubic" else {}
        how = {"mode": self.filter, "antialias": 1, "exclude_outside": 1, **cubic}
        pixels = graph.add("Resize", pixels, "", "", sizes, **how)
        if (width, height) != self.size:
            top, left = round((height - self.size[1]) / 2), round((width - self.size[0]) / 2)
            places = [[top, left], [top + self.size[1], left + self.size[0]], [2, 3]]
            bounds = [graph.constant(np.array(place, np.int64)) for place in places]
            pixels = graph.add("Slice", pixels, *bounds)
        values = graph.add("Cast", pixels, to=TensorProto.FLOAT)
        mean, std = (np.reshape(v, (1, -1, 1, 1)) for v in (self.mean, self.std))
        scaled = graph.add("Mul", values, graph.constant(np.float32(1 / (GREY_LEVELS * std))))
        return graph.add("Add", scaled, graph.constant(np.float32(-mean / std)))


@dataclass(frozen=True)
class Standardised:
    """Stored values (C, H, W) less a mean and over a deviation, a channel each."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def words(self) -> str:
        """What it is."""
        return "normalise"

    @property
    def tolerance(self) -> float:
        """Nothing but the order of operations."""
        return MOST_NORMALISED

    def add(self, graph: StageGraph, frame: str, shape: Sequence[int]) -> str:  # noqa: ARG002
        """See `Preparation.add`."""
        from onnx import TensorProto

        mean, std = (np.float32(np.reshape(v, (1, -1, 1, 1))) for v in (self.mean, self.std))
        values = graph.add("Cast", frame, to=TensorProto.FLOAT)
        centred = graph.add("Sub", values, graph.constant(mean))
        return graph.add("Mul", centred, graph.constant(1 / std))


@dataclass(frozen=True)
class Clip:
    """Sounds (n,) of 16 bits as clips of one length in -1..1, or as log-mel features of these.

    Attributes:
        samples: of a clip.
        rate_hz: samples a second, where features are made; None leaves the waveform.
    """

    samples: int
    rate_hz: int | None

    @property
    def words(self) -> str:
        """What it is."""
        return "clip" if self.rate_hz is None else "clip, log-mel features"

    @property
    def tolerance(self) -> float:
        """What logarithms of sums may differ by."""
        return MOST_NORMALISED if self.rate_hz is None else MOST_FEATURE

    def add(self, graph: StageGraph, frame: str, shape: Sequence[int]) -> str:
        """See `Preparation.add`."""
        from onnx import TensorProto

        begin = (self.samples - shape[0]) // 2
        first, last = max(0, -begin), min(shape[0], self.samples - begin)
        bounds = [graph.constant(np.array([at], np.int64)) for at in (first, last, 1)]
        values = graph.add("Cast", graph.add("Slice", frame, *bounds), to=TensorProto.FLOAT)
        values = graph.add("Mul", values, graph.constant(np.float32(1 / FULL_SCALE)))
        before = max(0, begin)
        after = self.samples - before - (last - first)
        padding = graph.constant(np.array([0, before, 0, after], np.int64))
        clip = graph.add("Pad", values, padding)
        shown = clip if self.rate_hz is None else _log_mel(graph, clip, self.rate_hz)
        return graph.add("Unsqueeze", shown, graph.constant(np.array([0], np.int64)))


@dataclass(frozen=True)
class Frames:
    """What the samples of a validation split are made of.

    Attributes:
        kind: of the files that are decoded; `array` for what is kept as it is, and not decoded.
        preparation: what follows.
        files: a sample each, in the split's order.
        stored: of what is not decoded, the first sample as it is kept, (...).
        draft: of pictures, the width and height below which a JPEG need not be decoded.
        as_stored: pictures that are not turned as they say themselves (EXIF).
    """

    kind: Literal["picture", "sound", "array"]
    preparation: Preparation
    files: tuple[Path, ...] = ()
    stored: NDArray[Any] | None = None
    draft: tuple[int, int] | None = None
    as_stored: frozenset[Path] = frozenset()

    @property
    def index(self) -> int:
        """Which sample stands for all: the one whose file is as large as half of the others."""
        order = sorted(range(len(self.files)), key=lambda at: self.files[at].stat().st_size)
        return order[len(order) // 2] if order else 0

    @property
    def file(self) -> Path | None:
        """Its file, if there is one."""
        return self.files[self.index] if self.files else None

    @property
    def is_upright(self) -> bool:
        """Whether that file's picture is turned as it says itself."""
        return self.file not in self.as_stored

    def decoded(self) -> NDArray[Any]:
        """That sample as it is decoded or kept.

        Raises:
            OSError: its file cannot be read.
        """
        if self.stored is not None:
            return self.stored
        content = read_bytes(self.files[self.index])
        frame: NDArray[Any] = decoded(content, self.kind, self.draft, self.is_upright)
        return frame


def _log_mel(graph: StageGraph, clip: str, rate_hz: int) -> str:
    """What `core.audio.log_mel` computes, (bands, frames), of a clip (1, samples)."""
    hop = audio.hop_samples(rate_hz)
    blocks = graph.add("Reshape", clip, graph.constant(np.array([-1, hop], np.int64)))
    ends = [np.array([at], np.int64) for at in (0, -1, 1, np.iinfo(np.int64).max)]
    start, before_last, second, end = map(graph.constant, ends)
    halves = [
        graph.add("Slice", blocks, *places, start)
        for places in ((start, before_last), (second, end))
    ]
    frames = graph.add("Concat", *halves, axis=1)
    spectrum = graph.add("MatMul", frames, graph.constant(audio.fourier_bases(rate_hz)))
    parts = graph.add_several("Split", spectrum, count=2, axis=1, num_outputs=2)
    squares = [graph.add("Mul", part, part) for part in parts]
    filters = graph.constant(audio.mel_filters(rate_hz))
    power = graph.add("MatMul", graph.add("Add", *squares), filters)
    logs = graph.add("Log", graph.add("Add", power, graph.constant(np.float32(audio.FLOOR))))
    shifted = graph.add("Add", logs, graph.constant(np.float32(audio.SHIFT)))
    scaled = graph.add("Mul", shifted, graph.constant(np.float32(audio.SCALE)))
    transposed = graph.add("Transpose", scaled, perm=[1, 0])
    return graph.add("Unsqueeze", transposed, start)
