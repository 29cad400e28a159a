from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import pytest
from example_pages import INSPECTION
from rich.console import Console

from edgespiral.report.inspection import inspection_html, print_inspection, summary, verdict


def test_the_summary_has_shares_engines_and_reasons():
    lines = summary(INSPECTION)
    assert "can be cut: 25% of the channels, 40% of the parameters" in lines
    assert "batch norms: 2, 1 without statistics (n)" in lines
    assert lines[-1] == "stays: k0 and 44 more: channels are rolled"
    assert [verdict(e) for e in INSPECTION.engines] == ["yes", "no, as it fails"]
    assert "compress takes: flow" in lines
    unable = tuple(e.model_copy(update={"problem": "it fails"}) for e in INSPECTION.engines)
    assert "compress takes: none, as no engine" in "\n".join(
        summary(INSPECTION.model_copy(update={"engines": unable}))
    )


def test_the_terminal_has_tables_and_says_what_it_leaves_out():
    console = Console(file=io.StringIO(), width=100)
    print_inspection(INSPECTION, console)
    shown = console.file.getvalue()
    assert "k39" in shown
    assert "k40" not in shown
    assert "5 more rows: --html FILE has them all" in shown


def test_the_page_has_every_row_and_escapes_names():
    page = inspection_html(INSPECTION)
    assert "<td>k44</td>" in page
    assert "net.py:&lt;net&gt;" in page


def test_the_picture_has_what_can_be_cut_of_each_layer():
    page = inspection_html(INSPECTION)
    drawing = ET.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    told = [text.text for text in drawing.iter("text")]
    assert told == ["input", "a", "25", "<b>", "0 of 75"]
    whole, dark = (
        [float(str(bar.get("width"))) for bar in drawing.iter("rect") if bar.get("class") == kind]
        for kind in ("before", "after")
    )
    assert whole[0] == dark[0] == pytest.approx(whole[1] / 3, abs=0.02)
    assert len(dark) == 1
