from io import StringIO

from rich.console import Console

from edgespiral.gate.records import BenchResult
from edgespiral.gate.report.table import render_bench


def shown(result: BenchResult) -> list[str]:
    console = Console(width=100, file=StringIO(), legacy_windows=False)
    console.print(render_bench(result), highlight=False)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_a_row_a_model_with_its_verdict(mixed_bench: BenchResult) -> None:
    lines = shown(mixed_bench)
    rows = {line.split()[0]: line.split() for line in lines[2:7]}
    assert rows["slow"] == ["slow", "1.05", "+6.0", "500", "3.2", "missed"]
    assert rows["alone"] == ["alone", "1.05", "500", "3.2", "measured"]
    assert rows["broken"] == ["broken", "<x>", "0.5", "error"]


def test_reasons_and_origin_follow(mixed_bench: BenchResult) -> None:
    text = "\n".join(shown(mixed_bench))
    assert "slow: median +6.0 (+5.0 to +7.0) %, limit +2.5 %: missed" in text
    assert "broken <x>: x.onnx: cannot be loaded" in text
    assert "compared with main, commit 0123456789ab with changes" in text
    assert "Example CPU, onnxruntime 1.32.0" in text


def test_brackets_in_names_are_text(mixed_bench: BenchResult) -> None:
    named = mixed_bench.cases[0].model_copy(update={"name": "a[/b]"})
    text = "\n".join(shown(mixed_bench.model_copy(update={"suite": "s[red]", "cases": (named,)})))
    assert "s[red] on orin" in text
    assert "\na[/b] " in text
