"""onnxruntime-web in a real Chromium, where the machine has both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgespiral.core.errors import MeasurementError, ModelError, TargetError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes.base import Answer
from edgespiral.measure.session import Session

Make = Callable[..., Path]
Ask = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("real_browser", "real_package")


def in_browser(profile: TargetProfile, **settings: Any) -> TargetProfile:
    runtime = {"kind": "browser", **settings}
    return TargetProfile.model_validate(profile.model_dump(by_alias=True) | {"runtime": runtime})


def assert_computes_as_here(session: Session, model: Path, folder: Path, atol: float) -> None:
    samples = np.random.default_rng(1).normal(size=(3, 3, 8, 8)).astype(np.float32)
    np.save(folder / "samples.npy", samples)
    computed = session.outputs([model], folder / "samples.npy", folder)
    assert computed is not None
    here = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    expected = [here.run(None, {"x": sample[None]})[0][0] for sample in samples]
    np.testing.assert_allclose(np.load(computed[0]), expected, atol=atol)


def test_models_are_measured_in_turns_and_layers_told(
    convolution: Make, profile: TargetProfile
) -> None:
    models = [convolution("a.onnx", 16, 8), convolution("b.onnx", 64, 32)]
    with Session(in_browser(profile)) as session:
        small, large = session.measure(models)
        [alone] = session.measure(models[1:])
        [layers] = session.profile_layers(models[1:])
    assert small.stats.p50_ms < large.stats.p50_ms
    about = small.fingerprint
    assert (about.runtime, about.precision, about.threads) == ("browser", "fp32", 1)
    assert about.runtime_version.startswith("onnxruntime-web ")
    assert about.provider.startswith("wasm in ")
    # The runtime is fetched and compiled in a cold start, and not again in a later load.
    assert small.cold_start_ms is None
    assert (alone.cold_start_ms or 0) > (alone.load_ms or np.inf)
    assert alone.peak_memory_mib is None
    assert [(layer.operator, layer.weight_shape) for layer in layers] == [
        ("conv", (64, 3, 3, 3)),
        ("gemm", (10, 64)),
    ]
    assert all(layer.latency_ms > 0 for layer in layers)


def test_two_threads_compute_what_onnxruntime_does_here(
    convolution: Make, profile: TargetProfile, tmp_path: Path
) -> None:
    model = convolution("net.onnx", 16, 8)
    with Session(in_browser(profile, threads=2)) as session:
        assert_computes_as_here(session, model, tmp_path, 1e-5)


def test_an_operator_that_it_lacks_is_an_error_of_the_model(ask: Ask, tmp_path: Path) -> None:
    node = helper.make_node("Mystery", ["x"], ["y"], name="stir", domain="nowhere")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
    graph = helper.make_graph([node], "odd", [x], [y])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    (tmp_path / "odd.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"cannot be loaded in the browser: .*Mystery.*: stir"):
        ask(tmp_path / "odd.onnx")


def test_a_page_that_is_not_isolated_is_refused(ask: Ask, convolution: Make) -> None:
    with pytest.raises(TargetError, match="is not isolated from others"):
        ask(convolution(), {"browser_page.py": ('"require-corp"', '"unsafe-none"')})


def test_a_hidden_tab_makes_the_measurement_void(ask: Ask, convolution: Make) -> None:
    hidden = 'Object.defineProperty(document, "visibilityState", { get: () => "hidden" });'
    answer = ask(convolution(), {"page.html": ("<script>", f"<script>{hidden}")})
    assert "hidden" in (answer.void(None) or "")
    assert "hidden" not in (ask(convolution()).void(None) or "")


def test_a_coarse_clock_is_given_more_inferences_a_sample(ask: Ask, convolution: Make) -> None:
    coarse = (
        "const fine = performance.now.bind(performance);"
        "performance.now = () => Math.floor(fine() * 10) / 10;"
    )
    model = convolution("net.onnx", 2, 2)
    answer = ask(model, {"page.html": ("<script>", f"<script>{coarse}")})
    # A single inference of some microseconds would mostly have taken no time at all.
    assert all(ms > 0 for times in answer.samples[0].rounds_ms for ms in times)


def test_a_package_that_is_none_is_one_line(ask: Ask, convolution: Make, package: str) -> None:
    with pytest.raises(TargetError, match="in the browser") as caught:
        ask(convolution(), package=package)
    assert "\n" not in str(caught.value)


def test_a_tab_that_ends_is_no_figure(ask: Ask, convolution: Make) -> None:
    leaves = 'location.href = "about:blank"; await new Promise(() => {});'
    with pytest.raises(MeasurementError, match="tab ended by itself"):
        ask(convolution(), {"page.mjs": ("const samples_ms = [];", leaves)})


def test_by_webgpu_it_computes_the_same_and_says_what_stands_in_for_a_gpu(
    convolution: Make, profile: TargetProfile, tmp_path: Path
) -> None:
    model = convolution("net.onnx", 16, 8)
    with Session(in_browser(profile, backend="webgpu", software_gpu=True)) as session:
        assert_computes_as_here(session, model, tmp_path, 1e-4)
        [measurement] = session.measure([model])
    about = measurement.fingerprint
    assert about.provider.startswith("webgpu (google swiftshader, the processor in place of a GPU)")


def test_a_browser_without_a_gpu_is_refused(ask: Ask, convolution: Make) -> None:
    """Where it has one, what is told of it is edited here."""
    none = ("return info ? {", "return null; return info ? {")
    with pytest.raises(TargetError, match="has no GPU for WebGPU; software_gpu = true"):
        ask(convolution(), {"page.mjs": none}, backend="webgpu")


def test_layers_that_webgpu_leaves_to_the_processor_are_named(ask: Ask, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["positive"], name="first"),
        helper.make_node("Det", ["positive"], ["y"], name="odd"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph(nodes, "odd", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "odd.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"does not take all of it: the processor .* odd;"):
        ask(tmp_path / "odd.onnx", backend="webgpu", software_gpu=True)
