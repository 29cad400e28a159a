"""What is handed on, and to whom: tasks and metrics to all, the plan and a run's context to few.

Each check is also shown to fail on a bad example.
"""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "edgespiral"
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
# What a run does below the loop and the turn. None of it takes the plan; a function that takes what
# the steps of a run share reads so many of its fields, or is handed them.
STEPS = ("planning", "student", "shipping")
LEAST_OF_CONTEXT = 4
OF_ONE_TASK = re.compile("accurac|top_?1(?![0-9])", re.IGNORECASE)


def fields_read(kind: str, source: str) -> dict[str, set[str]]:
    """By function that takes a `kind`, such as a run's plan: the fields of it that it reads."""
    read: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                if argument.annotation and ast.unparse(argument.annotation).strip("'") == kind:
                    parts = (part for part in ast.walk(node) if isinstance(part, ast.Attribute))
                    read[node.name] = {
                        part.attr for part in parts if ast.unparse(part.value) == argument.arg
                    }
    return read


def names_of_one_task(source: str) -> set[str]:
    """Names and texts, without docstrings, that call a score what classification's is called."""
    tree = ast.parse(source)
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


def doing_without(name: str, sources: Iterable[str]) -> set[str]:
    """Functions and classes that take a `name`, such as a task, and do without one."""
    names: set[str] = set()
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.FunctionDef):
            last = node.args.args[len(node.args.args) - len(node.args.defaults) :]
            given = [
                a for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d
            ]
            if any(argument.arg == name for argument in (*last, *given)):
                names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            fields = [ast.unparse(part) for part in node.body if isinstance(part, ast.AnnAssign)]
            if any(field.startswith(f"{name}: {name.title()} = ") for field in fields):
                names.add(node.name)
    return names


def calls_without(name: str, source: str, taking: set[str]) -> list[str]:
    """Calls that fall back on classification's where the task at hand is to be handed on."""
    handed = re.compile(rf"(^|\.|_){name}$|^aim(\.metric)?$|^CLASSIFICATION$|^\*")
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            is_partial = ast.unparse(node.func) == "partial"
            called = node.args[0] if is_partial else node.func
            given = [ast.unparse(argument) for argument in node.args]
            given += [keyword.arg or "**" for keyword in node.keywords]
            is_given = any(handed.search(argument) for argument in given)
            if not is_given and is_function(called) and last_name(called) in taking:
                found.append(ast.unparse(node))
    return found


def last_name(called: ast.expr) -> str:
    """The name of what is called, without where it is from."""
    return ast.unparse(called).rpartition(".")[2]


def is_function(called: ast.expr) -> bool:
    """Whether it is one that is imported, and no method or variable that shares its name."""
    text = ast.unparse(called)
    return (
        text.startswith("formats.")
        or text.endswith("precisions.asked")
        or (isinstance(called, ast.Name) and text != "asked")
    )


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


def test_a_context_of_which_little_is_used_would_be_seen() -> None:
    source = "def f(context: RunContext, n: int): return context.out / g(context.plan.seed)\n"
    assert fields_read("RunContext", source) == {"f": {"out", "plan"}}
    assert fields_read("Plan", source) == {}
    assert fields_read("Plan", "def f(*, plan: Plan): h(plan)") == {"f": set()}


def test_the_task_at_hand_is_handed_on() -> None:
    taking = doing_without("task", SOURCES.values())
    assert {"train", "score", "file_score", "OutputDivergence", "RunContext", "asked"} <= taking
    outside = [text for path, text in SOURCES.items() if path.parent.name != "tasks"]
    assert [call for text in outside for call in calls_without("task", text, taking)] == []


def test_scores_are_named_by_their_task_alone() -> None:
    said = {
        f"{path.relative_to(PACKAGE)}: {word}"
        for path, text in SOURCES.items()
        if path.parent.name != "tasks" and path.name != "schema_1.py"
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
    assert names_of_one_task('"""How accuracy was measured."""\nscore = 1') == set()


def test_a_task_that_is_dropped_would_be_seen() -> None:
    source = "def f(x, task: Task = C): ...\nclass D:\n    task: Task = C\n"
    assert doing_without("task", [source]) == {"f", "D"}
    calls = "f(1)\nf(1, task)\nD(task=aim)\ng(2)\npartial(f, 1)"
    assert calls_without("task", calls, {"f", "D"}) == ["f(1)", "partial(f, 1)"]
