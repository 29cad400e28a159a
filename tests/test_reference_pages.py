"""Tables and asides of the pages are of what there is: keys, names, verbs, flags, places."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from edgespiral.cli.app import app
from edgespiral.core.plugins import PluginKind
from edgespiral.export.recipe import Recipe
from edgespiral.gate.suite import Case, Suite
from edgespiral.measure.profile import DeviceProfile, MeasureProfile, list_profiles
from edgespiral.measure.runtimes import RUNTIMES
from edgespiral.measure.runtimes.base import Capabilities
from edgespiral.measure.transports import TRANSPORTS
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.spiral.sweeping.plan import SweepPlan
from edgespiral.tasks import TASKS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ROW = re.compile(r"^\| (?P<first>[^|]+?) \| *(?P<second>[^|]*?) *\|", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
# A command in what is printed or written down: behind what begins it, to where it surely ends.
TOLD = re.compile(r"(?:[`\"']|: |=)edgespiral ([a-z]+)(?: ([a-z]+))?")
FOLDERS = "edgespiral|tests|bench|docs|examples|prune|spiral|measure|export|distill|core|models"
PLACE = re.compile(rf"(?<![\w/.])(?:{FOLDERS})/[\w/.-]+\.\w+")
# As ours are written: of letters, with dashes.
FLAG = re.compile(r"(?<!\S)--[a-z][a-z-]+(?!\w)")
# Of other programs that write theirs so, where a page has them without the program's name.
THEIRS = {"--benchmark-compare-fail"}
# Flags of our own programs beside the command: benches, campaigns, pytest's plug-in.
BESIDE = re.compile(r"""(?<=["'])--[a-z][a-z-]+(?=["'])""")
# Of what a person reads, or is told from.
TEXTS = (".md", ".py", ".toml", ".yml", ".sh")


def texts(*folders: str) -> Iterator[tuple[str, str]]:
    """Every text below folders of the repository, by its path, but what says what was."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    for path in [*files, *ROOT.glob("*.md"), ROOT / "action.yml"]:
        if path.suffix in TEXTS and path.name != "CHANGELOG.md":
            yield str(path.relative_to(ROOT)), path.read_text("utf-8")


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading, to the next one of its kind."""
    level = heading.split(" ", maxsplit=1)[0]
    return text.split(f"{heading}\n", 1)[1].split(f"\n{level} ", 1)[0]


def table(text: str) -> dict[str, str]:
    """The second cell of each row, by the name in backticks that its first begins with."""
    rows = ((SPAN.findall(row["first"]), row["second"]) for row in ROW.finditer(text))
    return {name: second for names, second in rows for name in names}


def named(table_of_page: Iterable[str], kind: PluginKind[Any]) -> tuple[set[str], set[str]]:
    """Names of plug-ins that a table has, and those that it should have."""
    return {name for name in table_of_page if name in kind.built_in()}, set(kind.built_in())


def defaults(model: type[BaseModel]) -> Iterator[tuple[str, object]]:
    for name, field in model.model_fields.items():
        yield field.alias or name, field.default


def wrong_defaults(model: type[BaseModel], told: Mapping[str, str]) -> list[str]:
    """Keys that a table lacks, or of which it tells another default than the record has."""
    problems = []
    for key, default in defaults(model):
        if key not in told:
            problems.append(f"{key} is not there")
        elif default not in (PydanticUndefined, None, "", ()) and told[key] != as_told(default):
            problems.append(f"{key}: {told[key]}, and not {as_told(default)}")
    return problems


def as_told(default: object) -> str:
    return f"`{default}`" if isinstance(default, str) else str(default).lower()


def test_every_key_of_a_target_is_on_its_page() -> None:
    keys = table(section(page("targets.md"), "## Keys"))
    sections = {"runtime": RUNTIMES, "transport": TRANSPORTS}
    expected = {
        f"{name}.{key}"
        for name, kind in sections.items()
        for plugin in kind.built_in()
        for key in kind.get(plugin).settings.model_fields
    }
    expected |= {f"measure.{key}" for key in MeasureProfile.model_fields}
    expected |= {f"device.{key}" for key in DeviceProfile.model_fields}
    assert {key for key in keys if "." in key} == expected
    measure = {key.removeprefix("measure."): told for key, told in keys.items()}
    assert wrong_defaults(MeasureProfile, measure) == []


def test_another_default_would_be_seen() -> None:
    rows = "| `rounds` | 20 | how often |\n| `warmup_ms` | 50 | at least |\n"
    problems = wrong_defaults(MeasureProfile, table(rows))
    assert problems[:2] == ["rounds: 20, and not 25", "round_ms is not there"]


def test_every_key_of_a_recipe_a_suite_and_a_sweep_is_on_its_page() -> None:
    recipes = table(section(page("precision.md"), "## Recipes"))
    assert wrong_defaults(Recipe, recipes) == []
    for model, name in ((Suite, "bench.md"), (Case, "bench.md"), (SweepPlan, "sweep.md")):
        text = page(name)
        missing = [key for key, _ in defaults(model) if not re.search(rf"\b{key}\b", text)]
        assert missing == [], name


def test_what_a_runtime_can_say_of_itself_is_on_the_page_of_plug_ins() -> None:
    told = table(section(page("plugins.md"), "## A runtime"))
    assert {field.name for field in fields(Capabilities)} - set(told) == set()


def test_tables_name_every_plug_in_that_comes_along() -> None:
    for name, kind in (("tasks.md", TASKS), ("runtimes.md", RUNTIMES)):
        has, should_have = named(table(page(name)), kind)
        assert has == should_have, name
    assert all(f"`{name}`" in page("glossary.md") for name in CRITERIA.built_in())


def test_bundled_targets_and_extras_are_listed() -> None:
    listed = set(table(section(page("targets.md"), "## Bundled targets")))
    assert listed == {path.stem for path in (ROOT / "targets").glob("*.toml")}
    assert listed <= set(list_profiles())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert set(table(section(page("installing.md"), "## Extras"))) == set(extras)


def tree() -> dict[str, Any]:
    """Every command by its name; a group's by theirs."""
    root: Any = typer.main.get_command(app)
    return {name: getattr(verb, "commands", {}) for name, verb in root.commands.items()}


def unknown_commands(text: str) -> list[str]:
    """Commands that a text tells somebody to run, and that there are not."""
    verbs = tree()
    return [
        f"{verb} {sub}".strip()
        for verb, sub in TOLD.findall(text)
        if verb not in verbs or (sub and verb == "targets" and sub not in verbs[verb])
    ]


def flags() -> set[str]:
    """Every flag of every command."""
    root: Any = typer.main.get_command(app)
    groups = [verb for verb in root.commands.values() if hasattr(verb, "commands")]
    verbs = [root, *root.commands.values(), *(v for g in groups for v in g.commands.values())]
    options = [option for verb in verbs for option in verb.params]
    return {name for each in options for name in (*each.opts, *each.secondary_opts)} | {"--help"}


def unknown_flags(text: str, ours: set[str]) -> list[str]:
    """Flags that a page has in backticks, alone or behind `edgespiral`, and that there are not."""
    spans = [span for span in SPAN.findall(text) if span.startswith(("--", "edgespiral "))]
    return [flag for span in spans for flag in FLAG.findall(span) if flag not in ours]


def test_commands_that_messages_profiles_and_pages_tell_are_there() -> None:
    folders = ("edgespiral", "targets", "calibration", "docs", "examples", "bench", ".github")
    told = {name: unknown_commands(text) for name, text in texts(*folders)}
    assert len(told) > 100
    assert {name: unknown for name, unknown in told.items() if unknown} == {}


def test_flags_that_pages_tell_in_passing_are_there() -> None:
    programs = [text for name, text in texts("bench", "tests/faults") if name.endswith(".py")]
    plugin = (ROOT / "edgespiral" / "pytest_plugin.py").read_text("utf-8")
    ours = (
        flags() | THEIRS | {flag for text in (*programs, plugin) for flag in BESIDE.findall(text)}
    )
    told = {name: unknown_flags(text, ours) for name, text in texts("docs")}
    assert {name: unknown for name, unknown in told.items() if unknown} == {}


def test_a_command_and_a_flag_that_are_gone_would_be_seen() -> None:
    assert unknown_commands("# `edgespiral targets staircase` finds it out") == [
        "targets staircase"
    ]
    assert unknown_commands('hint="edgespiral squash"') == ["squash"]
    assert unknown_commands("`edgespiral bench` says, edgespiral has; `edgespiral targets`") == []
    text = "`--max-drop 2`, `edgespiral measure MODEL --shap 1x2`, `trtexec --best`"
    assert unknown_flags(text, flags()) == ["--shap"]


def missing_places(text: str, beside: Path) -> list[str]:
    """Files of the repository that a page names in backticks, and that are not there."""
    places = [place for span in SPAN.findall(text) for place in PLACE.findall(span)]
    roots = (ROOT, ROOT / "edgespiral", beside)
    return [place for place in places if not any((root / place).exists() for root in roots)]


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_files_that_a_page_names_are_there(path: Path) -> None:
    assert missing_places(path.read_text("utf-8"), path.parent) == []


def test_a_file_that_is_gone_would_be_seen() -> None:
    text = (
        "`tests/prune/flow/test_finder.py`, `prune/prunable.py:cut_to` and `python bench/gate.py`"
    )
    assert missing_places(text, DOCS) == ["tests/prune/flow/test_finder.py"]
