from edgespiral.gate.records import BenchResult
from edgespiral.gate.report.markdown import MARK, render_markdown


def test_a_row_a_model_with_bold_regressions(mixed_bench: BenchResult) -> None:
    text = render_markdown(mixed_bench)
    assert text.startswith(f"{MARK}\n### \N{CROSS MARK} detectors on orin: missed (1 of 5")
    rows = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
    assert (
        "**+6.0 (+5.0 to +7.0) %** | +35.0 (+25.0 to +45.0) % | \N{CROSS MARK} missed"
        in (rows["| slow"])
    )
    assert "8 ms (1.04 to 1.06): met" in rows["| same"]
    assert rows["| alone"] == "| alone | 1.05 |  |  |  | measured |"
    assert {line.count(" | ") for line in rows.values()} == {5}


def test_names_and_errors_cannot_break_the_table(mixed_bench: BenchResult) -> None:
    text = render_markdown(mixed_bench)
    assert "| broken \\<x\\> |" in text
    assert "- broken \\<x\\>: x.onnx: cannot be loaded: \\| bad, 100 %" in text
    odd = mixed_bench.cases[3].model_copy(update={"name": "a\n| b"})
    assert "| a \\| b |" in render_markdown(mixed_bench.model_copy(update={"cases": (odd,)}))


def test_the_origin_is_told(good_bench: BenchResult) -> None:
    last = render_markdown(good_bench).splitlines()[-1]
    assert "compared with main, commit 0123456789ab, Example CPU" in last
    assert "2026-03-01 12:00 UTC" in last
