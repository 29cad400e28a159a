import pytest

from edgespiral.core.errors import ExitCode, RunFolderError
from edgespiral.core.records.events import Event, Outcome
from edgespiral.core.records.result import Result
from edgespiral.report.result import EXIT_CODES, build_result


def test_the_result_is_of_the_chosen_turn_and_survives_json(met: list[Event]) -> None:
    result = build_result(met)
    assert result.exit_code == ExitCode.OK
    assert (result.best_turn, result.turns) == (2, 2)
    assert result.student.test_score == 92.35
    assert result.student.validation_score == 92.6
    assert result.teacher.test_score == 93.1
    assert result.widths_after["layer2.0.conv1"] == 28 < result.widths_before["layer2.0.conv1"]
    assert result.files["model.onnx"] == "2f" * 32
    assert Result.model_validate_json(result.model_dump_json()) == result


def test_a_run_without_turns_returns_the_teacher(already_met: list[Event]) -> None:
    result = build_result(already_met)
    assert result.exit_code == ExitCode.ALREADY_MET
    assert result.widths_after == result.widths_before
    assert result.student.parameter_count == result.teacher.parameter_count
    assert result.files == {"model.onnx": result.devices[0].teacher.model_sha256}
    assert result.seconds == {}


def test_every_outcome_has_its_own_exit_code() -> None:
    assert set(EXIT_CODES) == set(Outcome)
    assert len(set(EXIT_CODES.values())) == len(Outcome)


def test_an_unfinished_run_has_no_result(unfinished: list[Event]) -> None:
    with pytest.raises(RunFolderError, match="the run is not finished; go on with --resume"):
        build_result(unfinished)


def test_the_result_has_the_zeros_of_its_turn(sparse: list[Event], met: list[Event]) -> None:
    found = build_result(sparse).sparsity
    assert found is not None
    assert found.zero_share == pytest.approx(0.428)
    assert build_result(met).sparsity is None


def test_devices_and_cuts_are_in_the_result(several: list[Event], met: list[Event]) -> None:
    result = build_result(several)
    assert [(one.target, one.verdict.value) for one in result.devices] == [
        ("host-cpu", "met"),
        ("board", "met"),
    ]
    assert [one.turn for one in result.cuts] == [1, 2]
    assert result.cuts[1].cuts[0].saved_ms == {"host-cpu": 0.0312, "board": 1.25}
    [alone] = build_result(met).devices
    assert (alone.target, alone.verdict.value, alone.speedup.value) == ("host-cpu", "met", 2.25)
    assert build_result(met).cuts == ()


def test_the_result_says_what_won_back_the_score(won_back: list[Event]) -> None:
    result = build_result(won_back)
    assert result.quantised_training is not None
    assert result.quantised_training.score_after == 92.4
    assert [layer.layer for layer in result.restored] == ["/<stem>/Conv"]


def test_figures_beside_the_score_are_of_each_model(met_with_figures: list[Event]) -> None:
    result = build_result(met_with_figures)
    assert [figure.value for figure in result.teacher.beside] == [0.71]
    assert [figure.text for figure in result.student.beside] == ["AP 0.68"]


def test_the_learning_rates_of_the_turns_that_led_there_are_in_the_result(
    rated: list[Event], met: list[Event]
) -> None:
    result = build_result(rated)
    assert [(rate.turn, rate.learning_rate) for rate in result.learning_rates] == [
        (1, 0.0071),
        (2, 0.0124),
    ]
    [tried] = result.learning_rates[1].tried
    assert (tried.learning_rate, tried.loss) == (0.0213, None)
    assert Result.model_validate_json(result.model_dump_json()) == result
    assert build_result(met).learning_rates == ()
