from __future__ import annotations

import io

from rich.console import Console

from edgespiral.core.records.inspection import EngineFacts, GroupFacts, Inspection, KeptFacts
from edgespiral.report.inspection import inspection_html, print_inspection, summary, verdict

FACTS = Inspection(
    model="net.py:<net>",
    input="(3, 8, 8)",
    channels=100,
    cuttable_channels=25,
    parameters=1000,
    cuttable_parameters=400,
    groups=(GroupFacts(name="a", channels=25, step=1, made_by=("a",), read_by=("b",)),),
    branches=(),
    kept=tuple(KeptFacts(layer=f"k{i}", channels=2, reason="are rolled") for i in range(45)),
    main_reasons=("k0 and 44 more: channels are rolled",),
    engines=(EngineFacts(name="flow", problem=None), EngineFacts(name="nni", problem="it fails")),
    batch_norms=2,
    batch_norms_without_statistics=("n",),
    precisions={"float32": 1000},
)


def test_the_summary_has_shares_engines_and_reasons():
    lines = summary(FACTS)
    assert "can be cut: 25% of the channels, 40% of the parameters" in lines
    assert "batch norms: 2, 1 without statistics (n)" in lines
    assert lines[-1] == "stays: k0 and 44 more: channels are rolled"
    assert [verdict(e) for e in FACTS.engines] == ["yes", "no, as it fails"]


def test_the_terminal_has_tables_and_says_what_it_leaves_out():
    console = Console(file=io.StringIO(), width=100)
    print_inspection(FACTS, console)
    shown = console.file.getvalue()
    assert "k39" in shown
    assert "k40" not in shown
    assert "5 more rows: --html FILE has them all" in shown


def test_the_page_has_every_row_and_escapes_names():
    page = inspection_html(FACTS)
    assert "<td>k44</td>" in page
    assert "net.py:&lt;net&gt;" in page
