"""The pages: links hold on a forge too, commands parse, and what is to be copied runs."""

import importlib
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import typer
from command import Done, command
from quick_runs import QUICK

import edgespiral
from edgespiral.cli.app import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("examples/**/*.md")])
GUIDES = sorted((DOCS / "guides").rglob("[!R]*.md"))
FENCE = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<path>[^)\s#:]*)(?:#(?P<anchor>[^)\s]+))?\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
INDENTED = re.compile(r"^(?: {4,})(edgespiral .*)$|^(edgespiral .*)$", re.MULTILINE)
# What a shell does with a line once the command is over.
AFTER = re.compile(r"\s(?:#|\||>|&&|;).*$")
# In what shows the form of a command, or has another command in it.
FORMS = ("|", "...", "[", "$(")
NAME = re.compile(r"# (?P<name>\w+\.py)\n")
COMPLETION = ("--install-completion", "--show-completion")
# What a line has that only a shell does.
SHELL = re.compile(r"[|&;<>$*`\\~]")
SCRIPTS = Path(sys.executable).parent


def prose(page: str) -> str:
    """A page without its fenced code, in which lines may look like headings and links."""
    return FENCE.sub("", page)


def anchors(page: str) -> set[str]:
    """What a forge makes of a page's headings."""
    names: set[str] = set()
    for heading in HEADING.findall(prose(page)):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = next(n for n in range(99) if (f"{slug}-{n}" if n else slug) not in names)
        names.add(f"{slug}-{number}" if number else slug)
    return names


def broken_links(path: Path, page: str) -> list[str]:
    """Links of a page to files that are not there, or to headings that they do not have."""
    broken = []
    for link in LINK.finditer(prose(page)):
        target = path.parent / link["path"] if link["path"] else path
        if not target.exists():
            broken.append(f"{link['path']} is not there")
        elif link["anchor"] and link["anchor"] not in anchors(target.read_text(encoding="utf-8")):
            broken.append(f"{link['path']} has no heading #{link['anchor']}")
    return broken


def commands(page: str) -> Iterator[list[str]]:
    """The words of each `edgespiral` command in a page's code, without the first."""
    for indented, plain in INDENTED.findall(page.replace("\\\n", " ")):
        line = AFTER.sub("", indented or plain)
        if not any(mark in line for mark in FORMS):
            yield shlex.split(line)[1:]


@cache
def command_line() -> Any:
    """The command line as its parser has it, which takes long to make."""
    return typer.main.get_command(app)


def refusal(words: list[str]) -> str | None:
    """What the command line's parser has against a command. Nothing is run."""
    command = command_line()
    context, rest = typer.Context(command, info_name="edgespiral"), list(words)
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            if "run" not in command.commands:
                return (
                    None
                    if set(rest) <= {"--version", "--verbose", "--help", *COMPLETION}
                    else f"no {rest}"
                )
            rest.insert(0, "run")
        command = command.commands[rest.pop(0)]
    try:
        command.make_context("edgespiral", rest, parent=context)
    except Exception as error:
        return f"{words}: {error}"
    return None


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_hold(path: Path) -> None:
    assert broken_links(path, path.read_text(encoding="utf-8")) == []


def test_a_broken_link_would_be_seen() -> None:
    page = "# A\n## B, c\n[a](gone.md) [b](#b-c) [c](#d) [d](data.md#your-own) [e](data.md#mine)\n"
    assert broken_links(DOCS / "plan.md", "[x](data.md)") == []
    assert broken_links(DOCS / "data.md", page) == [
        "gone.md is not there",
        *(" has no heading #" + name for name in ("b-c", "d")),
        "data.md has no heading #mine",
    ]
    assert anchors("## Fp16, `int8`\n## A\n## A\n") == {"fp16-int8", "a", "a-1"}


