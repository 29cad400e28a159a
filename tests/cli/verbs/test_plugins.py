import json
from collections.abc import Callable
from subprocess import CompletedProcess

Command = Callable[..., CompletedProcess[str]]


def test_every_kind_is_listed_with_what_it_is(edgespiral: Command) -> None:
    done = edgespiral("plugins", "--json")
    assert done.returncode == 0
    rows = json.loads(done.stdout)
    listed = {(row["kind"], row["name"]) for row in rows}
    assert listed >= {
        ("task", "classification"),
        ("criterion", "fisher"),
        ("data set", "digits"),
        ("runtime", "onnxruntime"),
        ("transport", "ssh"),
        ("pruner", "flow"),
    }
    assert all(row["summary"] for row in rows)
    assert {row["distribution"] for row in rows} >= {"edgespiral"}


def test_the_table_has_the_same_names(edgespiral: Command) -> None:
    rows = json.loads(edgespiral("plugins", "--json").stdout)
    table = edgespiral("plugins").stdout.split()
    assert {row["name"] for row in rows} <= set(table)
