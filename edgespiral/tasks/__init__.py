"""What a model is for: one module a task, and the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.factory import is_factory
from edgespiral.core.option import options_of
from edgespiral.core.plugins import PluginKind

if TYPE_CHECKING:
    from edgespiral.tasks.base import Task

TASKS: PluginKind[Task] = PluginKind("task", __name__, "edgespiral.tasks", shared=("shared",))
DEFAULT = "classification"


def check_name(spec: str) -> str:
    """`spec`, if it names a task or a file; nothing is imported.

    Raises:
        UsageError: no such task; the message has the nearest known names.
    """
    if not is_factory(spec):
        TASKS.check(spec.partition("?")[0])
    return spec


def is_built_in(task: Task) -> bool:
    """Whether a task's code is EdgeSpiral's own."""
    module = type(task).__module__
    return module.startswith(f"{__name__}.") and module != f"{__name__}.shared.own"


def _bounded(task: Task) -> Task:
    """A task whose code is not EdgeSpiral's behind its boundary."""
    from edgespiral.tasks.shared.own import OwnTask

    return task if is_built_in(task) or isinstance(task, OwnTask) else OwnTask(task)


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
        options = options_of(query, f"--task {spec}")
        return _bounded(TASKS.get(name)).configured(options)
    from edgespiral.tasks.base import from_factory

    return _bounded(from_factory(spec))


def resolved(task: Task | str) -> Task:
    """A task that is given as it is, or as for `load`.

    Raises:
        UsageError: it is none.
    """
    if isinstance(task, str):
        return load(task)
    from edgespiral.tasks.base import require_task

    return _bounded(require_task(task, "task"))