def test_every_page_has_one_place_on_the_site() -> None:
    entries = re.findall(r"[ :-] ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M)
    on_site = [str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")]
    assert sorted(entry for entry in entries if (DOCS / entry).exists()) == sorted(on_site)


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    listed = {link["path"] for link in LINK.finditer(index)}
    pages = {
        str(path.relative_to(DOCS))
        for path in [*DOCS.glob("*.md"), *GUIDES, *DOCS.glob("tasks/*.md")]
    }
    assert pages - {"README.md"} - listed == set()


def test_every_name_of_the_api_is_on_its_page() -> None:
    page = (DOCS / "api-reference.md").read_text("utf-8")
    places = re.findall(r"^::: ([\w.]+)\.(\w+)$", page, re.MULTILINE)
    shown = {name: getattr(importlib.import_module(home), name, None) for home, name in places}
    errors = {name for name in edgespiral.__all__ if name.endswith("Error")}
    assert errors == {name for name in vars(shown.pop("errors")) if name in edgespiral.__all__}
    assert set(shown) == set(edgespiral.__all__) - errors - {"__version__"}
    assert all(shown[name] is getattr(edgespiral, name) for name in shown)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_the_pages_parse(path: Path) -> None:
    if path.name == "CHANGELOG.md":  # says what was
        return
    words = list(commands(path.read_text(encoding="utf-8")))
    assert [why for why in map(refusal, words) if why] == []


def test_a_wrong_command_would_be_seen() -> None:
    page = "    edgespiral measure a.onnx --shap 1x2  # no\n\nedgespiral targets\n"
    assert [*commands(page)] == [["measure", "a.onnx", "--shap", "1x2"], ["targets"]]
    assert "--shap" in str(refusal(["measure", "a.onnx", "--shap", "1x2"]))
    assert refusal(["bench", "suite.toml", "--target", "host-cpu"]) is None
    assert refusal(["squash"]) is not None
    assert refusal(["measure"]) is not None


def run_line(line: str, folder: Path, environment: dict[str, str]) -> Done:
    """What a line of a page does: one of ours in this process, any other in a shell."""
    if line.startswith("edgespiral ") and not SHELL.search(line):
        return command(*shlex.split(line)[1:], folder=folder, **environment)
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-ec", line],
        cwd=folder, env={**os.environ, **environment, "PATH": path}, capture_output=True, text=True,
    )  # fmt: skip


def with_short_rounds(targets: Path) -> Path:
    """A folder of targets, in which this machine has its usual name and shorter rounds."""
    targets.mkdir()
    profile = Path(QUICK).read_text("utf-8").replace('"quick"', '"host-cpu"')
    (targets / "host-cpu.toml").write_text(profile, encoding="utf-8")
    return targets


@pytest.mark.slow
@pytest.mark.parametrize("page", ["first-hour.md", "guides/own-model.md", "guides/own-data.md"])
def test_what_is_to_be_copied_runs(page: str, tmp_path: Path) -> None:
    environment = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "EDGESPIRAL_TARGETS": str(with_short_rounds(tmp_path / "quick")),
    }
    ran = 0
    for block in FENCE.finditer((DOCS / page).read_text("utf-8")):
        file = NAME.match(block["text"])
        if file:
            (tmp_path / file["name"]).write_text(block["text"], encoding="utf-8")
        elif block["kind"] == "sh":
            for line in block["text"].splitlines():
                done = run_line(line, tmp_path, environment)
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                ran += 1
    assert ran, "no command is to be copied there"


def test_a_copied_line_that_fails_would_be_seen(tmp_path: Path) -> None:
    for line in ("edgespiral report none", "edgespiral report none > told.txt", "false"):
        assert run_line(line, tmp_path, {}).returncode != 0


def test_versions_of_the_site_are_listed_newest_first(tmp_path: Path) -> None:
    for name in ("0.9", "0.10", "dev", "0.10rc1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text("")
    (tmp_path / "stray").mkdir()
    script = runpy.run_path(str(DOCS / "site_versions.py"))
    assert script["written"](tmp_path) == ["0.10", "0.9", "0.10rc1", "dev"]
    listed = json.loads((tmp_path / "versions.json").read_text())
    assert listed[0] == {"version": "0.10", "title": "0.10", "aliases": ["latest"]}
    assert 'url=0.10/index.html"' in (tmp_path / "index.html").read_text()
    with pytest.raises(FileNotFoundError):
        script["written"](tmp_path / "stray")


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.svg")), ids=lambda path: path.name)
def test_a_diagram_says_what_it_shows_and_fetches_nothing(path: Path) -> None:
    drawing = ET.parse(path).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert drawing.get("role") == "img"
    assert drawing.findtext(f"{space}title")
    assert len(drawing.findtext(f"{space}desc", "")) > 50
    text = path.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|href|<script|@import", text)
    assert any(path.name in page.read_text("utf-8") for page in PAGES), "no page shows it"
