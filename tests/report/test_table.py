from io import StringIO

from rich.console import Console

from edgespiral.core.records.events import Baseline, Event, RunFinished, TurnFinished
from edgespiral.core.records.exported import FileEvaluation
from edgespiral.core.records.schema import Precision
from edgespiral.report.table import print_table


def shown(events: list[Event], *, are_doubts_told: bool = False) -> list[str]:
    console = Console(width=80, file=StringIO(), legacy_windows=False)
    print_table(console, events, are_doubts_told=are_doubts_told)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def judged(events: list[Event], precision: Precision) -> list[Event]:
    """The same run, of fp32 files that the target runs in `precision`."""
    evaluation = FileEvaluation(
        runtime="ONNX Runtime 1.32.0",
        provider="CPUExecutionProvider",
        computed_in="fp32",
        batch_size=1,
        samples=6000,
        pytorch_score=92.95,
    )
    scored = {"evaluation": evaluation, "precision": precision}
    return [
        event.model_copy(update={"student": event.student.model_copy(update=scored)})
        if isinstance(event, TurnFinished)
        else event
        for event in events
    ]


def words_of(events: list[Event]) -> str:
    return " ".join(" ".join(shown(events)).split())


def row(lines: list[str], name: str) -> list[str]:
    return next(line for line in lines if line.startswith(f"{name} ")).split()


def test_a_row_a_turn_in_eighty_columns(met: list[Event]) -> None:
    lines = shown(met)
    assert row(lines, "teacher") == ["teacher", "1.02", "93.40", "271", "k"]
    assert row(lines, "1")[:5] == ["1", "0.680", "1.50x", "93.00", "73.00"]
    assert row(lines, "2")[-1] == "met"
    assert max(map(len, lines)) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in "".join(lines)


def test_the_closing_lines_give_the_test_accuracy_and_the_speedup(met: list[Event]) -> None:
    assert shown(met)[-3:] == [
        "met: the budget of 0.464 ms is met",
        "test accuracy  93.10 -> 92.35 % (\N{MINUS SIGN}0.75)",
        "median latency 1.02 -> 0.453 ms, 2.25x (2.21\N{EN DASH}2.29)",
    ]


def test_a_long_message_stays_one_line(met: list[Event]) -> None:
    message = "so many words that no terminal of eighty columns is wide enough " * 2
    last = met[-1].model_copy(update={"message": message})
    assert f"met: {message}" in shown([*met[:-1], last])


def test_an_unfinished_run_says_how_to_go_on(unfinished: list[Event]) -> None:
    lines = shown(unfinished)
    assert lines[-1] == "the run is not finished; go on with --resume"
    assert not any(line.startswith("2 ") for line in lines)


def test_a_run_without_turns_shows_its_teacher(already_met: list[Event]) -> None:
    lines = shown(already_met)
    assert row(lines, "teacher")[1] == "1.02"
    assert any(line.startswith("already-met: ") for line in lines)


def test_a_run_that_has_only_begun_says_so(met: list[Event]) -> None:
    assert shown(met[:1]) == ["the run has begun; its teacher is not measured yet"]


def test_precisions_are_compared_where_they_were_measured(mixed: list[Event]) -> None:
    lines = shown(mixed)
    assert any("students in int8" in line for line in lines)
    assert "teacher in int8  2.10x, 93.20 % (\N{MINUS SIGN}0.20)" in lines
    assert "cut in fp32  0.440 ms, loses 0.31 nats by cutting, 0 by rounding" in lines
    assert "precision int8: loses <least>" in lines
    assert max(map(len, lines)) <= 80


def test_the_zeros_of_the_result_are_shown_with_what_they_buy(sparse: list[Event]) -> None:
    text = " ".join(shown(sparse))
    assert "sparsity 42.8 % of the weights in model.onnx are zero" in text
    assert "left dense: stem <odd> (1 input channel, not a multiple of 4)" in text
    assert "no speed-up expected here, 40 % smaller compressed file" in text


def test_each_device_of_several_has_a_line(several: list[Event]) -> None:
    assert shown(several)[-2:] == [
        "on host-cpu  1.02 -> 0.453 ms, 2.25x, budget 0.464 ms met",
        "on board  30.0 -> 18.8 ms, 1.60x, budget 20.0 ms met",
    ]


def test_what_won_back_accuracy_is_shown_with_its_price(won_back: list[Event]) -> None:
    lines = shown(won_back)
    assert "trained with its rounding  1 epochs, 91.50 -> 92.40 % (+0.90)" in lines
    assert "in float  /<stem>/Conv: +0.20 points for +0.0031 ms, 0.012 nats" in lines
    assert max(map(len, lines)) <= 80


def test_it_says_of_what_the_accuracies_are(met: list[Event]) -> None:
    assert "older than the scoring of files" in words_of(met)
    text = words_of(judged(met, "fp32"))
    assert "those of the ONNX files, each sample alone, by ONNX Runtime 1.32.0 in fp32" in text
    assert "(PyTorch's: 92.95 % of 6000 validation samples)" in text
    assert "was not scored" not in text
    assert "the target runs the file in fp16, which was not scored" in words_of(judged(met, "fp16"))


def test_doubts_are_told_before_the_outcome(met: list[Event]) -> None:
    doubted = [
        event.model_copy(update={"doubts": (f"of the {event.kind}",)})
        if isinstance(event, Baseline | RunFinished)
        else event
        for event in met
    ]
    lines = shown(doubted)
    told = [lines.index(f"warning: of the {kind}") for kind in ("baseline", "run-finished")]
    assert told == sorted(told)
    assert told[-1] < lines.index("met: the budget of 0.464 ms is met")
    assert not any(line.startswith("warning") for line in shown(met))
    again = shown(doubted, are_doubts_told=True)
    assert [line for line in again if line.startswith("warning")] == [
        "warnings: 2, told above and in the report"
    ]
    assert not any(line.startswith("warning") for line in shown(met, are_doubts_told=True))


def test_figures_beside_the_score_follow_it(met_with_figures: list[Event]) -> None:
    lines = shown(met_with_figures)
    assert lines[-2] == "test AP        0.71 -> 0.68 (\N{MINUS SIGN}0.03)"
