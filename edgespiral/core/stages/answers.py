"""What makes answers of outputs, in PyTorch and as graphs, for tasks that share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgespiral.core.stages.graph import Postprocessing

if TYPE_CHECKING:
    from torch import Tensor

    from edgespiral.core.stages.graph import StageGraph

CLASS, PROBABILITY, CLASSES, LABELS = "class", "probability", "classes", "labels"


def likeliest() -> Postprocessing:
    """The likeliest class of logits (1, C), and its probability."""

    def apply(outputs: Tensor) -> dict[str, Tensor]:
        probability, place = outputs.float().softmax(1).max(1)
        return {CLASS: place, PROBABILITY: probability}

    def add(graph: StageGraph, outputs: str) -> dict[str, str]:
        one = graph.constant(np.array([1], np.int64))
        probabilities = graph.add("Softmax", outputs, axis=1)
        values, places = graph.add_several("TopK", probabilities, one, count=2, axis=1)
        squeezed = [graph.add("Squeeze", name, one) for name in (places, values)]
        return dict(zip((CLASS, PROBABILITY), squeezed, strict=True))

    return Postprocessing("softmax and arg-max", apply, add)


def class_a_pixel() -> Postprocessing:
    """The likeliest class of each pixel of logits (1, C, H, W)."""

    def apply(outputs: Tensor) -> dict[str, Tensor]:
        return {CLASSES: outputs.argmax(1)}

    def add(graph: StageGraph, outputs: str) -> dict[str, str]:
        return {CLASSES: graph.add("ArgMax", outputs, axis=1, keepdims=0)}

    return Postprocessing("arg-max of each pixel", apply, add)


def likely_labels() -> Postprocessing:
    """Which labels of logits (1, L) are likelier than not."""

    def apply(outputs: Tensor) -> dict[str, Tensor]:
        return {LABELS: outputs > 0}

    def add(graph: StageGraph, outputs: str) -> dict[str, str]:
        return {LABELS: graph.add("Greater", outputs, graph.constant(np.float32(0)))}

    return Postprocessing("threshold of each label", apply, add)
