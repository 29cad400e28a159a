"""What a person wants compressed: of the flags, and of questions where a terminal can be asked."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import typer

from edgespiral.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

BUDGETS = ("latency_ms", "speedup")


@dataclass(frozen=True)
class Answers:
    """What was said; None, or nothing, of what was not.

    Attributes:
        fields: of the plan, as flags have them.
        transport: how a new device is reached, as a profile's `[transport]` has it.
        shape: of an input, without the batch.
        classes: how many a model tells apart.
    """

    fields: dict[str, object]
    transport: dict[str, object] | None = None
    shape: tuple[int, ...] | None = None
    classes: int | None = None

    def text(self, name: str) -> str | None:
        """A field of the plan that is a text or a path."""
        value = self.fields.get(name)
        return None if value is None else str(value)

    def having(self, **fields: object) -> Answers:
        """The same with fields of the plan in addition."""
        return replace(self, fields=self.fields | fields)


def can_ask() -> bool:
    """Whether a person sits at a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def completed(answers: Answers, ask: Callable[..., str] = typer.prompt) -> Answers:
    """`answers` with those of a person to questions about what is missing.

    Args:
        answers: of the flags.
        ask: puts a question, and has the default that an empty answer stands for.

    Raises:
        UsageError: an answer is none of what the question names.
    """
    questions = {
        "model": "Your model: a name, file.py:function or a file of weights (empty: write a stub)",
        "data": "Your data: a folder, a table or file.py:function (empty: write a stub)",
    }
    for name, question in questions.items():
        if answers.text(name) is None:
            reply = ask(question, default="", show_default=False).strip()
            answers = answers.having(**{name: reply}) if reply else answers
    if answers.transport is None and not answers.fields.get("target"):
        answers = _at(answers, ask("Its device: local, ssh:HOST, adb or a target", default="local"))
    if not any(answers.fields.get(name) for name in BUDGETS):
        answers = answers.having(**budget_of(ask("Its budget, such as 8ms or 2x", default="2x")))
    return answers


def budget_of(reply: str) -> dict[str, object]:
    """The plan's field for a budget as a person writes it.

    Raises:
        UsageError: it is neither milliseconds nor a speed-up.

    Example:
        >>> budget_of("8 ms"), budget_of("2.5x")
        ({'latency_ms': 8.0}, {'speedup': 2.5})
    """
    text = reply.replace(" ", "").lower()
    for ending, field in (("ms", "latency_ms"), ("x", "speedup")):
        if text.endswith(ending):
            try:
                return {field: float(text.removesuffix(ending))}
            except ValueError:
                break
    raise UsageError(f"not a budget: {reply!r}", hint="say it as 8ms or as 2x")


def _at(answers: Answers, device: str) -> Answers:
    kind, _, rest = device.strip().partition(":")
    if kind == "ssh" and not rest:
        raise UsageError("names no host", where=device, hint="say it as ssh:HOST")
    ways = {"local": None, "ssh": "host", "adb": "serial"}
    if kind in ways:
        named: dict[str, object] = {str(ways[kind]): rest} if rest and ways[kind] else {}
        return replace(answers, transport={"kind": kind, **named})
    return answers.having(target=[device.strip()])
