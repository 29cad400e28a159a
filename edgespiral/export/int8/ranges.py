"""The range of every tensor of a float model on calibration samples, by ONNX Runtime's tools."""

from __future__ import annotations

import contextlib
import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, create_calibrator
from pydantic import ValidationError

from edgespiral.core.errors import ExportError
from edgespiral.core.records.schema import Record
from edgespiral.core.system.files import make_folder, read_bytes, write_text
from edgespiral.core.system.temporary import work_folder
from edgespiral.export.file_model import FileModel
from edgespiral.export.graph import file_sha256, load_graph, refusing
from edgespiral.export.recipe import recipe_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from edgespiral.data.stratified import Sampled
    from edgespiral.export.recipe import Recipe

# Histograms keep the tensors of a chunk in memory until they are counted.
CHUNK = 16
HISTOGRAM_BINS = 2048
# The search compares every width of range; its cost grows with the square of the bins.
ENTROPY_BINS = 512
LEVELS = 256
SHARES = np.linspace(0.2, 1.0, 81)


class Ranges(Record):
    """What calibration found: `tensors[name]` is (lowest, highest)."""

    model_sha256: str
    recipe_sha256: str
    samples_sha256: str
    tensors: dict[str, tuple[float, float]]


def calibrated(model: Path, samples: Sampled, recipe: Recipe, cache: Path | None = None) -> Ranges:
    """The ranges of `model` on `samples`; taken from `cache` where they were found before.

    Args:
        model: a float32 ONNX file of batch 1.
        cache: a folder, made if missing; None keeps nothing.

    Raises:
        ExportError: the model cannot be run on the samples, or a tensor is not finite on them.
        RunFolderError: the cache cannot be written.
    """
    digests = (file_sha256(model), recipe_sha256(recipe), samples.sha256)
    file = cache / f"{digests[0][:24]}-{digests[1][:24]}.json" if cache else None
    stored = _read(file) if file else None
    if stored and (stored.model_sha256, stored.recipe_sha256, stored.samples_sha256) == digests:
        return stored
    tensors = _observed(model, samples, recipe)
    ranges = Ranges(
        model_sha256=digests[0],
        recipe_sha256=digests[1],
        samples_sha256=digests[2],
        tensors=tensors,
    )
    if file:
        make_folder(file.parent)
        write_text(file, ranges.model_dump_json() + "\n")
    return ranges


def placeholder_ranges(model: Path) -> Ranges:
    """The range from 0 to 1 for every tensor: for files of which only the latency counts.

    Raises:
        ModelError: the model cannot be read.
    """
    graph = load_graph(model).graph
    names = {value.name for value in (*graph.input, *graph.output, *graph.value_info)}
    return Ranges(
        model_sha256=file_sha256(model),
        recipe_sha256="",
        samples_sha256="",
        tensors=dict.fromkeys(sorted(names), (0.0, 1.0)),
    )


def _read(file: Path) -> Ranges | None:
    """What a cache holds; a damaged file is made again."""
    try:
        return Ranges.model_validate_json(read_bytes(file))
    except (OSError, ValidationError):
        return None


def _observed(model: Path, samples: Sampled, recipe: Recipe) -> dict[str, tuple[float, float]]:
    with (
        work_folder() as folder,
        refusing(str(model), "cannot be calibrated"),
        # ONNX Runtime's calibrators report to standard output.
        contextlib.redirect_stdout(io.StringIO()),
    ):
        source = folder / "model.onnx"
        onnx.save(load_graph(model), source)
        calibrator = _calibrator(source, folder / "augmented.onnx", recipe)
        file = FileModel(calibrator.infer_session, str(model))
        for at in range(0, len(samples.inputs), CHUNK):
            chunk = (file.feeds(sample) for sample in samples.inputs[at : at + CHUNK])
            calibrator.collect_data(_Reader(chunk))
        tensors = _least_squares(calibrator) if recipe.method == "mse" else _own(calibrator)
    wrong = [name for name, ends in tensors.items() if not all(map(math.isfinite, ends))]
    if wrong:
        raise ExportError(
            f"is not finite on the calibration samples at {wrong[0]}", where=str(model)
        )
    return tensors


def _calibrator(model: Path, augmented: Path, recipe: Recipe) -> Any:  # noqa: ANN401
    histogram = {"symmetric": False, "num_bins": HISTOGRAM_BINS, "percentile": recipe.percentile}
    method, options = {
        "minmax": (CalibrationMethod.MinMax, {}),
        "entropy": (CalibrationMethod.Entropy, {"num_bins": ENTROPY_BINS}),
        "percentile": (CalibrationMethod.Percentile, histogram),
        "mse": (CalibrationMethod.Percentile, histogram),
    }[recipe.method]
    return create_calibrator(
        model, augmented_model_path=str(augmented), calibrate_method=method, extra_options=options
    )


def _own(calibrator: Any) -> dict[str, tuple[float, float]]:  # noqa: ANN401
    computed = calibrator.compute_data()
    return {
        name: (computed[name].lowest.item(), computed[name].highest.item())
        for name in sorted(computed.keys())
    }


def _least_squares(calibrator: Any) -> dict[str, tuple[float, float]]:  # noqa: ANN401
    histograms = calibrator.collector.histogram_dict
    return {name: least_squares_range(*histograms[name][:4]) for name in sorted(histograms)}


def least_squares_range(
    counts: NDArray[np.int64], edges: NDArray[np.float32], lowest: float, highest: float
) -> tuple[float, float]:
    """The range whose 256 even steps, with all beyond it clipped, are nearest to a histogram.

    Args:
        counts: (bins,).
        edges: (bins + 1,), ascending.
        lowest, highest: the ends of what was seen; shares of them are tried.
    """
    middles = (edges[:-1] + edges[1:]).astype(np.float64) / 2
    low, high = min(0.0, float(lowest)), max(0.0, float(highest))
    if low == high:
        return low, high
    errors = [_squared_error(counts, middles, share * low, share * high) for share in SHARES]
    best = float(SHARES[int(np.argmin(errors))])
    return best * low, best * high


def _squared_error(
    counts: NDArray[np.int64], middles: NDArray[np.float64], low: float, high: float
) -> float:
    step = (high - low) / (LEVELS - 1)
    nearest = np.clip(np.round((middles - low) / step), 0, LEVELS - 1) * step + low
    return float((counts * np.square(nearest - middles)).sum())


class _Reader:
    """Samples as ONNX Runtime's calibrators ask for them."""

    def __init__(self, samples: Iterable[dict[str, NDArray[Any]]]) -> None:
        self._samples = iter(samples)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next sample by input name, or None at the end."""
        return next(self._samples, None)
