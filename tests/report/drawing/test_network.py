"""A cut network's picture: what is narrower, what is gone, and what is said of it in words."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from example_pages import BLOCK

from edgespiral.core.records.inspection import NetworkNode
from edgespiral.report.drawing.network import cut_shares, network_chart, network_figures

CUT = {"stem": 16, "<head>": 10}
NARROWER = {"stem": 12, "block.a": 8, "block.b": 12, "<head>": 10}


def named(image: ET.Element, tag: str, name: str) -> list[ET.Element]:
    return [e for e in image.iter(tag) if name == e.get("class")]


def words(image: ET.Element) -> list[str | None]:
    return [text.text for text in image.iter("text")]


def test_a_layer_says_its_channels_before_and_after() -> None:
    image = ET.fromstring(network_chart(BLOCK, NARROWER))
    assert words(image) == [
        "input",
        *("stem", "16 → 12", "block.a", "32 → 8", "block.b", "16 → 12"),
        *("add", "<head>", "10"),
    ]
    whole, left = (named(image, "rect", kind) for kind in ("before", "after"))
    for before, after, share in zip(whole, left, (0.75, 0.25, 0.75, 1.0), strict=True):
        width = float(str(before.get("width"))) * share
        assert float(str(after.get("width"))) == pytest.approx(width, abs=0.01)


def test_what_is_gone_is_told_apart_and_so_are_its_lines() -> None:
    image = ET.fromstring(network_chart(BLOCK, CUT))
    assert words(image).count("32 → gone") == 1
    assert (
        len(named(image, "circle", "layer gone")) == len(named(image, "rect", "before gone")) == 2
    )
    # Into the first, between both, and out of the second; the shortcut is whole.
    assert len(named(image, "path", "wire gone")) == 3
    assert len(named(image, "path", "wire")) == 4 - 1
    assert len(named(image, "circle", "join")) == 2
    said = image.find("desc")
    assert said is not None
    assert said.text == (
        "4 layers, 0 of them narrower than in the teacher; gone: block.a, block.b."
    )


def test_a_pointer_over_a_row_is_told_all_of_it() -> None:
    image = ET.fromstring(network_chart(BLOCK, NARROWER))
    told = [title.text for group in image.iter("g") for title in group.iter("title")]
    assert told[2] == "block.a: Conv2d 3x3, 32 → 8 channels"
    assert told[4] == "add"


def test_a_join_of_what_is_gone_is_gone_too() -> None:
    tail = NetworkNode(name="cat", operator="cat", inputs=("a", "b"))
    image = ET.fromstring(network_chart((*BLOCK, tail), CUT))
    assert len(named(image, "circle", "join gone")) == 1


def test_all_of_a_long_network_is_inside_of_its_picture() -> None:
    blocks = [
        node.model_copy(
            update={
                "name": f"{node.name}{place}",
                "layer": node.layer and f"stage{place}.a_rather_long_name.{node.layer}",
                "inputs": tuple(f"{name}{place}" for name in node.inputs),
            }
        )
        for place in range(30)
        for node in BLOCK
    ]
    image = ET.fromstring(network_chart(blocks, {}))
    width, height = map(float, str(image.get("viewBox")).split()[2:])
    assert max(float(str(circle.get("cy"))) for circle in image.iter("circle")) < height
    assert max(float(str(circle.get("cx"))) for circle in image.iter("circle")) < width / 3


def test_the_figures_have_a_row_a_layer() -> None:
    table = network_figures(BLOCK, cut_shares(CUT))
    assert table.columns == ("layer", "kind", "reads", "teacher", "student")
    assert table.rows[1] == ("block.a", "Conv2d 3x3", "stem", "32", "gone")
    assert table.rows[-1] == ("<head>", "Linear", "add", "10", "10")
