from edgespiral.core.records.measurement import Interval
from edgespiral.gate.records import BenchResult
from edgespiral.gate.report import words

MINUS = "\N{MINUS SIGN}"


def test_each_model_s_outcome_is_one_line(mixed_bench: BenchResult) -> None:
    assert [words.summary(case) for case in mixed_bench.cases] == [
        "median 1.05 (1.04 to 1.06) ms, budget 8 ms: met; "
        f"median {MINUS}0.2 ({MINUS}1.1 to +0.7) %, limit +2.5 %: met",
        "median +6.0 (+5.0 to +7.0) %, limit +2.5 %: missed; p99 +35.0 (+25.0 to +45.0) %",
        "median +2.0 (+1.0 to +3.0) %, limit +2.5 %: undecided",
        "x.onnx: cannot be loaded: | bad, 100 %",
        "median 1.05 ms, no limit to judge by",
    ]


def test_the_suite_s_outcome_is_one_line(mixed_bench: BenchResult, good_bench: BenchResult) -> None:
    assert words.headline(mixed_bench) == "detectors on orin: missed (1 of 5 models)"
    assert words.headline(good_bench) == "detectors on orin: met (1 of 1 model)"
    both = good_bench.model_copy(update={"cases": (*good_bench.cases, mixed_bench.cases[4])})
    assert words.headline(both).endswith("met (1 of 2 models, 1 without a limit)")


def test_the_device_is_told_where_one_was_measured(mixed_bench: BenchResult) -> None:
    assert words.device(mixed_bench) == (
        "Example CPU, onnxruntime 1.32.0, CPUExecutionProvider, fp32, threads: 1"
    )
    failed = mixed_bench.model_copy(update={"cases": (mixed_bench.cases[3],)})
    assert words.device(failed) == ""


def test_only_an_open_or_doubtful_outcome_has_advice(
    mixed_bench: BenchResult, good_bench: BenchResult
) -> None:
    assert words.advice(mixed_bench) == ""
    left_open = mixed_bench.model_copy(update={"verdict": mixed_bench.cases[2].verdict})
    assert "raise time_limit_s" in words.advice(left_open)
    [case] = good_bench.cases
    assert case.measurement is not None
    crowded = case.measurement.model_copy(update={"waited_share": 0.4})
    doubtful = good_bench.model_copy(
        update={"cases": [case.model_copy(update={"measurement": crowded})]}
    )
    assert "other programs took the core for 40% of the time" in words.advice(doubtful)


def test_a_drift_is_told(mixed_bench: BenchResult) -> None:
    budget = mixed_bench.cases[0].checks[0]
    slower = budget.model_copy(update={"verdict": "undecided", "drift_percent": 30.4})
    faster = slower.model_copy(update={"drift_percent": -12.0})
    assert words.line(slower).endswith(": undecided, as it became 30 % slower meanwhile")
    assert words.line(faster).endswith("as it became 12 % faster meanwhile")


def test_no_figure_is_rounded_across_its_budget(mixed_bench: BenchResult) -> None:
    check = mixed_bench.cases[0].checks[0]

    def near(low: float, high: float) -> Interval:
        return check.bounds.model_copy(update={"low": low, "high": high})

    slow = check.model_copy(update={"value": 8.004, "bounds": near(8.0004, 8.01), "limit": 8.0})
    assert words.figure(slow) == "8.004 (8.0004 to 8.01) ms"
    fast = check.model_copy(update={"value": 7.996, "bounds": near(7.99, 7.9979), "limit": 7.998})
    assert words.figure(fast) == "7.996 (7.99 to 7.998) ms"
