from junitparser import Error, Failure, JUnitXml, Skipped, TestSuite

from edgespiral.gate.records import BenchResult
from edgespiral.gate.report.junit import render_junit


def read(text: str) -> TestSuite:
    [suite] = JUnitXml.fromstring(text.encode())
    return suite


def test_each_model_is_a_test_case(mixed_bench: BenchResult) -> None:
    suite = read(render_junit(mixed_bench))
    results = {case.name: [type(result) for result in case.result] for case in suite}
    assert results == {
        "same": [],
        "slow": [Failure],
        "open": [Skipped],
        "broken <x>": [Error],
        "alone": [],
    }
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (5, 1, 1, 1)
    assert {one.name: one.value for one in suite.properties()}["target"] == "orin"


def test_reasons_and_figures_are_told(mixed_bench: BenchResult) -> None:
    slow = next(case for case in read(render_junit(mixed_bench)) if case.name == "slow")
    assert slow.result[0].message.startswith("median +6.0 (+5.0 to +7.0) %, limit +2.5 %")
    assert slow.system_out.splitlines()[0] == "p50 1.05 ms, 500 samples"
    assert slow.system_out.splitlines()[2] == "p99 +35.0 (+25.0 to +45.0) %"


def test_what_xml_cannot_hold_is_replaced(mixed_bench: BenchResult) -> None:
    failed = mixed_bench.cases[3].model_copy(update={"error": "bad \x00\x1b[31m & <b>"})
    text = render_junit(mixed_bench.model_copy(update={"suite": "s\x01", "cases": (failed,)}))
    assert read(text).name == "edgespiral s?"
    [case] = read(text)
    assert case.result[0].message == "bad ??[31m & <b>"
