"""A stage of a pipeline as an ONNX graph, which every device with a runtime can be timed with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgespiral.core.system.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from edgespiral.core.nested import Tensors

# The first in which `Resize` filters against aliasing, and what files of it are written in.
OPSET, IR_VERSION = 18, 10
# The only input: a number that nothing depends on, but which no optimiser knows.
ANY = "any"


class StageGraph:
    """A graph that works on real frames it holds itself.

    Its input is one float of any value. A frame is gathered by a position that is computed of it,
    so that the stage runs at inference, on what a frame really holds, whatever values a runtime
    makes up for inputs. A copy of the frame is part of what is timed.

    Example:
        >>> import numpy as np
        >>> graph = StageGraph()
        >>> frame = graph.frame(np.ones((1, 4), np.float32))
        >>> graph.output("doubled", graph.add("Add", frame, frame), np.float32)
        >>> [node.op_type for node in graph.model().graph.node]
        ['Mul', 'Cast', 'Gather', 'Add', 'Identity']
    """

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._outputs: list[Any] = []
        self._position = ""

    def constant(self, values: Any) -> str:  # noqa: ANN401 (a number of NumPy's, or an array)
        """The name of values that are part of the graph."""
        import numpy as np
        from onnx import numpy_helper

        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def frame(self, values: NDArray[Any]) -> str:
        """The name of a frame (1, ...) that the stage works on."""
        import numpy as np
        from onnx import TensorProto

        if not self._position:
            nothing = self.add("Mul", ANY, self.constant(np.zeros(1, np.float32)))
            self._position = self.add("Cast", nothing, to=TensorProto.INT64)
        return self.add("Gather", self.constant(values), self._position, axis=0)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401 (as ONNX's own)
        """The name of an operator's only output."""
        return self.add_several(operator, *inputs, count=1, **attributes)[0]

    def add_several(
        self,
        operator: str,
        *inputs: str,
        count: int,
        **attributes: Any,  # noqa: ANN401 (as ONNX's own)
    ) -> tuple[str, ...]:
        """The names of an operator's outputs."""
        from onnx import helper

        names = tuple(f"{operator}_{len(self._nodes)}_{place}" for place in range(count))
        self._nodes.append(helper.make_node(operator, list(inputs), list(names), **attributes))
        return names

    def output(self, name: str, value: str, kind: Any) -> None:  # noqa: ANN401 (as NumPy's own)
        """Have the graph give a value.

        Args:
            name: that it has outside.
            value: its name in the graph.
            kind: its NumPy type.
        """
        import numpy as np
        from onnx import helper

        self._nodes.append(helper.make_node("Identity", [value], [name]))
        element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        self._outputs.append(helper.make_tensor_value_info(name, element, None))

    def model(self) -> Any:  # noqa: ANN401 (onnx is loaded when it is needed)
        """The graph as a model."""
        from onnx import TensorProto, helper, shape_inference

        frame = helper.make_tensor_value_info(ANY, TensorProto.FLOAT, [1])
        graph = helper.make_graph(
            self._nodes, "stage", [frame], self._outputs, initializer=self._constants
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return shape_inference.infer_shapes(model)

    def write(self, path: Path) -> Path:
        """Write the file.

        Raises:
            RunFolderError: it cannot be written.
        """
        with replacing(path) as temporary:
            temporary.write_bytes(self.model().SerializeToString())
        return path


@dataclass(frozen=True)
class Postprocessing:
    """What makes answers of a network's outputs, twice: in PyTorch, and as a graph.

    Attributes:
        words: what it is; empty where outputs are the answers already.
        apply: answers by name, of outputs (1, ...) in the form that the model has.
        add: the same in a graph, of the outputs' names in that form: the names by the answers'.
    """

    words: str
    apply: Callable[[Tensors], dict[str, Any]]
    add: Callable[[StageGraph, Tensors], dict[str, str]]


# Of tasks whose outputs are the answers.
NOTHING = Postprocessing("", lambda _: {}, lambda _graph, _names: {})
