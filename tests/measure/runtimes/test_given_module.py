from edgespiral.measure.runtimes.given_module import reason_of


def test_the_line_that_names_an_operator_is_the_reason() -> None:
    said = "\nWhile executing %det\n  No lowering for aten._det.default.\nask us: core aten\n"
    assert reason_of(RuntimeError(said)) == "RuntimeError: No lowering for aten._det.default."
    assert reason_of(ValueError("\nfirst line\nsecond")) == "ValueError: first line"
    assert reason_of(KeyError()) == "KeyError: "
    assert len(reason_of(ValueError("x" * 1000))) == 300
