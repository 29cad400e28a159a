import numpy as np
import onnxruntime

from edgespiral.core.stages.graph import ANY, StageGraph


def test_a_frame_is_worked_on_when_the_graph_runs():
    """Else an optimiser would compute all of it when the file is loaded, and nothing were timed."""
    graph = StageGraph()
    frame = graph.frame(np.arange(6, dtype=np.uint8).reshape(1, 2, 3))
    graph.output("same", frame, np.uint8)
    graph.output("rows", graph.add("ReduceMax", frame, graph.constant(np.array([2]))), np.uint8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(graph.model().SerializeToString(), options)
    [given] = session.get_inputs()
    assert (given.name, given.type, given.shape) == (ANY, "tensor(float)", [1])
    same, rows = session.run(None, {ANY: np.array([1e9], np.float32)})
    assert same.tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert rows.ravel().tolist() == [2, 5]


def test_a_graph_is_a_valid_model(tmp_path):
    import onnx

    graph = StageGraph()
    parts = graph.add_several(
        "Split", graph.frame(np.ones((1, 4), np.float32)), count=2, axis=1, num_outputs=2
    )
    graph.output("sum", graph.add("Add", *parts), np.float32)
    onnx.checker.check_model(str(graph.write(tmp_path / "stage.onnx")), full_check=True)
