"""What a folder or a table is taken for."""

from pathlib import Path

import pytest

from edgespiral.cli.verbs.init import data
from edgespiral.cli.verbs.init.data import spec_of, task_of
from edgespiral.core.errors import DataError, UsageError
from edgespiral.data.sources import SOURCES
from edgespiral.data.sources.base import FileSource
from edgespiral.tasks import TASKS


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


@pytest.mark.parametrize(
    ("names", "kind", "task"),
    [
        (["train/cup/a.JPG", "test/cup/b.jpg"], "folder", None),
        (["cup/a.png"], "folder", None),
        (["yes/a.wav"], "speech", "keyword-spotting"),
        (["classes.txt", "images/a.jpg", "masks/a.png"], "masks", "segmentation"),
        (["Annotations/a.xml", "JPEGImages/a.jpg"], "voc", "detection"),
        (["train/a.xml", "train/a.jpg"], "voc", "detection"),
        (["annotations/train.json", "images/a.jpg"], "coco", "detection"),
        (["data.yaml", "images/train/a.jpg", "labels/train/a.txt"], "yolo", "detection"),
    ],
)
def test_a_folder_is_known_by_what_lies_in_it(
    names: list[str], kind: str, task: str | None
) -> None:
    touch(*(f"mine/{name}" for name in names))
    assert spec_of("mine") == f"{kind}:mine"
    assert task_of(f"{kind}:mine") == task


@pytest.mark.parametrize(
    ("name", "head", "spec"),
    [
        ("said.csv", "text,label", "text:said.csv"),
        ("t/train.tsv", "file\ttext", "transcripts:t"),
        ("ratings.csv", "userId,movieId,rating,timestamp", "ratings:ratings.csv"),
    ],
)
def test_a_table_is_known_by_its_columns(name: str, head: str, spec: str) -> None:
    touch(name)
    separator = "\t" if "\t" in head else ","
    row = separator.join(["1"] * len(head.split(separator)))
    Path(name).write_text(f"{head}\n{row}\n")
    touch("t/1.wav")
    assert spec_of(spec.partition(":")[2]) == spec


def test_of_other_tables_only_the_user_knows_the_target() -> None:
    Path("wine.csv").write_text("acid,sugar,quality\n1,2,3\n")
    with pytest.raises(UsageError, match=r"csv:wine.csv\?target=COLUMN', of acid, sugar, quality"):
        spec_of("wine.csv")
    assert spec_of("csv:wine.csv?target=quality") == "csv:wine.csv?target=quality"


def test_what_is_nothing_known_is_told() -> None:
    touch("empty/notes.txt", "model.bin")
    for name, problem in {
        "empty": "holds no pictures, sounds or tables",
        "model.bin": "is no table",
        "not/there": "no such file or folder",
    }.items():
        with pytest.raises(DataError, match=problem):
            spec_of(name)
    with pytest.raises(UsageError, match="did you mean digits"):
        spec_of("digit")
    with pytest.raises(UsageError, match="unknown data set 'photos', and no such file or folder"):
        spec_of("photos")


def test_every_kind_of_data_has_a_task_that_there_is() -> None:
    sources = [SOURCES.get(name) for name in SOURCES.built_in()]
    tasks = {source.task for source in sources if isinstance(source, FileSource)}
    assert {"detection", None} <= tasks
    assert {*filter(None, tasks), *data.TRIED_TASKS} <= set(TASKS.names())
