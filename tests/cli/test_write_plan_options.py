import inspect
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from edgespiral.cli import options, write_plan_options
from edgespiral.cli.verbs.compress import compress
from edgespiral.cli.write_plan_options import docs_rows, options_text, with_rows
from edgespiral.core.option import Option
from edgespiral.spiral.plan import Plan, load_plan, plan_sha256
from edgespiral.spiral.plan.field import plan_field, plan_options
from edgespiral.tasks import TASKS

BOTH = {"model": "resnet20", "data": "digits", "speedup": 2.0}


class Wider(Plan):
    """A plan with one more field, which is written here and nowhere else."""

    dither: Annotated[float, Field(ge=0)] = plan_field(
        0.5, "Noise that is `added`, {names}.", pages="[noise.md](noise.md)", group="Noise",
        names_of="edgespiral.tasks:TASKS",
    )  # fmt: skip


def test_what_is_derived_from_the_plan_is_of_today_s_fields() -> None:
    said = plan_options(Plan)
    table = options.TABLE.read_text(encoding="utf-8")
    assert table == options_text(said), "run `make plan`"
    page = write_plan_options.DOCS.read_text(encoding="utf-8")
    assert page == with_rows(page, docs_rows(said)), "run `make plan`"
    assert "| `smallest` | false |" in page


def test_every_field_but_the_schema_has_an_option() -> None:
    fields = set(Plan.model_fields) - {"schema_version"}
    assert {option.name for option in plan_options(Plan)} == fields
    assert {*fields, "resume", "config", "dry_run"} == set(inspect.signature(compress).parameters)


def test_a_field_that_is_written_once_is_everywhere(tmp_path: Path) -> None:
    table = tmp_path / "options.toml"
    table.write_text(options_text(plan_options(Wider)), encoding="utf-8")
    added = options.read_options(table)[-1]
    assert added == plan_options(Wider)[-1]

    handed: dict[str, Any] = {}
    app = typer.Typer()

    @app.command()
    @options.with_options([added])
    def verb(*, flags: dict[str, object], loud: bool = False) -> None:
        """Do it."""
        handed.update(flags, loud=loud)

    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120", "TERM": "dumb"}).stdout
    names = ", ".join(TASKS.built_in()[:2])
    assert options.help_of(added).startswith(f"Noise that is added, {names}, ")
    assert f"Noise that is added, {names}," in shown
    assert "[default: (0.5)]" in shown
    assert CliRunner().invoke(app, ["--dither", "0.25", "--loud"]).exit_code == 0
    assert handed == {"dither": 0.25, "loud": True}

    row = docs_rows(plan_options(Wider)).splitlines()[-1]
    assert row == (
        "| `dither` | 0.5 | Noise that is `added`, `edgespiral plugins` lists them. "
        "See [noise.md](noise.md). |"
    )


def test_runs_from_before_a_field_go_on() -> None:
    before = plan_sha256(load_plan(None, BOTH))
    assert plan_sha256(Wider(**BOTH)) == before
    assert plan_sha256(Wider(**BOTH, dither=0.1)) != before


@pytest.mark.parametrize("page", ["no table", write_plan_options.BEGIN])
def test_a_page_without_a_place_for_the_table_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="0 places for the table"):
        with_rows(page, "")


def test_the_table_is_toml_without_what_an_option_does_not_say() -> None:
    [row] = tomllib.loads(options_text([Option(name="a", takes="int", help="A.")]))["option"]
    assert row == {"name": "a", "takes": "int", "help": "A."}


def test_help_needs_no_plan() -> None:
    code = "import sys, edgespiral.cli.app; print({'pydantic', 'tomlkit'} & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "set()"
