"""What a model is for: one module a task, and the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from edgespiral.core.factory import is_factory
from edgespiral.core.plugins import PluginKind

if TYPE_CHECKING:
    from edgespiral.tasks.base import Task

TASKS: PluginKind[Task] = PluginKind("task", __name__, "edgespiral.tasks")
DEFAULT = "classification"


def check_name(spec: str) -> str:
    """`spec`, if it names a task or a file; nothing is imported.

    Raises:
        UsageError: no such task; the message has the nearest known names.
    """
    if not is_factory(spec):
        TASKS.check(spec.partition("?")[0])
    return spec


def load(spec: str) -> Task:
    """The task that `spec` names.

    Args:
        spec: a name of `TASKS.names()`, with its options behind a question mark where it has some,
            or `path/to/file.py:factory`, which makes a `Task`.

    Raises:
        UsageError: no such task, option, file or factory, or what the factory makes is no task.
    """
    if not is_factory(spec):
        name, _, query = spec.partition("?")
        return TASKS.get(name).configured(dict(parse_qsl(query, keep_blank_values=True)))
    from edgespiral.tasks.base import from_factory

    return from_factory(spec)


def resolved(task: Task | str) -> Task:
    """A task that is given as it is, or as for `load`.

    Raises:
        UsageError: it is none.
    """
    if isinstance(task, str):
        return load(task)
    from edgespiral.tasks.base import require_task

    return require_task(task, "task")
