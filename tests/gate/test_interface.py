from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.core.errors import ModelError
from edgespiral.gate.interface import check_same, interface

Make = Callable[..., Path]


def test_inputs_and_outputs_are_told_with_type_and_shape(chain: Make) -> None:
    assert interface(chain(batch="n", size=8)) == (
        "input x: float nx16x8x8",
        "output y: float nx16x8x8",
    )


def test_other_weights_or_layers_are_the_same_work(chain: Make) -> None:
    check_same(interface(chain("a.onnx")), interface(chain("b.onnx", 3, seed=2)), where="b")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 32}, "was input x: float 1x16x16x16, is input x: float 1x16x32x32"),
        ({"output": "z"}, "was output y: float 1x16x16x16, is output z: float 1x16x16x16"),
    ],
)
def test_a_changed_shape_or_name_is_refused(
    chain: Make, change: dict[str, object], words: str
) -> None:
    before, now = interface(chain("a.onnx")), interface(chain("b.onnx", **change))
    with pytest.raises(ModelError, match=f"^b: does not do the same work.*{words}"):
        check_same(before, now, where="b")


def test_an_output_that_is_gone_is_told() -> None:
    with pytest.raises(ModelError, match="was output z, is nothing in its place"):
        check_same(("output y", "output z"), ("output y",), where="b")


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    with pytest.raises(ModelError, match=r"text\.onnx: is not an ONNX model"):
        interface(text)


def test_of_an_engine_nothing_is_known(chain: Make, tmp_path: Path) -> None:
    engine = tmp_path / "net.engine"
    engine.write_bytes(b"not to be read here; location")
    face = interface(engine)
    check_same(face, interface(engine), where="b")
    with pytest.raises(ModelError, match=r"was input x.*, is an engine that does not tell"):
        check_same(interface(chain()), face, where="b")
