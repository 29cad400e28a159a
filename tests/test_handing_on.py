"""What is handed on, and to whom: tasks and metrics to all, the plan and a run's context to few.

Each check is also shown to fail on a bad example.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from parsed import parsed, trees

PACKAGE = Path(__file__).parents[1] / "edgespiral"
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
# What a run does below the loop and the turn. None of it takes the plan; a function that takes what
# the steps of a run share reads so many of its fields, or is handed them.
STEPS = ("planning", "student", "shipping")
LEAST_OF_CONTEXT = 4
# Anywhere: who reads fewer and hands it on to nobody takes the fields themselves.
LEAST_READ = 3
# As a word by itself, so that neither a heading of a page nor a name of another package's is meant.
OF_ONE_TASK = re.compile(
    r"accurac|top_?1(?![0-9])|(?<![\w#-])(classification|logits)(?!\w)", re.IGNORECASE
)


@pytest.fixture(scope="module", autouse=True)
def _trees() -> Iterator[None]:
    with trees():
        yield


def fields_read(kind: str, source: str) -> dict[str, set[str]]:
    """By function that takes a `kind`, such as a run's plan: the fields of it that it reads."""
    read: dict[str, set[str]] = {}
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.FunctionDef):
            for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                if argument.annotation and ast.unparse(argument.annotation).strip("'") == kind:
                    parts = (part for part in ast.walk(node) if isinstance(part, ast.Attribute))
                    read[node.name] = {
                        part.attr for part in parts if ast.unparse(part.value) == argument.arg
                    }
    return read


def functions_that_read_few(kind: str, source: str) -> set[str]:
    """Functions that take a `kind`, hand it on to nobody, and read one or two of its fields."""
    few = set()
    for node in ast.walk(parsed(source)):
        if not isinstance(node, ast.FunctionDef):
            continue
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            if not argument.annotation or ast.unparse(argument.annotation).strip("'") != kind:
                continue
            parts = list(ast.walk(node))
            fields = [
                part.attr
                for part in parts
                if isinstance(part, ast.Attribute) and ast.unparse(part.value) == argument.arg
            ]
            uses = sum(isinstance(part, ast.Name) and part.id == argument.arg for part in parts)
            if uses == len(fields) and len(set(fields)) < LEAST_READ:
                few.add(node.name)
    return few


def names_of_one_task(source: str) -> set[str]:
    """Names and texts, without docstrings, that speak of classification, its scores or outputs."""
    tree = parsed(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words |= set() if id(node) in docstrings else {node.value}
        else:
            parts = (getattr(node, field, None) for field in ("id", "attr", "arg", "name"))
            words |= {part for part in parts if isinstance(part, str)}
    return {word for word in words if OF_ONE_TASK.search(word)}


def defaults_of(name: str, source: str) -> set[str]:
    """What parameters and fields called `name` are, such as a task, where nobody says."""
    defaults: set[str] = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args]
            last = arguments[len(arguments) - len(node.args.defaults) :]
            pairs = [*zip(last, node.args.defaults, strict=True)]
            pairs += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)  # type: ignore[arg-type]
            defaults |= {ast.unparse(value) for a, value in pairs if a.arg == name and value}
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name and node.value:
            defaults.add(ast.unparse(node.value))
    return defaults - {"None", "field(kw_only=True)"}


def is_in_tasks(path: Path) -> bool:
    """Whether a module belongs to `edgespiral.tasks`."""
    return path.relative_to(PACKAGE).parts[0] == "tasks"


def test_the_steps_of_a_run_take_what_they_use() -> None:
    steps = {
        path: text
        for path, text in SOURCES.items()
        if path.parent.parent.name == "spiral" and path.parent.name in STEPS
    }
    assert {path.parent.name for path in steps} == set(STEPS)
    taking_all = {path.stem: fields_read("Plan", text) for path, text in steps.items()}
    assert {module: read for module, read in taking_all.items() if read} == {}
    few = {
        f"{path.stem}.{function}": read
        for path, text in steps.items()
        for function, read in fields_read("RunContext", text).items()
        if len(read) < LEAST_OF_CONTEXT
    }
    assert few == {}


def test_whoever_reads_one_or_two_fields_of_plan_or_context_is_handed_these() -> None:
    few = {
        f"{path.relative_to(PACKAGE)}: {function}"
        for path, text in SOURCES.items()
        for kind in ("Plan", "RunContext")
        for function in functions_that_read_few(kind, text)
    }
    assert few == set()


def test_a_function_that_reads_one_field_of_a_plan_would_be_seen() -> None:
    assert functions_that_read_few("Plan", "def f(plan: Plan): return plan.out") == {"f"}
    assert functions_that_read_few("Plan", "def f(plan: Plan): g(plan, plan.out)") == set()
    assert functions_that_read_few("Plan", "def f(p: Plan): g(p.a, p.b, p.c)") == set()


def test_a_context_of_which_little_is_used_would_be_seen() -> None:
    source = "def f(context: RunContext, n: int): return context.out / g(context.plan.seed)\n"
    assert fields_read("RunContext", source) == {"f": {"out", "plan"}}
    assert fields_read("Plan", source) == {}
    assert fields_read("Plan", "def f(*, plan: Plan): h(plan)") == {"f": set()}


def test_only_users_may_leave_the_task_out() -> None:
    """And what it is then is said in one place, `edgespiral.tasks.DEFAULT`."""
    outside = [text for path, text in SOURCES.items() if not is_in_tasks(path)]
    defaults = set().union(*(defaults_of("task", text) for text in outside))
    assert {default for default in defaults if not default.startswith("plan_field(DEFAULT,")} == {
        "DEFAULT"
    }


def test_scores_and_outputs_are_named_by_their_task_alone() -> None:
    said = {
        f"{path.relative_to(PACKAGE)}: {word}"
        for path, text in SOURCES.items()
        if not is_in_tasks(path) and path.name != "schema_1.py"
        for word in names_of_one_task(text)
    }
    assert said == set()


def test_a_score_that_is_named_by_one_task_would_be_seen() -> None:
    assert names_of_one_task("test_accuracy = 1\nx.top1 = f(top_1_share=2)") == {
        "test_accuracy",
        "top1",
        "top_1_share",
    }
    assert names_of_one_task("class A:\n    Accuracy: float") == {"Accuracy"}
    assert names_of_one_task("def accuracy(): ...\nf('accuracy of %')") == {
        "accuracy",
        "accuracy of %",
    }
    assert names_of_one_task("logits = f(task=Classification)") == {"logits", "Classification"}
    assert names_of_one_task("'tasks.md#text-classification', ImageClassification") == set()
    assert names_of_one_task('"""How accuracy was measured."""\nscore = 1') == set()


def test_a_task_that_is_left_out_would_be_seen() -> None:
    source = "def f(x, task: Task = C): ...\nclass D:\n    task: Task = E\ndef g(*, task=None): ..."
    assert defaults_of("task", source) == {"C", "E"}
    assert defaults_of("task", "def f(task, x=C, *, y=D): ...\nclass E:\n    task: Task") == set()
