import pytest
import typer
from typer.testing import CliRunner

from edgespiral.cli.options import PLAN_OPTIONS, budget, help_of, with_options
from edgespiral.core.errors import UsageError


def test_a_budget_is_for_all_targets_or_for_each_by_name() -> None:
    assert budget("--speedup", None) is None
    assert budget("--speedup", []) is None
    assert budget("--speedup", ["2"]) == 2.0
    assert budget("--latency-ms", ["a=8", "boards/b.toml=0.5"]) == {"a": 8.0, "boards/b.toml": 0.5}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["fast"], "--speedup: not a number: 'fast'"),
        (["a=2x"], "--speedup: not a number: '2x'"),
        (["2", "3"], "--speedup: given twice"),
        (["a=2", "a=3"], "--speedup: given twice for a"),
        (["2", "a=3"], "--speedup: a value for all targets beside those for some; write TARGET="),
    ],
)
def test_what_cannot_be_understood_is_told(given: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        budget("--speedup", given)
    assert str(caught.value).startswith(words)


def test_a_help_text_names_the_plug_ins_that_come_with_edgespiral() -> None:
    text = help_of(PLAN_OPTIONS["criterion"])
    assert text.startswith("What a channel is worth: fisher, fpgm, l1, ")
    assert "{" not in text


def test_a_number_or_a_word_is_read_as_what_it_is() -> None:
    asked: list[dict[str, object]] = []
    app = typer.Typer()

    @app.command()
    @with_options([PLAN_OPTIONS["turns"], PLAN_OPTIONS["sparsity"], PLAN_OPTIONS["target"]])
    def verb(*, flags: dict[str, object]) -> None:
        """Do it."""
        asked.append(flags)

    for words in ([], ["--turns", "3", "--sparsity", "0.5"], ["--turns=auto", "--target", "a"]):
        assert CliRunner().invoke(app, words).exit_code == 0
    assert asked == [
        {"turns": None, "sparsity": None, "target": None},
        {"turns": 3, "sparsity": 0.5, "target": None},
        {"turns": "auto", "sparsity": None, "target": ["a"]},
    ]
