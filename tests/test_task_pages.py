"""The page of each task: its run is of that task, and the data that it makes are what it takes."""

import runpy
import shlex
from pathlib import Path

import pytest
from test_docs import DOCS, FENCE, NAME, commands

from edgespiral import data, models, tasks
from edgespiral.models.independence import check_answers
from edgespiral.tasks import DEFAULT, TASKS

# Texts are classified, and have a page of their own.
TASK_OF = {name: name for name in TASKS.built_in()} | {"text": DEFAULT}
HEADINGS = ("## A run to repeat", "## Measured", "## What is refused")


def run_of(page: str) -> tuple[list[str], list[str]]:
    """The words of the two commands of a page's run: `train` and `compress`."""
    section = page.split(f"{HEADINGS[0]}\n", 1)[1].split("\n## ", 1)[0]
    train, compress = commands(section)
    return train, compress


def option(words: list[str], name: str, otherwise: str | None = None) -> str:
    """What follows a flag."""
    if name not in words and otherwise is not None:
        return otherwise
    return words[words.index(name) + 1]


def script_of(words: list[str], folder: Path) -> str:
    """The file that `python` is to run, which `-c` has as text."""
    if words[0] != "-c":
        return words[0]
    script = folder / "line.py"
    script.write_text(words[1], encoding="utf-8")
    return str(script)


@pytest.mark.parametrize("name", TASK_OF)
def test_each_task_has_a_page_with_a_run(name: str) -> None:
    page = (DOCS / "tasks" / f"{name}.md").read_text("utf-8")
    assert [heading for heading in HEADINGS if f"\n{heading}\n" not in page] == []
    assert "(../tasks.md#what-each-task-loses)" in page
    train, compress = run_of(page)
    assert [train[0], compress[0]] == ["train", "compress"]
    assert train[1] == compress[1]
    for words in (train, compress):
        assert option(words, "--task", DEFAULT) == TASK_OF[name]
        assert option(words, "--data") == option(train, "--data")
    assert option(compress, "--weights") == f"{option(train, '--out')}/weights.safetensors"


@pytest.mark.parametrize("name", TASK_OF)
def test_what_a_page_trains_is_of_its_data_and_its_task(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (DOCS / "tasks" / f"{name}.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    for block in FENCE.finditer(page):
        file = NAME.match(block["text"])
        if file and "class Net" not in block["text"]:
            (tmp_path / file["name"]).write_text(block["text"], encoding="utf-8")
        for line in block["text"].splitlines() if block["kind"] == "sh" else ():
            if line.startswith("python "):
                runpy.run_path(script_of(shlex.split(line)[1:], tmp_path))
    train, _ = run_of(page)
    task, splits = tasks.load(TASK_OF[name]).fitted(data.load(option(train, "--data")))
    task.check_data(splits)
    model, task = task.prepared(models.load_model_for(splits, train[1]), splits)
    check_answers(model, splits, task.check_outputs)
